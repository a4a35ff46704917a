"""TF-slim's checkpoints of MobileNet v1: SAME padding, epsilon 1e-3, ReLU6, input in -1..1."""

from __future__ import annotations

import re
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
    PartialFlavour(padding="same", bn_eps=1e-3, activation="relu6"),
    TENSORFLOW,
)


def read_slim(index: Path) -> Network:
    """Read a checkpoint.

    The trained values are taken, not their moving averages: TF-slim's own evaluation does so.
    An optimiser's slots, averages and counters are left out.

    Raises:
        InputError: If files are damaged, or a tensor is missing, left over or of a wrong shape.
    """
    wanted = set(LAYOUT.names.values())
    values, others = read_bundle(index, wanted.__contains__)
    tensors: dict[str, Tensor] = {
        name: to_torch(value, depthwise=name.endswith("depthwise_weights"))
        for name, value in values.items()
    }
    # Slots are named after their variable, which an unknown layer is not.
    for name in others:
        if name.startswith(_SCOPE) and name.rpartition("/")[0] not in wanted:
            tensors[name] = torch.empty(0)
    network = fit(str(index), tensors, LAYOUT)
    usual = replace(network.usual, size=size_from_name(index.name))
    return replace(network, usual=usual)


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
