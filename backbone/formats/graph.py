"""Graphs of layers from any format: their convolutions, with what follows each of them.

A format's reader describes what each node does (:class:`Step`). Here batch norms and biases are
folded into the convolutions before them, and the layers of a MobileNet v1 are identified.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray

from backbone.formats.folded import Chain, FoldedConv, one_linear, read_chain
from backbone.formats.network import BODY_CONVS, Network, refuse_kin
from backbone.formats.partial import RGB
from datasets.errors import InputError

Array = NDArray[np.float64]
# If its factor is below this, a graph scales bytes, otherwise values in 0..1: no network uses
# values above 128.
_OF_BYTES = 0.5
_ANSWERS = ("a Softmax", "a LogSoftmax", "a Sigmoid")
# Pairs of consecutive activations that equal a single one.
_TOGETHER = {
    ("relu", "min6"): "relu6",
    ("min6", "relu"): "relu6",
    ("relu6", "relu"): "relu6",
    ("relu6", "min6"): "relu6",
}


def worded(kind: str) -> str:
    """A kind of node with its article: a Gather, an ADD."""
    return f"{'an' if kind[:1] in 'AEIOU' else 'a'} {kind}"


@dataclass(frozen=True)
class Step:
    """What one node does to one tensor.

    Attributes:
        kind: ``conv``; ``affine``, a factor and a summand per channel; ``act``; ``pad``, zeros
            around a map; ``idle``, the same values in another shape, pooled, or as probabilities;
            or ``other``.
        name: Name of the node.
        source: Tensor that it reads.
        result: Tensor that it writes.
        weight: Weights of a convolution or linear layer, (out, in, kh, kw); (out, 1, kh, kw) if
            depthwise.
        factor: Factor of an affine step, a number or (C,).
        summand: Summand of an affine step, a number or (C,).
        stride: Stride of a convolution, in both directions.
        pads: Zeros at top, left, bottom and right; or ``same``.
        activation: Name of the activation as in a flavour; for ``idle`` and ``other`` a
            description.
        pools: Whether an idle step averages over positions.
    """

    kind: Literal["conv", "affine", "act", "pad", "idle", "other"]
    name: str
    source: str
    result: str
    weight: Array | None = None
    factor: Any = 1.0
    summand: Any = 0.0
    stride: int = 1
    pads: tuple[int, ...] | Literal["same"] = (0, 0, 0, 0)
    activation: str = "none"
    pools: bool = False


@dataclass
class _Conv:
    """A convolution while what follows it is collected."""

    step: Step
    before: _Conv | None
    weight: Array
    bias: Array
    pads: tuple[int, ...] | Literal["same"]
    activation: str = "none"
    others: list[str] = field(default_factory=list)
    is_answer: bool = False
    """Whether its values were converted to probabilities."""
    pool: str = ""
    """Description of what averaged the values that it reads."""

    def activate(self, step: Step) -> None:
        """Add an activation, or record that the values become probabilities."""
        kind = "sigmoid" if step.activation == "a Sigmoid" else step.activation
        if step.kind == "act" or kind == "sigmoid":
            if self.activation not in ("none", kind) and (self.activation, kind) not in _TOGETHER:
                self.others.append(f"activation {kind} after activation {self.activation}")
            self.activation = _TOGETHER.get((self.activation, kind), kind)
        self.is_answer |= step.activation in _ANSWERS

    def finished(self) -> FoldedConv:
        weight = torch.from_numpy(np.ascontiguousarray(self.weight, np.float32))
        bias = torch.from_numpy(np.ascontiguousarray(self.bias, np.float32))
        padding = _padding(self.pads, weight.shape[-1], self.step.stride)
        depthwise = weight.shape[1] == 1 and weight.shape[-1] > 1
        name, stride = self.step.name, self.step.stride
        return FoldedConv(name, weight, bias, depthwise, stride, padding, self.activation)


def _padding(pads: tuple[int, ...] | Literal["same"], side: int, stride: int) -> str:
    """Name of a padding; half the kernel's size on all sides is SAME at stride 1."""
    around = side // 2
    if pads == "same" or (stride == 1 and pads == (around,) * 4):
        return "same"
    known: dict[tuple[int, ...], str] = {
        (around,) * 4: "symmetric",
        (0, 0, around, around): "keras",
    }
    return known.get(pads, f"{pads}")


@dataclass(frozen=True)
class Row:
    """The convolutions of a graph, and how it preprocesses images.

    Attributes:
        convs: Convolutions in order of execution.
        sources: For each, index of the convolution that feeds it; -1 if there is none.
        others: For each, descriptions of what else reads its output.
        pools: For each, description of what averaged the values that it reads; empty if nothing
            did.
        factor: Factor that images are multiplied by before the first convolution; None if the
            graph takes normalised values.
        summand: Summand that is added after the factor.
        lost: Description of what lies between the images and the first convolution and is not
            understood; empty if there is nothing.
    """

    convs: tuple[FoldedConv, ...]
    sources: tuple[int, ...]
    others: tuple[tuple[str, ...], ...]
    pools: tuple[str, ...]
    factor: Array | None
    summand: Array
    lost: str = ""


def gather(steps: Iterable[Step], entry: str) -> Row:
    """Fold what follows each convolution into it.

    Args:
        steps: Steps in order of execution.
        entry: Name of the tensor that holds images.

    Raises:
        ValueError: If shapes of constants do not fit.
    """
    convs: list[_Conv] = []
    made: dict[str, _Conv] = {}
    averaged: dict[str, str] = {}
    photos, padded, pads = {entry}, set[str](), dict[str, tuple[int, ...]]()
    unknown, lost = "layers", ""
    factor, summand, prepares = np.ones(1), np.zeros(1), False
    for step in steps:
        conv = made.get(step.source)
        if step.pools or step.source in averaged:
            averaged[step.result] = averaged.get(step.source, step.activation)
        if step.kind == "conv":
            assert step.weight is not None
            zeros = pads.get(step.source)
            own = step.pads if zeros is None or step.pads == "same" else _sum(zeros, step.pads)
            if conv is not None and conv.is_answer:
                conv.others.append("probabilities that another layer reads")
            if not convs and step.source not in photos | padded:
                lost = unknown
            conv = _Conv(step, conv, step.weight, np.zeros(len(step.weight)), own)
            conv.pool = averaged.pop(step.result, "")
            convs.append(conv)
        elif step.source in photos and step.kind in ("affine", "idle") and not step.pools:
            photos.add(step.result)
            if step.kind == "affine":
                factor = factor * np.asarray(step.factor).reshape(-1)
                summand = summand * np.asarray(step.factor).reshape(-1)
                summand, prepares = summand + np.asarray(step.summand).reshape(-1), True
        elif step.kind == "pad":
            padded |= {step.result} if step.source in photos | padded else set()
            pads[step.result] = _sum(pads.get(step.source, (0, 0, 0, 0)), step.pads)
        elif (
            conv is not None
            and step.kind == "affine"
            and conv.activation == "none"
            and not conv.is_answer
        ):
            times, plus = (
                np.broadcast_to(np.asarray(value, np.float64).reshape(-1), len(conv.bias))
                for value in (step.factor, step.summand)
            )
            conv.weight = conv.weight * times[:, None, None, None]
            conv.bias = conv.bias * times + plus
        elif conv is not None and step.kind in ("act", "idle"):
            conv.activate(step)
        elif conv is not None:
            late = "arithmetic after an activation"
            conv.others.append(late if step.kind == "affine" else step.activation)
            continue
        elif step.source in photos | padded and (step.kind == "other" or step.pools):
            unknown = step.activation
        if conv is not None:
            made[step.result] = conv
    places = {id(conv): number for number, conv in enumerate(convs)}
    return Row(
        tuple(conv.finished() for conv in convs),
        tuple(places.get(id(conv.before), -1) for conv in convs),
        tuple(tuple(conv.others) for conv in convs),
        tuple(conv.pool for conv in convs),
        factor if prepares else None,
        summand,
        lost,
    )


def _sum(one: tuple[int, ...], two: Any) -> tuple[int, ...]:
    return tuple(a + int(b) for a, b in zip(one, two, strict=True))


def read_row(
    path: Path, kind: str, row: Row, shape: tuple[int | None, int | None, int], *, bytes_in: bool
) -> Network:
    """Read the classifier or body that a sequence of convolutions represents.

    Args:
        path: Path of the file.
        kind: Description of the source.
        row: Convolutions from :func:`gather`.
        shape: (height, width, channels) of the input; None where it is open.
        bytes_in: Whether the input is of type uint8.

    Raises:
        InputError: If it is not a MobileNet v1; the message states what it has instead.
    """
    convs = row.convs
    refuse_kin(str(path), [conv.weight.shape[-1] for conv in convs if conv.depthwise])
    if row.lost:
        raise InputError(
            f"{path}: images are prepared by {row.lost} that cannot be read; cut off what stands "
            "before the first convolution and is no arithmetic with numbers"
        )
    at = next((k for k, source in enumerate(row.sources) if k and source != k - 1), len(convs))
    if at < max(BODY_CONVS, len(convs)):
        found = [what for others in row.others[:at] for what in others]
        told = f": it has {found[0]}" if found else f": {at} convolutions in a row"
        raise InputError(f"{path}: not a MobileNet v1{told}")
    refuse_pools(path, row, BODY_CONVS)
    mean, std, takes = scaling(row, bytes_in=bytes_in)
    chain = Chain(path, kind, convs, shape, mean, std, takes)
    return read_chain(chain, _last(path, convs[BODY_CONVS:], row.others[BODY_CONVS - 1 :]))


def refuse_pools(path: Path, row: Row, count: int) -> None:
    """Refuse averages before one of the first convolutions.

    Args:
        path: Path of the file.
        row: Convolutions of its graph.
        count: Number of convolutions that must not have one before them.

    Raises:
        InputError: If there is one; the message names the convolution.
    """
    for conv, pool in zip(row.convs[:count], row.pools, strict=False):
        if pool:
            raise InputError(
                f"{path}: not a MobileNet v1: it has {pool} before {conv.name}; a MobileNet v1 "
                "averages behind its last convolution"
            )


def keeps_maps(order: Sequence[int] | None) -> bool:
    """Whether a transposition only moves the channels of maps from first to last, or back."""
    return order is not None and (len(order) != 4 or tuple(order) in ((0, 2, 3, 1), (0, 3, 1, 2)))


def scaling(row: Row, *, bytes_in: bool) -> tuple[RGB | None, RGB | None, int]:
    """Mean, std, and the largest value of an image as the graph takes it, 1 or 255.

    None, None and 0 if it takes normalised values. Raises ValueError if it inverts brightness.
    """
    if row.factor is None:
        return ((0.0,) * 3, (1 / 255,) * 3, 255) if bytes_in else (None, None, 0)
    takes = 255 if bytes_in or float(row.factor.max()) < _OF_BYTES else 1
    if not ((row.factor > 0) & np.isfinite(row.factor)).all():
        raise ValueError(f"images are multiplied by {row.factor}")
    mean = np.broadcast_to(-row.summand / (row.factor * takes) + 0.0, 3)
    std = np.broadcast_to(1 / (row.factor * takes), 3)
    return tuple(mean.tolist()), tuple(std.tolist()), takes


def _last(
    path: Path, convs: Sequence[FoldedConv], others: Sequence[Sequence[str]]
) -> FoldedConv | None:
    """The classifier's linear layer."""
    odd = [what for some in others for what in some]
    ends = convs[-1].activation if convs else "none"
    if ends == "sigmoid" and len(convs[-1].weight) > 1:
        odd.append(f"a sigmoid for each of {len(convs[-1].weight)} columns")
    elif ends == "sigmoid":
        convs = [*convs[:-1], _of_two(convs[-1])]
    is_linear = all(c.weight.shape[2:] == (1, 1) and c.activation == "none" for c in convs)
    convs = one_linear(convs)
    if odd or len(convs) > 1 or not is_linear:
        told = odd[0] if odd else f"{len(convs)} layers after the body ({_listed(convs)})"
        raise InputError(
            f"{path}: not a MobileNet v1 classifier: it has {told}; one linear layer is expected"
        )
    return convs[0] if convs else None


def _listed(convs: Sequence[FoldedConv]) -> str:
    """Names of layers with their number of outputs and what follows them."""
    told = []
    for conv in convs:
        after = "" if conv.activation == "none" else f", {conv.activation}"
        told.append(f"{conv.name}: {len(conv.weight)} columns{after}")
    return "; ".join(told)


def _of_two(one: FoldedConv) -> FoldedConv:
    """A layer with one output before a sigmoid, as two outputs 0 and z before a softmax."""
    weight, bias = (torch.cat([0 * value, value]) for value in (one.weight, one.bias))
    return replace(one, weight=weight, bias=bias, activation="none")
