"""A MobileNet v1 from a foreign file: every tensor found, none left over, all shapes right."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from backbone.formats.partial import PartialFlavour
from backbone.layers import scale_channels
from backbone.mobilenet_v1 import BLOCKS, MobileNetV1
from backbone.spec import Variant
from datasets.errors import InputError

# Our names of the body's convolutions, in order of execution.
CONVS = (
    "0",
    *(f"{block}.{part}" for block in range(1, 14) for part in ("depthwise", "pointwise")),
)
# Behind them, in the variant conv_head.
CONV_HEAD = "14"
Parts = tuple[str, str, str, str, str]
BODY_CONVS = len(CONVS)
# What follows a convolution's name in our state dict.
CONV_PARTS = ("conv.weight", "bn.weight", "bn.bias", "bn.running_mean", "bn.running_var")
HEAD_WEIGHT, HEAD_BIAS = "head.2.weight", "head.2.bias"
BODY = "body."
STEM, LAST = f"{BODY}layers.0.conv.weight", f"{BODY}layers.13.pointwise.conv.weight"
_HEAD_CONV = f"{BODY}layers.{CONV_HEAD}.conv.weight"
_COUNTER = "num_batches_tracked"


@dataclass(frozen=True)
class Layout:
    """How a framework names the tensors of a MobileNet v1.

    Attributes:
        kind: Of the source, in words.
        names: Their name of each tensor of a classifier, by ours.
        stated: What this layout says of the flavour; ``usual`` is what else mostly holds.
    """

    kind: str
    names: Mapping[str, str]
    stated: PartialFlavour = field(default_factory=PartialFlavour)
    usual: PartialFlavour = field(default_factory=PartialFlavour)


@dataclass(frozen=True)
class Network:
    """Weights in our names, checked.

    Attributes:
        name: Of the file.
        kind: Of the source, in words.
        state: Of a classifier: ``body.layers...``, ``head.2.weight``, ``head.2.bias``; without
            the head's two if the file has none.
        stated: What the file says of the flavour; ``usual`` is what else mostly holds.
        folded: Batch norm carries only an offset.
        variant: standard or conv_head.
        left_out: Names of tensors that have no place in a body or a classifier of ours.
        takes: Largest value of an image as the file's own graph takes it, 1 or 255, if it scales
            images itself; 0 if it takes normalised values.
        whole: Whether the file holds its architecture, so that it can be run.
    """

    name: str
    kind: str
    state: dict[str, Tensor]
    alpha: float
    stated: PartialFlavour
    usual: PartialFlavour
    folded: bool = False
    variant: Variant = "standard"
    left_out: tuple[str, ...] = ()
    takes: int = 0
    whole: bool = True

    @property
    def columns(self) -> int:
        """Of the head, background included; 0 without a head."""
        return self.state[HEAD_WEIGHT].shape[0] if HEAD_WEIGHT in self.state else 0


def tensor_names(
    convolutions: Sequence[str], norms: Sequence[str], parts: Parts, head: tuple[str, str]
) -> dict[str, str]:
    """Their name of each tensor of a classifier, by ours.

    Args:
        convolutions: Their names of the 27 convolutions in order, without the last part; a 28th
            is the variant conv_head's.
        norms: Of the batch norms, likewise.
        parts: Last part of kernel, scale, offset, mean and variance.
        head: Weight and bias of the last layer.
    """
    names = {}
    every = (*CONVS, CONV_HEAD)[: max(len(convolutions), len(CONVS))]
    for ours, conv, norm in zip(every, convolutions, norms, strict=True):
        for part, theirs in zip(CONV_PARTS, parts, strict=True):
            prefix = conv if part == CONV_PARTS[0] else norm
            names[f"{BODY}layers.{ours}.{part}"] = f"{prefix}{theirs}"
    return names | dict(zip((HEAD_WEIGHT, HEAD_BIAS), head, strict=True))


def fit(
    name: str,
    tensors: Mapping[str, Tensor],
    layout: Layout,
    *,
    takes_part: bool = False,
) -> Network:
    """Bring a file's tensors under our names.

    Args:
        name: Of the file, for errors.
        tensors: In PyTorch's axis order, by their name.
        layout: How they are named.
        takes_part: Whether tensors that the layout does not name are left out, not refused.

    Raises:
        InputError: If a tensor is missing, left over, of a wrong shape or not finite, naming it.
    """
    names = dict(layout.names)
    if not any(names.get(key) in tensors for key in (HEAD_WEIGHT, HEAD_BIAS)):
        names.pop(HEAD_WEIGHT, None), names.pop(HEAD_BIAS, None)
    for ours, theirs in names.items():
        if theirs not in tensors:
            raise InputError(
                f"{name}: read as {layout.kind}, but it lacks the tensor {theirs!r} (our {ours!r})"
            )
    extra = sorted(tensors.keys() - set(names.values()))
    extra = [key for key in extra if not key.endswith(_COUNTER)]
    if extra and not takes_part:
        raise InputError(
            f"{name}: read as {layout.kind}, but it holds {extra[0]!r} besides "
            f"({len(extra)} such): not a MobileNet v1 classifier, or one with more to it"
        )
    state = {ours: tensors[theirs].detach().float() for ours, theirs in names.items()}
    if HEAD_WEIGHT in state and state[HEAD_WEIGHT].shape[2:] == (1, 1):
        state[HEAD_WEIGHT] = state[HEAD_WEIGHT][:, :, 0, 0]  # Some have a convolution here.
    alpha = find_alpha(name, state)
    variant: Variant = "conv_head" if _HEAD_CONV in names else "standard"
    check_state(name, state, alpha, names, variant)
    for conv in (*CONVS, CONV_HEAD)[: len(CONVS) + (variant == "conv_head")]:
        state[f"{BODY}layers.{conv}.bn.{_COUNTER}"] = torch.tensor(0)
    return Network(
        name,
        layout.kind,
        state,
        alpha,
        layout.stated,
        layout.usual,
        variant=variant,
        left_out=tuple(extra),
    )


def natural(name: str) -> list[tuple[int, str]]:
    """A key that sorts conv2d, conv2d_2, conv2d_10 in this order."""
    parts = re.split(r"(\d+)", name)
    return [(int(part), "") if number % 2 else (-1, part) for number, part in enumerate(parts)]


def refuse_kin(name: str, kernels: Sequence[int]) -> None:
    """Tell MobileNet v2 and v3 by their depthwise convolutions; v1 has 13 of 3x3.

    Args:
        name: Of the file.
        kernels: Sides of the depthwise kernels.

    Raises:
        InputError: Naming the network.
    """
    found = {17: "MobileNet v2", 11: "MobileNet v3 small", 15: "MobileNet v3 large"}
    other = found.get(len(kernels))
    if other and (5 in kernels) == ("v3" in other):
        raise InputError(
            f"{name}: a {other} ({len(kernels)} depthwise convolutions), not a MobileNet v1, "
            "which has 13: only v1 is read"
        )


def find_alpha(name: str, state: Mapping[str, Tensor]) -> float:
    """The width multiplier that gives the first and the last layer their widths.

    Raises:
        InputError: If there is none.
    """
    stem, last = (next(iter(state[key].shape), 0) for key in (STEM, LAST))
    exact = last / BLOCKS[-1][1]
    for alpha in (round(exact, 2), round(exact, 3), exact):
        if alpha > 0 and (scale_channels(32, alpha), scale_channels(1024, alpha)) == (stem, last):
            return alpha
    raise InputError(
        f"{name}: first layer {stem} and last layer {last} channels wide: no width multiplier "
        "gives a MobileNet v1 of these"
    )


def check_state(
    name: str,
    state: Mapping[str, Tensor],
    alpha: float,
    names: Mapping[str, str],
    variant: Variant = "standard",
) -> None:
    """Compare all shapes with the network's, and look for values that no network has.

    Raises:
        InputError: Naming the tensor in their words.
    """
    with torch.device("meta"):
        body = MobileNetV1(alpha, variant=variant)
    wanted = {f"{BODY}{key}": tuple(value.shape) for key, value in body.state_dict().items()}
    if HEAD_BIAS in state:
        columns = state[HEAD_BIAS].numel()
        wanted |= {HEAD_WEIGHT: (columns, body.channels[32]), HEAD_BIAS: (columns,)}
    for ours, tensor in state.items():
        theirs = names.get(ours, ours)
        if tuple(tensor.shape) != wanted[ours]:
            raise InputError(
                f"{name}: {theirs!r} is {tuple(tensor.shape)}, but {wanted[ours]} in a "
                f"MobileNet v1 of alpha {alpha:g} (our {ours!r})"
            )
        if not tensor.isfinite().all():
            raise InputError(f"{name}: {theirs!r} holds values that are not finite")
        if ours.endswith("running_var") and tensor.min() < 0:
            raise InputError(f"{name}: {theirs!r} holds variances below 0")
