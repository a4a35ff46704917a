"""Reads Keras' MobileNet in its three file formats: .h5, .weights.h5 and .keras.

Layers are identified by class and order, whatever their names are: models built on MobileNet
(body, pooling, a new head; the body within another model) are read like the original.
"""

from __future__ import annotations

import io
import re
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from backbone.formats.keras_config import KerasConfig, read_config
from backbone.formats.network import CONVS, Layout, Network, fit, natural, refuse_kin, tensor_names
from backbone.formats.partial import TENSORFLOW
from backbone.formats.slim import size_from_name, to_torch
from datasets.errors import InputError
from datasets.json_files import parse_json

KIND = "Keras' MobileNet"
_PARTS = ("/kernel", "/gamma", "/beta", "/moving_mean", "/moving_variance")
_ZIPPED = "model.weights.h5"
# Largest size of a member of an archive, in bytes; the largest MobileNet v1 takes 17 MB and its
# optimiser 34.
_MOST = 2**29
# Largest size of all arrays together, in bytes: an array that was never written takes only a few
# in the file.
_MOST_ARRAYS = 2**28
# Values of the original model, for files that hold only weights.
_STOCK = replace(TENSORFLOW, padding="keras", bn_eps=1e-3, activation="relu6")
# Variables of a layer that subtracts the mean of the training images, by their number.
_LEARNT = {"mean": "0", "variance": "1"}
_STATISTICS = ("gamma", "beta", "moving_mean", "moving_variance")
# Variables that a compiled model has besides its layers.
_OF_TRAINING = ("metrics", "optimizer", "optimizer_weights")


@dataclass
class _Layer:
    """A layer with weights: its kind and, by Keras' names (kernel, gamma, ...), its arrays."""

    name: str
    kind: str = ""
    arrays: dict[str, Tensor] = field(default_factory=dict)


def is_keras_zip(path: Path) -> bool:
    """Whether a file is a .keras archive."""
    try:
        with zipfile.ZipFile(path) as archive:
            return _ZIPPED in archive.namelist()
    except OSError:
        raise
    except Exception:  # Of damaged names, fields and places zipfile raises a dozen kinds.
        return False


def read_keras(path: Path) -> Network:
    """Read a Keras file.

    Args:
        path: File to read.

    Raises:
        InputError: If h5py is not installed, the file is damaged or holds another network, or a
            tensor is missing, unexpected or of the wrong shape.
    """
    try:
        import h5py
    except ImportError as error:
        raise InputError(f"{path}: reading Keras' files needs h5py: pip install h5py") from error
    text: str | bytes | None = None
    try:
        source: Any = path
        if is_keras_zip(path):
            with zipfile.ZipFile(path) as archive:
                source = io.BytesIO(_member(archive, _ZIPPED))
                text = _member(archive, "config.json")
        with h5py.File(source, "r") as file:
            text = file.attrs.get("model_config", text)
            groups = _read_groups(h5py, file)
    except Exception as error:  # So do its members, and h5py.
        raise InputError(f"{path}: damaged Keras file ({error})") from error
    config = None if text is None else parse_json(text, f"{path}: its architecture")
    return network_of(path, KIND, groups, config)


def network_of(
    path: Path, kind: str, groups: Mapping[str, Mapping[str, NDArray[np.float32]]], config: Any
) -> Network:
    """Read a model from its layers.

    Args:
        path: Path of the file.
        kind: Description of the source.
        groups: Arrays by layer and name (``kernel``, or the number of a variable).
        config: The architecture as JSON; None if there is none.

    Raises:
        InputError: If it is another network, or a tensor is missing or of the wrong shape.
    """
    groups, learnt = dict(groups), dict[str, Any]()
    for name in [one for one in groups if one.rpartition("/")[2].startswith("normalization")]:
        arrays = groups.pop(name)
        learnt = {part: arrays.get(part, arrays.get(key)) for part, key in _LEARNT.items()}
    layers = [_layer(path, name, arrays) for name, arrays in groups.items()]
    depthwise = [one.arrays["kernel"] for one in layers if one.kind == "depthwise"]
    refuse_kin(str(path), [kernel.shape[-1] for kernel in depthwise])
    told = None if config is None else read_config(path, config, learnt)
    return _network(path, kind, layers, told)


def _member(archive: zipfile.ZipFile, name: str) -> bytes:
    if archive.getinfo(name).file_size > _MOST:
        raise ValueError(f"{name} of more than {_MOST >> 20} MB")
    return archive.read(name)


def _read_groups(h5py: Any, file: Any) -> dict[str, dict[str, Any]]:
    """Arrays by layer and name, without those of training and counters of random generators."""
    found: dict[str, dict[str, Any]] = {}
    root = file.get("model_weights", file)
    root = root if isinstance(root, h5py.Group) else file
    left = _MOST_ARRAYS

    def visit(name: str, item: Any) -> None:
        nonlocal left
        if not isinstance(item, h5py.Dataset) or item.dtype.kind != "f":
            return
        place = place_of(name)
        if place is None:
            return
        left -= item.size * max(4, item.dtype.itemsize)
        if left < 0 or item.ndim > 4:
            raise ValueError(f"{name}: too large, {item.shape}")
        layer, leaf = place
        found.setdefault(layer, {})[leaf] = np.asarray(item, np.float32)

    root.visititems(visit)
    return found


def place_of(name: str) -> tuple[str, str] | None:
    """A variable's layer and its name in it (``kernel``, or a number); None for training's own.

    Files of Keras 2 put a model's name before the names of its layers; those of Keras 3 identify a
    layer by its whole path.
    """
    *parts, leaf = name.split("/")
    if not parts or parts[0] in _OF_TRAINING:
        return None
    layer = "/".join(parts[:-1]) if parts[-1] == "vars" else parts[-1]
    return layer, leaf.removesuffix(":0")


def _layer(path: Path, name: str, given: Mapping[str, Any]) -> _Layer:
    """Identify a layer by its arrays; in .weights.h5 and .keras they are only numbered."""
    arrays = dict(given)
    first = arrays.get("0", arrays.get("kernel", arrays.get("depthwise_kernel", np.zeros(0))))
    is_norm = first.ndim == 1
    if set(arrays) <= set("0123"):
        parts = _STATISTICS[-len(arrays) :] if is_norm else ("kernel", "bias")
        arrays = dict(zip(parts, (arrays[key] for key in sorted(arrays)), strict=False))
    arrays = {key.removeprefix("depthwise_"): value for key, value in arrays.items()}
    if is_norm and {"moving_mean", "moving_variance"} <= arrays.keys() <= set(_STATISTICS):
        kind = "norm"
    elif first.ndim in (2, 4) and {"kernel"} <= arrays.keys() <= {"kernel", "bias"}:
        is_depthwise = first.ndim == 4 and first.shape[0] > 1 and first.shape[3] == 1
        kind = "depthwise" if is_depthwise else "conv" if first.ndim == 4 else "dense"
    else:
        held = ", ".join(arrays)
        raise InputError(f"{path}: layer {name!r} ({held}) is none of a MobileNet v1")
    depthwise = kind == "depthwise"
    return _Layer(name, kind, {k: to_torch(v, depthwise=depthwise) for k, v in arrays.items()})


def _network(
    path: Path, kind: str, layers: Sequence[_Layer], config: KerasConfig | None
) -> Network:
    order = {} if config is None else {name: k for k, name in enumerate(config.names)}

    def place(layer: _Layer) -> tuple[Any, ...]:
        # A head belongs to the outer model, and so comes after all of the inner one.
        depth = layer.name.count("/")
        is_head = layer.name.startswith("conv_preds")
        stock = re.match(r"conv_(dw|pw)_(\d+)", layer.name)
        block = (int(stock[2]), stock[1]) if stock else (0, "")
        return order.get(layer.name, len(order)), is_head, -depth, block, natural(layer.name)

    by_kind: dict[str, list[_Layer]] = {k: [] for k in ("conv", "depthwise", "norm", "dense")}
    for layer in sorted(layers, key=place):
        by_kind[layer.kind].append(layer)
    convs, depthwise, norms = by_kind["conv"], by_kind["depthwise"], by_kind["norm"]
    blocks = len(CONVS) // 2
    if len(depthwise) < blocks or len(norms) < len(CONVS) or len(convs) < blocks + 1:
        raise InputError(
            f"{path}: not a MobileNet v1: {len(convs)} convolutions, {len(depthwise)} depthwise "
            f"ones and {len(norms)} batch norms; it has {blocks + 1}, {blocks} and {len(CONVS)}"
        )
    body = [convs[0]]
    for one, two in zip(depthwise, convs[1:], strict=False):
        body += [one, two]
    tensors: dict[str, Tensor] = {}
    for conv, norm in zip(body, norms, strict=False):
        tensors |= _conv_bn(conv, norm)
    width = body[-1].arrays["kernel"].shape[0]
    after = [*convs[blocks + 1 :], *norms[len(CONVS) :], *by_kind["dense"]]
    head, left_out = _head(after, width, config)
    last = "" if head is None else head.name
    if head is not None:
        tensors |= {f"{last}/{part}": value for part, value in head.arrays.items()}
    names = tensor_names(
        [one.name for one in body],
        [one.name for one in norms[: len(CONVS)]],
        _PARTS,
        (f"{last}/kernel", f"{last}/bias"),
    )
    network = fit(str(path), tensors, Layout(kind, names, usual=_STOCK))
    network = replace(network, left_out=tuple(left_out))
    size = size_from_name(path.name)
    if config is None:
        return replace(network, usual=replace(network.usual, size=size), whole=False)
    usual = replace(TENSORFLOW, size=size)
    return replace(network, stated=config.stated, usual=usual, takes=255 * config.prepares)


def _conv_bn(conv: _Layer, norm: _Layer) -> dict[str, Tensor]:
    """Arrays of both by name; a bias of the convolution is moved into the mean after it."""
    arrays = dict(norm.arrays)
    arrays.setdefault("gamma", torch.ones_like(arrays["moving_variance"]))
    arrays.setdefault("beta", torch.zeros_like(arrays["moving_variance"]))
    bias = conv.arrays.get("bias")
    if bias is not None and bias.shape == arrays["moving_mean"].shape:
        arrays["moving_mean"] = arrays["moving_mean"] - bias
    found = {f"{norm.name}/{part}": value for part, value in arrays.items()}
    return found | {f"{conv.name}/kernel": conv.arrays["kernel"]}


def _head(
    layers: Sequence[_Layer], width: int, config: KerasConfig | None
) -> tuple[_Layer | None, list[str]]:
    """The only linear layer of a classifier, and names of what this suite cannot hold."""
    names = [f"{layer.name}/{part}" for layer in layers for part in layer.arrays]
    ending = "" if config is None else config.ending
    kernel = layers[0].arrays.get("kernel") if len(layers) == 1 else None
    if kernel is None or kernel.shape[1] != width or (config and not config.is_linear):
        return None, names
    bias = layers[0].arrays.get("bias", torch.zeros(kernel.shape[0]))
    if ending == "sigmoid" and kernel.shape[0] == 1:
        # One logit z: the second of two logits 0 and z has the same probability.
        kernel, bias = (torch.cat([torch.zeros_like(part), part]) for part in (kernel, bias))
    elif ending not in ("", "softmax"):
        return None, names
    return replace(layers[0], arrays={"kernel": kernel, "bias": bias}), []
