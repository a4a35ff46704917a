"""Keras' files, written by hand: an architecture as JSON, and its arrays."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from backbone.formats.network import CONVS
from tests.backbone import foreign

SIZE = 64
_NORM = {"weight": "gamma", "bias": "beta", "running_mean": "moving_mean"}
_NORM["running_var"] = "moving_variance"
Layer = dict[str, Any]


def layer(kind: str, name: str, inbound: Any = None, **config: Any) -> Layer:
    """A layer of an architecture."""
    return {
        "class_name": kind,
        "config": {"name": name, **config},
        "inbound_nodes": inbound or [],
    }


def body_layers(activation: Layer, padding: str, start: int, *, bias: bool) -> list[Layer]:
    """MobileNet v1 with Keras' own names for layers that nobody named, counted from a number."""
    layers: list[Layer] = []
    counts = {"conv2d": start, "depthwise_conv2d": start, "batch_normalization": start}

    def named(kind: str) -> str:
        counts[kind] += 1
        return f"{kind}_{counts[kind] - 1}"

    for number, conv in enumerate(CONVS):
        halves = conv in ("0", "2.depthwise", "4.depthwise", "6.depthwise", "12.depthwise")
        depthwise = conv.endswith("depthwise")
        own = "same"
        if halves and padding in ("keras", "symmetric"):
            zeros = [[int(padding == "symmetric"), 1]] * 2
            layers.append(layer("ZeroPadding2D", f"pad_{number}", padding=zeros))
            own = "valid"
        kind = "DepthwiseConv2D" if depthwise else "Conv2D"
        name = named("depthwise_conv2d" if depthwise else "conv2d")
        strides = [2, 2] if halves else [1, 1]
        more = {"padding": own, "activation": "linear", "use_bias": bias}
        layers.append(layer(kind, name, strides=strides, **more))
        layers.append(
            layer("BatchNormalization", named("batch_normalization"), epsilon=0.001, axis=[3])
        )
        own_config = {k: v for k, v in activation["config"].items() if k != "name"}
        layers.append(layer(activation["class_name"], f"activation_{number}", **own_config))
    return layers


def body_arrays(
    state: Mapping[str, Tensor], start: int, *, bias: bool
) -> dict[str, dict[str, NDArray[Any]]]:
    """Arrays of such a body by layer; a bias before batch norm is added to the mean."""
    found: dict[str, dict[str, NDArray[Any]]] = {}
    counts = {True: start, False: start}
    for number, conv in enumerate(CONVS):
        depthwise = conv.endswith("depthwise")
        name = f"{'depthwise_' * depthwise}conv2d_{counts[depthwise]}"
        counts[depthwise] += 1
        value = state[f"body.layers.{conv}.conv.weight"].numpy()
        kernel = value.transpose((2, 3, 0, 1) if depthwise else (2, 3, 1, 0))
        found[name] = {f"{'depthwise_' * depthwise}kernel": kernel}
        norm = {
            theirs: state[f"body.layers.{conv}.bn.{ours}"].numpy()
            for ours, theirs in _NORM.items()
        }
        if bias:
            added = np.full(value.shape[0], 0.25, np.float32)
            found[name]["bias"] = added
            norm["moving_mean"] = norm["moving_mean"] + added
        found[f"batch_normalization_{start + number}"] = norm
    return found


def dense(name: str, weight: Tensor, bias: Tensor) -> dict[str, dict[str, NDArray[Any]]]:
    """Arrays of a fully connected layer."""
    return {name: {"kernel": weight.numpy().T, "bias": bias.numpy()}}


def model(layers: Sequence[Layer], kind: str = "Functional", size: int | None = SIZE) -> Layer:
    """An architecture of layers behind an input."""
    entry = layer("InputLayer", "input_1", batch_shape=[None, size, size, 3])
    return {"class_name": kind, "config": {"name": kind.lower(), "layers": [entry, *layers]}}


def write_h5(
    path: Path,
    config: object,
    arrays: Mapping[str, Mapping[str, NDArray[Any]]],
    inner: str = "",
) -> Path:
    """A .h5 file; the layers of a model within the model lie in its group, which ``inner`` names.

    Args:
        path: To write.
        config: The architecture, or None for weights alone.
        arrays: By layer and name.
        inner: Name of the inner model, to which all but dense layers belong.
    """
    with h5py.File(path, "w") as file:
        if config is not None:
            file.attrs["model_config"] = config if isinstance(config, str) else json.dumps(config)
        for name, parts in arrays.items():
            within = inner if inner and not name.startswith("dense") else name
            for part, value in parts.items():
                file[f"model_weights/{within}/{name}/{part}:0"] = value
        file["optimizer_weights/adam/m/kernel:0"] = np.zeros(3, np.float32)
    return path


def numbered(
    arrays: Mapping[str, Mapping[str, NDArray[Any]]], inner: str = ""
) -> dict[str, dict[str, NDArray[Any]]]:
    """Arrays by layer and number, as Keras 3 names them: ``layers/conv2d_3/vars``, ``0``."""
    counts: dict[str, int] = {}
    found = {}
    for name, parts in arrays.items():
        kind = name.rpartition("_")[0] if name[-1].isdigit() else name
        at = f"layers/{kind}_{counts.get(kind, 0)}".removesuffix("_0")
        counts[kind] = counts.get(kind, 0) + 1
        if inner and kind != "dense":
            at = f"layers/{inner}/{at}"
        found[f"{at}/vars"] = {str(k): value for k, value in enumerate(parts.values())}
    return found


def write_zip(
    path: Path,
    config: object,
    arrays: Mapping[str, Mapping[str, NDArray[Any]]],
    inner: str = "",
) -> Path:
    """A .keras archive, or .weights.h5 where there is no architecture; layers as in write_h5."""
    data = io.BytesIO()
    with h5py.File(data, "w") as file:
        for at, numbers in numbered(arrays, inner).items():
            for number, value in numbers.items():
                file[f"{at}/{number}"] = value
        file["optimizer/vars/0"] = np.zeros(3, np.float32)
        for place in range(2):  # Keras 2 adds what a compiled model has measured.
            file[f"metrics/mean/vars/{place}"] = np.float32(3)
    if config is None:
        path.write_bytes(data.getvalue())
        return path
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("config.json", json.dumps(config))
        archive.writestr("model.weights.h5", data.getvalue())
    return path


def mobilenet(
    columns: int = 6, activation: str = "relu", padding: str = "same", *, bias: bool = False
) -> tuple[dict[str, Tensor], list[Layer], dict[str, dict[str, NDArray[Any]]]]:
    """Our state, the layers of the body and all arrays of a model whose layers nobody named."""
    state = foreign.random_state(columns)
    act = layer("Activation", "a", activation=activation)
    layers = body_layers(act, padding, 7, bias=bias)
    arrays = body_arrays(state, 7, bias=bias)
    if columns:
        arrays |= dense("dense", state["head.2.weight"], state["head.2.bias"])
    return state, layers, arrays


def top(*endings: str) -> list[Layer]:
    """Pooling and one dense layer per activation."""
    return [
        layer("GlobalAveragePooling2D", "pool"),
        layer("Dropout", "dropout", rate=0.2),
        *(
            layer("Dense", f"dense_{k}".removesuffix("_0"), activation=one)
            for k, one in enumerate(endings)
        ),
    ]
