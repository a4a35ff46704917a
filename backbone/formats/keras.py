"""Keras' MobileNet in its three kinds of file: .h5, .weights.h5 and .keras.

Keras pads halving depthwise convolutions by (0, 1) at the end, which is SAME where their input is
even: for sizes that are multiples of 32. At others its maps are smaller (225 -> 7x7, not 8x8).
"""

from __future__ import annotations

import io
import json
import zipfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor

from backbone.formats.network import Layout, Network, fit, tensor_names
from backbone.formats.partial import TENSORFLOW, PartialFlavour
from backbone.formats.slim import size_from_name, to_torch
from datasets.errors import InputError

_STATED = PartialFlavour(padding="keras", bn_eps=1e-3, activation="relu6")
_PARTS = ("/kernel", "/gamma", "/beta", "/moving_mean", "/moving_variance")
_VARS = ("/vars/0", "/vars/0", "/vars/1", "/vars/2", "/vars/3")
_ZIPPED = "model.weights.h5"


def _by_name() -> Layout:
    convs = ["conv1", *(f"conv_{kind}_{k}" for k in range(1, 14) for kind in ("dw", "pw"))]
    head = ("conv_preds/kernel", "conv_preds/bias")
    names = tensor_names(convs, [f"{conv}_bn" for conv in convs], _PARTS, head)
    return Layout("Keras' MobileNet", names, _STATED, TENSORFLOW)


def _by_order() -> Layout:
    """.weights.h5 names layers by their class, counting from 0, whatever they were called."""
    convs = ["conv2d"]
    for block in range(1, 14):
        convs += [f"depthwise_conv2d_{block - 1}".removesuffix("_0"), f"conv2d_{block}"]
    norms = [f"batch_normalization_{k}".removesuffix("_0") for k in range(len(convs))]
    names = tensor_names(convs, norms, _VARS, ("conv2d_14/vars/0", "conv2d_14/vars/1"))
    return Layout("Keras' MobileNet", names, _STATED, TENSORFLOW)


BY_NAME, BY_ORDER = _by_name(), _by_order()


def is_keras_zip(path: Path) -> bool:
    """Whether a file is a .keras archive."""
    try:
        with zipfile.ZipFile(path) as archive:
            return _ZIPPED in archive.namelist()
    except (zipfile.BadZipFile, NotImplementedError, IndexError):
        return False


def read_keras(path: Path) -> Network:
    """Read a Keras file.

    Raises:
        InputError: If h5py is not installed, the file is damaged, or a tensor is missing, left
            over or of a wrong shape.
    """
    try:
        import h5py
    except ImportError as error:
        raise InputError(f"{path}: reading Keras' files needs h5py: pip install h5py") from error
    config: dict[str, Any] = {}
    try:
        source: Any = path
        if is_keras_zip(path):
            with zipfile.ZipFile(path) as archive:
                source = io.BytesIO(archive.read(_ZIPPED))
                config = json.loads(archive.read("config.json"))
        with h5py.File(source, "r") as file:
            if "model_config" in file.attrs:
                config = json.loads(file.attrs["model_config"])
            arrays = _read_arrays(h5py, file)
    except (OSError, KeyError, RuntimeError, zipfile.BadZipFile, json.JSONDecodeError) as error:
        raise InputError(f"{path}: damaged Keras file ({error})") from error
    layout = BY_ORDER if "conv2d/vars/0" in arrays else BY_NAME
    network = fit(str(path), arrays, layout)
    size = _config_size(config)
    stated = replace(network.stated, size=size, bn_eps=_config_eps(config) or 1e-3)
    usual = replace(network.usual, size=size_from_name(path.name))
    return replace(network, stated=stated, usual=usual)


def _read_arrays(h5py: Any, file: Any) -> dict[str, Tensor]:
    """Weights by layer and name: conv1/kernel; an optimiser's are left out."""
    found: dict[str, Tensor] = {}
    root = file.get("model_weights", file)
    root = root.get("layers", root)

    def visit(name: str, item: Any) -> None:
        if not isinstance(item, h5py.Dataset) or item.dtype.kind != "f":
            return
        parts = name.split("/")
        if parts[0] in ("optimizer", "optimizer_weights"):
            return
        leaf = parts[-1].removesuffix(":0").removeprefix("depthwise_")
        # Plain .h5 repeats the layer's (and the model's) name in between.
        key = f"{parts[0]}/vars/{leaf}" if parts[-2:-1] == ["vars"] else f"{parts[0]}/{leaf}"
        is_depthwise = parts[0].startswith(("conv_dw", "depthwise"))
        found[key] = to_torch(np.asarray(item, np.float32), depthwise=is_depthwise)

    root.visititems(visit)
    return found


def _layers(config: dict[str, Any]) -> list[dict[str, Any]]:
    inner = config.get("config", {})
    layers = inner.get("layers", []) if isinstance(inner, dict) else []
    return [layer for layer in layers if isinstance(layer, dict)]


def _config_size(config: dict[str, Any]) -> int | None:
    """Side of the input, if the file holds the architecture and it is square and fixed."""
    for layer in _layers(config):
        if layer.get("class_name") == "InputLayer":
            entry = layer["config"]
            shape = entry.get("batch_shape") or entry.get("batch_input_shape") or []
            return int(shape[1]) if len(shape) == 4 and shape[1] == shape[2] and shape[1] else None
    return None


def _config_eps(config: dict[str, Any]) -> float | None:
    every = {
        float(layer["config"]["epsilon"])
        for layer in _layers(config)
        if layer.get("class_name") == "BatchNormalization"
    }
    return every.pop() if len(every) == 1 else None
