"""Reads TensorFlow Lite files, quantised or float: their convolutions as PyTorch tensors."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from backbone.flavour import Flavour, InputSpec
from backbone.formats.folded import EPS, Chain, FoldedConv, chain_conventions
from backbone.formats.graph import Row, gather, read_row
from backbone.formats.network import BODY_CONVS, Network
from backbone.formats.partial import RGB
from backbone.formats.tflite_steps import GraphReader
from datasets.errors import InputError
from datasets.lfs import refuse_pointer

# Part of the names of SSD's box predictors.
BOXES = "BoxEncodingPredictor"
# Offset from a file's integer to a byte of an image: int8 begins at -128.
_BYTES = {"uint8": 0, "int8": 128}


@dataclass(frozen=True)
class TfliteModel:
    """What an importer of MobileNet needs from a file.

    Attributes:
        path: Path of the file.
        row: All convolutions in order of execution, with what surrounds them; a fully connected
            layer counts as a 1x1 one.
        others: Kinds of all other operators.
        input_shape: (height, width, channels) of an image.
        input_type: Type of an image's values: ``uint8``, ``int8`` or ``float32``.
        input_scale: Scale of the input: the network sees (value - input_zero) * input_scale; 1 if
            it takes floats.
        input_zero: Zero point of the input; see ``input_scale``.
        constants: Other constant tensors by name, dequantised (SSD's anchors).
        options: Options of the custom operator at the end, if there is one (SSD's
            post-processing).
        inputs: Names of that operator's input tensors.
    """

    path: Path
    row: Row
    others: frozenset[str]
    input_shape: tuple[int, int, int]
    input_type: str
    input_scale: float
    input_zero: int
    constants: dict[str, NDArray[np.float32]]
    options: dict[str, Any]
    inputs: tuple[str, ...]

    @property
    def convs(self) -> tuple[FoldedConv, ...]:
        """The convolutions of ``row``."""
        return self.row.convs


def read_tflite(path: Path) -> TfliteModel:
    """Read a TensorFlow Lite file.

    Args:
        path: File to read.

    Raises:
        InputError: If it is missing, damaged, or uses a tensor type that is not supported.
    """
    if not path.is_file():
        raise InputError(f"{path}: no such file")
    data = path.read_bytes()
    refuse_pointer(path, data)
    if data[4:8] != b"TFL3":
        raise InputError(f"{path}: not a TensorFlow Lite file")
    try:
        return _read(GraphReader(path, data))
    except InputError:
        raise
    except Exception as error:  # flatbuffers and struct raise kinds of their own.
        raise InputError(f"{path}: damaged TensorFlow Lite file ({error})") from error


def _read(reader: GraphReader) -> TfliteModel:
    from flatbuffers import flexbuffers

    graph, layers, options = reader.graph, set[int](), dict[str, Any]()
    inputs: tuple[str, ...] = ()
    for one in reader.operators:
        if reader.is_layer(one):
            layers.update(one.inputs)
        if one.table.CustomOptionsLength():
            options = flexbuffers.Loads(bytes(one.table.CustomOptionsAsNumpy()))
            inputs = tuple(map(reader.name, one.inputs))
    entry = int(graph.InputsAsNumpy()[0])
    row = gather(reader.steps(), str(entry))
    scale, zero = reader.quantisation(entry)
    _, *sides = reader.shape(entry)
    sides = [1] * (3 - len(sides)) + sides  # Of a head they may be flat.
    if len(sides) != 3:
        raise InputError(f"{reader.path}: takes values of shape {reader.shape(entry)}, no images")
    # In models converted from PyTorch, channels may come first.
    height, width, channels = sides if sides[0] != 3 or sides[2] == 3 else (*sides[1:], sides[0])
    return TfliteModel(
        path=reader.path,
        row=row,
        others=frozenset(one.kind for one in reader.operators if not reader.is_layer(one)),
        input_shape=(height, width, channels),
        input_type=reader.type_name(entry),
        input_scale=1.0 if scale is None else float(scale[0]),
        input_zero=0 if zero is None else int(zero[0]),
        constants={
            reader.name(k): reader.values(k)
            for k in range(graph.TensorsLength())
            if k not in layers and reader.is_known(k)
        },
        options=options,
        inputs=inputs,
    )


def has_boxes(model: TfliteModel) -> bool:
    """Whether a file has SSD's box predictors; otherwise it may be a classifier."""
    return any(BOXES in conv.name for conv in model.convs)


def tflite_flavour(model: TfliteModel, convs: int = BODY_CONVS) -> Flavour:
    """Flavour of a TensorFlow Lite file: SAME padding, its activation and input scaling.

    Args:
        model: The file.
        convs: Number of its first convolutions that carry an activation.

    Raises:
        InputError: If one of these layers has another padding or activation, or images are not
            integers.
    """
    padding, activation = chain_conventions(model.path, model.convs[:convs])
    if model.row.factor is not None:
        raise InputError(
            f"{model.path}: scales images by arithmetic of its own, which is not read"
        )
    if model.input_type not in _BYTES:
        raise InputError(
            f"{model.path}: takes {model.input_type} images; uint8 ones are understood"
        )
    mean, std = _scaling(model)
    return Flavour(
        padding=padding,  # type: ignore[arg-type]
        bn_eps=EPS,
        activation=activation,
        input=InputSpec(size=model.input_shape[0], mean=mean, std=std),
    )


def _scaling(model: TfliteModel) -> tuple[RGB, RGB]:
    """Mean and std: the network sees (integer - zero) * scale, which is (byte / 255 - mean) / std.

    An integer of int8 is the image's byte - 128.
    """
    mean = (model.input_zero + _BYTES[model.input_type]) / 255
    return (mean,) * 3, (1 / (255 * model.input_scale),) * 3


def tflite_chain(model: TfliteModel) -> Chain:
    """The file's convolutions in the form that all formats of folded networks share."""
    takes_integers = model.input_type in _BYTES
    mean, std = _scaling(model) if takes_integers else (None, None)
    kind = "TensorFlow Lite, dequantised" if takes_integers else "TensorFlow Lite"
    return Chain(model.path, kind, model.convs, model.input_shape, mean, std)


def tflite_network(model: TfliteModel, head: TfliteModel | None = None) -> Network:
    """Read a complete classifier, or a body if the file ends with the pooled features.

    Args:
        model: The file.
        head: Another file that continues where this one ends, if it has no classifier.

    Raises:
        InputError: If the layers are not those of a MobileNet v1, or the two files do not fit
            together.
    """
    row = model.row if head is None else _chained(model, head)
    takes_integers = model.input_type in _BYTES
    kind = "TensorFlow Lite, dequantised" if takes_integers else "TensorFlow Lite"
    try:
        network = read_row(model.path, kind, row, model.input_shape, bytes_in=False)
    except InputError:
        raise
    except ValueError as error:
        raise InputError(f"{model.path}: damaged TensorFlow Lite file ({error})") from error
    if takes_integers and row.factor is None:
        mean, std = _scaling(model)
        network = replace(network, stated=replace(network.stated, mean=mean, std=std))
    return network


def _chained(model: TfliteModel, head: TfliteModel) -> Row:
    """The convolutions of both files."""
    one, two = model.row, head.row
    if len(one.convs) > BODY_CONVS:
        raise InputError(f"--head {head.path}: {model.path} has a classifier already")
    if not two.convs:
        raise InputError(f"--head {head.path}: no layer in this file")
    if two.lost or two.factor is not None:
        told = two.lost or "arithmetic"
        raise InputError(f"--head {head.path}: it has {told} before its first layer")
    return replace(
        one,
        convs=one.convs + two.convs,
        sources=one.sources + tuple(k + len(one.convs) for k in two.sources),
        others=one.others + two.others,
        pools=one.pools + two.pools,
    )
