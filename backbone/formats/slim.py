"""Reads TF-slim's checkpoints of MobileNet v1: SAME, epsilon 1e-3, ReLU6, input in -1..1."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from backbone.formats.network import CONVS, Layout, Network, fit, tensor_names
from backbone.formats.partial import TENSORFLOW, PartialFlavour
from backbone.formats.tf_bundle import read_bundle

_SCOPE = "MobilenetV1/"
# Conv2d_0, Conv2d_1_depthwise, Conv2d_1_pointwise, ...
_CONVS = [f"{_SCOPE}Conv2d_{conv.replace('.', '_')}" for conv in CONVS]
_PARTS = ("/weights", "/gamma", "/beta", "/moving_mean", "/moving_variance")
# Part of the names of a detector's own layers.
_PREDICTOR = "BoxPredictor_"
_EPS = 1e-3
_HEAD = f"{_SCOPE}Logits/Conv2d_1c_1x1/"
_NAMES = tensor_names(
    _CONVS, [f"{conv}/BatchNorm" for conv in _CONVS], _PARTS, (f"{_HEAD}weights", f"{_HEAD}biases")
)
LAYOUT = Layout(
    "TF-slim's MobileNet v1",
    {
        ours: theirs.replace("depthwise/weights", "depthwise/depthwise_weights")
        for ours, theirs in _NAMES.items()
    },
    PartialFlavour(padding="same", bn_eps=_EPS, activation="relu6"),
    TENSORFLOW,
)


def read_slim(index: Path) -> Network:
    """Read a checkpoint of a classifier, or the body of a detector's.

    The trained values are used, not their moving averages, as in TF-slim's own evaluation. An
    optimiser's slots, averages and counters are left out.

    Args:
        index: The .index file.

    Raises:
        InputError: If files are damaged, or a tensor is missing, unexpected or of the wrong shape.
    """
    wanted = set(LAYOUT.names.values())
    values, others = read_bundle(index, lambda name: own_name(name) in wanted)
    is_whole = all(name.startswith(_SCOPE) for name in values)
    # Slots are named after their variable; an unknown layer is not.
    more = [
        name
        for name in others
        if _SCOPE in name and own_name(name.rpartition("/")[0]) not in wanted
    ]
    if is_whole:
        values |= {name: np.zeros(0, np.float32) for name in more}
        return named_network(index, LAYOUT.kind, values)
    network = named_network(index, f"{LAYOUT.kind}, the body of a detector", values)
    rest = [name for name in others if _PREDICTOR in name or name in more]
    return replace(network, left_out=tuple(n for n in rest if n.rpartition("/")[0] not in others))


def own_name(name: str) -> str:
    """A tensor's name, beginning with the scope of the network."""
    found = name.find(_SCOPE)
    return name if found < 0 else name[found:]


def named_network(
    path: Path, kind: str, values: Mapping[str, NDArray[np.float32]], *, takes_part: bool = False
) -> Network:
    """Read a network by TF-slim's names; some of its batch norms may be folded.

    Args:
        path: Path of the file.
        kind: Description of the source.
        values: Arrays in TensorFlow's axis order, by name; a scope before MobilenetV1 is ignored.
        takes_part: Whether other tensors are left out instead of refused.

    Raises:
        InputError: If a tensor is missing, unexpected or of the wrong shape.
    """
    tensors, folded = dict[str, Tensor](), False
    for name, value in values.items():
        own = own_name(name).replace("Conv2d_0_pointwise/", "Conv2d_0/")
        if own.endswith("_bn_offset"):
            norm, folded = f"{own.rpartition('/')[0]}/BatchNorm", True
            ones = torch.ones(value.size)
            tensors |= {f"{norm}/gamma": ones, f"{norm}/moving_mean": 0 * ones}
            tensors[f"{norm}/moving_variance"] = (1 - _EPS) * ones
            own = f"{norm}/beta"
        tensors[own] = to_torch(value, depthwise=name.endswith("depthwise_weights"))
    network = fit(str(path), tensors, replace(LAYOUT, kind=kind), takes_part=takes_part)
    usual = replace(network.usual, size=size_from_name(path.name))
    return replace(network, usual=usual, folded=folded)


def to_torch(value: NDArray[np.float32], *, depthwise: bool) -> Tensor:
    """A TensorFlow kernel in PyTorch's axis order: HWIO -> OIHW, depthwise HWCM -> CMHW."""
    if value.ndim == 4:
        value = value.transpose((2, 3, 0, 1) if depthwise else (3, 2, 0, 1))
    elif value.ndim == 2:
        value = value.T
    return torch.from_numpy(np.ascontiguousarray(value))


def size_from_name(name: str) -> int | None:
    """The input size in names like mobilenet_v1_0.25_128.ckpt or mobilenet_1_0_224_tf.h5."""
    found = re.search(r"_(128|160|192|224)(?!\d)", name)
    return int(found[1]) if found else None
