"""Reads Caffe's MobileNet (.caffemodel, with shicai's layer names) without Caffe.

OpenCV 5 no longer has a Caffe reader, but a caffemodel is a single protocol-buffers message with
the names, parameters and values of all layers, so that the prototxt is not needed.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from backbone.formats.network import Layout, Network, fit, tensor_names
from backbone.formats.partial import PLAIN, PartialFlavour
from backbone.formats.wire import Value, as_bytes, as_int, as_text, read_fields, read_varint
from datasets.errors import InputError

# Fields of Caffe's messages, by number.
_LAYER, _OLD_LAYER = 100, 2
_NAME, _TYPE, _BLOBS, _CONVOLUTION, _BATCH_NORM = 1, 2, 7, 106, 139
_SHAPE, _DATA = 7, 5
_PAD, _PAD_H, _PAD_W, _EPS = 3, 9, 10, 3
# Values subtracted from B, G, R, on the 0..1 scale, and the factor applied afterwards.
_MEANS, _SCALE = (103.94 / 255, 116.78 / 255, 123.68 / 255), 0.017
_STEPS = ("2_1", "2_2", "3_1", "3_2", "4_1", "4_2", *(f"5_{k}" for k in range(1, 7)), "6")
_CONVS = ["conv1", *(f"conv{step}/{part}" for step in _STEPS for part in ("dw", "sep"))]
_STD = (1 / (255 * _SCALE),) * 3
LAYOUT = Layout(
    "Caffe's MobileNet",
    tensor_names(
        _CONVS, _CONVS, (".0", "/scale.0", "/scale.1", "/bn.0", "/bn.1"), ("fc7.0", "fc7.1")
    ),
    PartialFlavour(padding="symmetric", activation="relu"),
    replace(PLAIN, size=224, mean=_MEANS, std=_STD, channels="bgr"),
)


@dataclass
class _Layer:
    name: str = ""
    kind: str = ""
    blobs: list[Tensor] = field(default_factory=list)
    pads: set[int] = field(default_factory=set)
    eps: float = 1e-5


def read_caffe(path: Path) -> Network:
    """Read a caffemodel.

    Args:
        path: File to read.

    Raises:
        InputError: If the file is damaged or in Caffe's older format, if a tensor is missing,
            unexpected or of the wrong shape, or if a 3x3 layer does not pad by 1.
    """
    try:
        layers, old = _read_layers(memoryview(path.read_bytes()))
    except (IndexError, struct.error, ValueError, RuntimeError) as error:
        raise InputError(f"{path}: damaged caffemodel ({error})") from error
    if not layers:
        why = "of Caffe's format before 2014: upgrade it with Caffe" if old else "no layers"
        raise InputError(f"{path}: {why}")
    tensors, every_eps = {}, set()
    for layer in layers:
        blobs = layer.blobs
        if layer.kind == "BatchNorm" and len(blobs) == 3:
            # Caffe keeps sums and, as the third blob, by what to divide them.
            factor = float(blobs[2].reshape(-1)[0])
            blobs = [blob / factor if factor else blob for blob in blobs[:2]]
            every_eps.add(layer.eps)
        for number, blob in enumerate(blobs):
            tensors[f"{layer.name}.{number}"] = blob
        is_wide = layer.kind.endswith("Convolution") and blobs and blobs[0].shape[-1] == 3
        if is_wide and layer.pads != {1}:
            raise InputError(f"{path}: {layer.name} pads by {layer.pads or 0}; a MobileNet by 1")
    network = fit(str(path), tensors, LAYOUT)
    if len(every_eps) != 1:
        raise InputError(f"{path}: batch-norm epsilons differ: {sorted(every_eps)}")
    stated = PartialFlavour(padding="symmetric", bn_eps=every_eps.pop(), activation="relu")
    return replace(network, stated=stated)


def _read_layers(data: memoryview) -> tuple[list[_Layer], bool]:
    """All layers, and whether there are layers in the older format."""
    layers, old = [], False
    for number, value in read_fields(data):
        old |= number == _OLD_LAYER
        if number == _LAYER:
            layers.append(_read_layer(as_bytes(value)))
    return layers, old


def _read_layer(data: memoryview) -> _Layer:
    layer = _Layer()
    for number, value in read_fields(data):
        if number == _NAME:
            layer.name = as_text(value)
        elif number == _TYPE:
            layer.kind = as_text(value)
        elif number == _BLOBS:
            layer.blobs.append(_read_blob(as_bytes(value)))
        elif number == _CONVOLUTION:
            for part, pad in read_fields(as_bytes(value)):
                if part in (_PAD, _PAD_H, _PAD_W):
                    layer.pads.update(_numbers(pad))
        elif number == _BATCH_NORM:
            for part, eps in read_fields(as_bytes(value)):
                if part == _EPS:
                    layer.eps = float(f"{struct.unpack('<f', as_bytes(eps))[0]:.6g}")
    return layer


def _numbers(value: Value) -> list[int]:
    """A repeated integer: packed, or one of several fields."""
    if isinstance(value, int):
        return [value]
    at, found = 0, []
    while at < len(value):
        number, at = read_varint(value, at)
        found.append(number)
    return found


def _read_blob(data: memoryview) -> Tensor:
    """Values of a blob, in its shape (from a message, or num, channels, height, width)."""
    shape: list[int] = []
    old_shape: dict[int, int] = {}
    values = bytearray()
    for number, value in read_fields(data):
        if number == _SHAPE:
            for part, dims in read_fields(as_bytes(value)):
                shape += _numbers(dims) if part == 1 else []
        elif number == _DATA:
            values += as_bytes(value)
        elif number in (1, 2, 3, 4):
            old_shape[number] = as_int(value)
    flat = np.frombuffer(bytes(values), "<f4").astype(np.float32)
    if not shape and old_shape:
        shape = [old_shape.get(k, 1) for k in (1, 2, 3, 4)]
        shape = [flat.size] if shape[:3] == [1, 1, 1] else shape
    return torch.from_numpy(flat).reshape(shape or [flat.size])
