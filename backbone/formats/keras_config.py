"""Reads the architecture in a Keras file: padding, activation, epsilon and preprocessing.

Keras' own MobileNet pads depthwise convolutions of stride 2 by (0, 1) at the end, which is SAME if
their input is even: for image sizes that are multiples of 32. For other sizes its maps are smaller
(225 -> 7x7, not 8x8).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args

import numpy as np

from backbone.flavour import Padding
from backbone.formats.network import BODY_CONVS
from backbone.formats.partial import RGB, PartialFlavour
from datasets.errors import InputError

_NESTED = 8
# Kinds of layers that change nothing at inference.
_IDLE = {
    "ActivityRegularization",
    "Dropout",
    "GaussianNoise",
    "InputLayer",
    "Reshape",
    "Resizing",
    "SpatialDropout2D",
}
_CONVS = ("Conv2D", "DepthwiseConv2D")
_LEARNT = ("Conv2D", "Dense")
_IN_BODY = _IDLE | {"Activation", "BatchNormalization", "LeakyReLU", "ReLU", "ZeroPadding2D"}
# Layers that may surround a linear layer on pooled features.
_POOLS = {"AveragePooling2D", "Flatten", "GlobalAveragePooling2D"}
_LINEAR = {*_LEARNT, *_POOLS, "Activation", "Softmax"}
# Arithmetic with a number, under the names of TensorFlow and Keras 3.
_ARITHMETIC = {
    "math.truediv": "/",
    "math.divide": "/",
    "math.subtract": "-",
    "math.multiply": "*",
    "__operators__.add": "+",
    "math.add": "+",
    "TrueDivide": "/",
    "Divide": "/",
    "Subtract": "-",
    "Multiply": "*",
    "Add": "+",
}


@dataclass(frozen=True)
class KerasConfig:
    """What an architecture states.

    Attributes:
        names: Names of all layers in order, those of inner models in their place.
        stated: The part of the flavour that is stated.
        prepares: Whether the network takes bytes and scales them itself.
        ending: Activation of the last layer (``softmax``, ``sigmoid``); empty if linear.
        is_linear: Whether only the average and linear layers follow the body.
    """

    names: tuple[str, ...]
    stated: PartialFlavour
    prepares: bool
    ending: str
    is_linear: bool


@dataclass(frozen=True)
class _Layer:
    kind: str
    name: str
    config: dict[str, Any]
    inbound: Any


def read_config(path: Path, model: Any, learnt: Mapping[str, Any]) -> KerasConfig:
    """Read an architecture.

    Args:
        path: Path of the file, for errors.
        model: The architecture, as JSON.
        learnt: Mean and variance of images that a layer has learnt; empty if there is none.

    Raises:
        InputError: If it is damaged, or not that of a MobileNet v1 with a head.
    """
    try:
        layers = list(_flatten(model, 0))
        return _read(path, layers, learnt)
    except StopIteration:
        raise InputError(f"{path}: not a MobileNet v1: no convolution") from None
    except (AttributeError, IndexError, KeyError, TypeError, ArithmeticError, ValueError) as error:
        if isinstance(error, InputError):
            raise
        raise InputError(f"{path}: its architecture is damaged ({error!r})") from error


def _flatten(model: Any, depth: int) -> Iterator[_Layer]:
    """All layers in order, with those of inner models in their place."""
    config = model["config"]
    layers = config if isinstance(config, list) else config["layers"]
    if depth > _NESTED:
        raise ValueError("models within models")
    for layer in layers:
        kind, inner = layer["class_name"].rpartition(">")[2], layer["config"]
        if kind in ("Functional", "Model", "Sequential"):
            yield from _flatten(layer, depth + 1)
        else:
            yield _Layer(kind, str(inner.get("name", "")), inner, layer.get("inbound_nodes"))


def _read(path: Path, layers: list[_Layer], learnt: Mapping[str, Any]) -> KerasConfig:
    first = next(k for k, layer in enumerate(layers) if layer.kind in (*_CONVS, "ZeroPadding2D"))
    mean, std = _preparation(path, layers[:first], learnt)
    activations, eps = set(), set()
    pads: list[str] = []
    ending, is_linear, left = "", True, BODY_CONVS
    pad: Any = None
    for layer in layers[first:]:
        activation = _activation(layer)
        if not left and layer.kind not in _IN_BODY:
            left = -1
        if left < 0:  # The head.
            is_linear &= layer.kind in _IDLE | _LINEAR
            ending = activation or ("" if layer.kind in _LEARNT else ending)
        elif layer.kind in _CONVS and left:
            left -= 1
            if max(layer.config["strides"]) > 1:
                pads.append(_padding(layer.config["padding"], pad))
            if activation:
                raise InputError(f"{path}: not a MobileNet v1: {layer.name!r} activates by itself")
        elif layer.kind == "BatchNormalization":
            eps.add(float(layer.config["epsilon"]))
        elif activation:
            activations.add(activation)
        elif layer.kind not in _IN_BODY:
            raise InputError(f"{path}: not a MobileNet v1: it has a layer of kind {layer.kind}")
        pad = layer.config["padding"] if layer.kind == "ZeroPadding2D" else None
    size = _size(layers, layers[:first])
    stated = PartialFlavour(
        padding=_pads(path, pads, size),
        bn_eps=_single(path, "batch-norm epsilons", eps),
        activation=_single(path, "activations", activations),
        size=size,
        mean=mean,
        std=std,
    )
    names = tuple(layer.name for layer in layers)
    return KerasConfig(names, stated, mean is not None, ending, is_linear)


def _pads(path: Path, pads: list[str], size: int | None) -> Padding:
    """Padding at stride 2; on even sizes SAME is (0, 1), and the stem may be SAME."""
    padding = _single(path, "paddings", set(pads[1:]))
    is_even = size is None or size % 2 == 0
    alike = {padding}
    if padding in ("same", "keras"):
        alike = {"same", "keras"} if is_even else {"same"}
    if len(pads) != 5 or padding not in get_args(Padding) or pads[0] not in alike:
        raise InputError(f"{path}: not a MobileNet v1: halving convolutions pad {pads}")
    return padding  # type: ignore[no-any-return]


def _single(path: Path, what: str, found: set[Any]) -> Any:
    if len(found) > 1:
        raise InputError(f"{path}: {what} differ: {', '.join(map(str, sorted(found)))}")
    return next(iter(found), None)


def _activation(layer: _Layer) -> str | None:
    """A layer's activation; empty if it is linear, None if the layer is of another kind."""
    config = layer.config
    if layer.kind in ("LeakyReLU", "ReLU"):
        slope = config.get("negative_slope", config.get("alpha", 0.0))
        slope = 0.3 if slope is None else slope
        slope = slope["config"]["value"] if isinstance(slope, dict) else slope
        if layer.kind == "LeakyReLU" or slope:
            return f"leaky_relu:{float(slope):g}"
        top = config.get("max_value")
        top = top["config"]["value"] if isinstance(top, dict) else top
        return "relu" if top is None else f"relu{float(top):g}"
    if layer.kind == "Softmax":
        return "softmax"
    if layer.kind in ("Activation", "Conv2D", "Dense", "DepthwiseConv2D"):
        name = config["activation"]
        name = name["config"] if isinstance(name, dict) else name
        name = name["name"] if isinstance(name, dict) else name
        return "" if name in ("linear", None) else str(name).rpartition(">")[2]
    return None


def _padding(padding: str, before: Any) -> str:
    """Padding of a convolution of stride 2: its own, or that of a zero-padding layer before it."""
    if padding == "same":
        return "same"
    sides = np.asarray(before).tolist() if before is not None else 0
    known: dict[str, Any] = {"keras": [[0, 1], [0, 1]], "symmetric": [[1, 1], [1, 1]]}
    for name, wanted in known.items():
        if sides == wanted:
            return name
    return "valid" if before is None else f"{sides}"


def _size(layers: list[_Layer], before: list[_Layer]) -> int | None:
    """Side of the first convolution's input, or else of the model's, if square and fixed."""
    for layer in reversed(before):
        if layer.kind == "Resizing":
            sides = layer.config["height"], layer.config["width"]
            return int(sides[0]) if sides[0] == sides[1] else None
    for layer in layers:
        shape = layer.config.get("batch_shape") or layer.config.get("batch_input_shape") or []
        if len(shape) == 4:
            return int(shape[1]) if shape[1] == shape[2] and shape[1] else None
    return None


def _preparation(
    path: Path, layers: list[_Layer], learnt: Mapping[str, Any]
) -> tuple[RGB | None, RGB | None]:
    """Mean and std of what precedes the first convolution: ``scale * byte + offset``."""
    scale, offset, found = np.ones(3), np.zeros(3), False
    for layer in layers:
        if layer.kind in _IDLE or layer.kind.startswith("Random"):
            continue
        times, plus = _affine(path, layer, learnt)
        scale, offset, found = scale * times, offset * times + plus, True
    if not found:
        return None, None
    if not (np.isfinite([scale, offset]).all() and (scale > 0).all()):
        raise InputError(f"{path}: its preprocessing is no scaling: {scale}, {offset}")
    mean, std = -offset / (255 * scale), 1 / (255 * scale)
    mean, std = np.broadcast_to(mean.round(9) + 0.0, 3), np.broadcast_to(std, 3)
    return tuple(mean.tolist()), tuple(std.tolist())


def _affine(path: Path, layer: _Layer, learnt: Mapping[str, Any]) -> tuple[Any, Any]:
    """Factor and summand of one layer, each a number or one per channel."""
    config = layer.config
    if layer.kind == "Rescaling":
        return np.asarray(config["scale"], float), np.asarray(config.get("offset", 0.0), float)
    if layer.kind == "Normalization":
        told = learnt if config.get("mean") is None else config
        std = np.sqrt(np.asarray(told["variance"], float).reshape(-1))
        return 1 / std, -np.asarray(told["mean"], float).reshape(-1) / std
    sign = _ARITHMETIC.get(str(config.get("function", layer.kind)))
    if sign is None:
        raise InputError(
            f"{path}: prepares images by a layer of kind {layer.kind} ({layer.name!r}), which is "
            "not understood"
        )
    number = np.asarray(_argument(layer.inbound), float)
    if sign in "+-":
        return 1.0, number if sign == "+" else -number
    return number if sign == "*" else 1 / number, 0.0


def _argument(inbound: Any) -> Any:
    """The number beside the tensor: {"y": 127.5} in TensorFlow, the second argument in Keras 3."""
    node = inbound[0]
    if isinstance(node, dict):
        return node["args"][1]
    entry = node if isinstance(node[0], str) else node[0]
    return entry[3]["y"]
