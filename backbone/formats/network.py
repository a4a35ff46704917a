"""Weights of a MobileNet v1 from another framework, with all names and shapes checked."""

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

# The suite's names of the body's convolutions, in order of execution.
CONVS = (
    "0",
    *(f"{block}.{part}" for block in range(1, 14) for part in ("depthwise", "pointwise")),
)
# The convolution that follows them in the variant conv_head.
CONV_HEAD = "14"
Parts = tuple[str, str, str, str, str]
BODY_CONVS = len(CONVS)
# Parts of a convolution's name in the suite's state dict.
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
        kind: Description of the source.
        names: The framework's name of each tensor of a classifier, by the suite's name.
        stated: The part of the flavour that this layout implies.
        usual: Values that usually hold for the rest.
    """

    kind: str
    names: Mapping[str, str]
    stated: PartialFlavour = field(default_factory=PartialFlavour)
    usual: PartialFlavour = field(default_factory=PartialFlavour)


@dataclass(frozen=True)
class Network:
    """Weights under the suite's names, checked.

    Attributes:
        name: Name of the file.
        kind: Description of the source.
        state: Tensors of a classifier: ``body.layers...``, ``head.2.weight``, ``head.2.bias``;
            without the head's two if the file has none.
        alpha: Width multiplier.
        stated: The part of the flavour that the file states.
        usual: Values that usually hold for the rest.
        folded: Whether batch norm carries only an offset.
        variant: ``standard`` or ``conv_head``.
        left_out: Names of tensors that have no place in the suite's body or classifier.
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
        """Number of outputs of the head, including background; 0 without a head."""
        return self.state[HEAD_WEIGHT].shape[0] if HEAD_WEIGHT in self.state else 0


def tensor_names(
    convolutions: Sequence[str], norms: Sequence[str], parts: Parts, head: tuple[str, str]
) -> dict[str, str]:
    """The framework's name of each tensor of a classifier, by the suite's name.

    Args:
        convolutions: Its names of the 27 convolutions in order, without the last part; a 28th is
            the one of the variant conv_head.
        norms: Its names of the batch norms, in the same form.
        parts: Last part of the names of kernel, scale, offset, mean and variance.
        head: Names of weight and bias of the last layer.
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
    """Rename a file's tensors to the suite's names and check them.

    Args:
        name: Name of the file, for errors.
        tensors: Tensors in PyTorch's axis order, by name.
        layout: How they are named.
        takes_part: Whether tensors that the layout does not name are left out instead of refused.

    Raises:
        InputError: If a tensor is missing, unexpected, of the wrong shape or not finite; the
            message names it.
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
    """Refuse MobileNet v2 and v3, recognised by their depthwise convolutions; v1 has 13 of 3x3.

    Args:
        name: Name of the file.
        kernels: Sides of the depthwise kernels.

    Raises:
        InputError: If it is one of them; the message names the network.
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

    Args:
        name: Name of the file, for errors.
        state: Tensors under the suite's names.

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
    """Compare all shapes with the network's, and check that all values are possible.

    Args:
        name: Name of the file, for errors.
        state: Tensors under the suite's names.
        alpha: Width multiplier.
        names: The framework's name of each tensor, for errors.
        variant: Variant of MobileNet.

    Raises:
        InputError: If a tensor is wrong; the message gives the framework's name of it.
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
