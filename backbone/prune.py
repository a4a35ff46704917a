"""Structured pruning: a trained MobileNet v1 is narrowed to the widths of a smaller alpha.

Whole channels are removed, so the result is an ordinary body of that width. The importance of a
channel combines three values: its batch norm's gamma (Liu et al., arXiv 1708.06519), the norm of
its filter, which weight decay shrinks where it is of little use (Li et al., 1608.08710), and the
energy that it contributes to the next layer: the variance of the input that the next 1x1
convolution gets from it, times the squares of the weights and batch-norm scales applied to it.
Dead channels have importance zero, whether their input is zero or their output is not used. No
image is needed: batch norm describes the distribution of its outputs.

The mean contribution of a removed channel is not lost but added to the next batch norm, as in the
bias correction of Nagel et al. (1906.04721), and the expected variance is adjusted.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor, nn

from backbone.layers import ConvBNAct, SeparableBlock
from backbone.mobilenet_v1 import MobileNetV1
from datasets.errors import InputError

# Number of points of a normal distribution, at equal probability, over which moments are computed.
_POINTS = 512
_TINY = 1e-300


@dataclass(frozen=True)
class PrunedBody:
    """A narrowed body, and the information that the layer on top of it needs.

    Attributes:
        body: Narrowed body, in evaluation mode.
        kept: (K,) indices of the channels of the last map that were kept, ascending.
        lost: (C,) mean of each channel of the original last map; 0 for those that were kept.
        shares: Share of each layer's energy that its kept channels have, stem first.
    """

    body: MobileNetV1
    kept: Tensor
    lost: Tensor
    shares: tuple[float, ...]


class _Signal(NamedTuple):
    """Distribution of the channels that the next layer's convolution reads, from batch norm."""

    mean: Tensor  # (C,) float64, as the variance.
    variance: Tensor


def prune_body(body: MobileNetV1, alpha: float, reader: Tensor) -> PrunedBody:
    """Narrow a body to the widths that ``alpha`` gives.

    Channels keep their order; at the body's own alpha all of them are kept, and nothing changes.

    Args:
        body: Trained body; it is not modified.
        alpha: Width multiplier, above 0 and not above the body's.
        reader: (O, C) weights that are applied to the pooled last map.

    Raises:
        InputError: If ``alpha`` is not above 0 or wider than the body, or the body has
            convolutions without batch norm, from which alone the contribution of channels is
            known.
    """
    _refuse(body, alpha)
    narrow = _like(body, alpha)
    signals = _signals(body)
    gains = [_gains(_mixer(layer)) for layer in list(body.layers)[1:]]
    gains.append(reader.detach().double().square().sum(0))
    kept: list[Tensor] = []
    shares: list[float] = []
    for index, layer in enumerate(body.layers):
        energy = signals[index].variance * gains[index]
        worth = _strength(_mixer(layer)) * energy.sqrt()
        chosen = _strongest(worth, _mixer(narrow.layers[index]).conv.out_channels)
        kept.append(chosen)
        shares.append(float(energy[chosen].sum() / energy.sum().clamp(min=_TINY)))
    with torch.no_grad():
        _fill(body, narrow, kept, signals)
    lost = signals[-1].mean.clone()
    lost[kept[-1]] = 0
    return PrunedBody(narrow.eval(), kept[-1], lost, tuple(shares))


def _refuse(body: MobileNetV1, alpha: float) -> None:
    if not alpha > 0:
        raise InputError(f"--alpha {alpha} must be above 0 (1 is full width)")
    if alpha > body.alpha:
        raise InputError(
            f"--alpha {alpha:g}: wider than the network to prune, which has {body.alpha:g}; "
            "choose a smaller one"
        )
    if not all(isinstance(one.bn, nn.BatchNorm2d) for one in _blocks(body)):
        raise InputError(
            f"variant {body.variant} cannot be pruned: it has convolutions without batch norm, by "
            "which channels are ranked"
        )


def _blocks(body: nn.Module) -> Iterator[ConvBNAct]:
    return (module for module in body.modules() if isinstance(module, ConvBNAct))


def _like(body: MobileNetV1, alpha: float) -> MobileNetV1:
    """A fresh body that differs only in width."""
    stem = _mixer(body.layers[0]).conv
    return MobileNetV1(alpha, body.flavour, stem.in_channels, body.variant, stem.stride[0])


def _mixer(layer: nn.Module) -> ConvBNAct:
    """The convolution of a layer that reads all channels of the layer before."""
    mixer = layer.pointwise if isinstance(layer, SeparableBlock) else layer
    assert isinstance(mixer, ConvBNAct)
    return mixer


def _signals(body: MobileNetV1) -> list[_Signal]:
    """For each layer, how its output channels are distributed when the next mixer reads them.

    A depthwise convolution with its own batch norm precedes each 1x1 convolution, and describes
    its input better than the batch norm of the previous layer; the last map is read directly.
    """
    layers = list(body.layers)
    after = [*layers[1:], None]
    return [
        _signal(reader.depthwise if isinstance(reader, SeparableBlock) else _mixer(layer))
        for layer, reader in zip(layers, after, strict=True)
    ]


def _signal(block: ConvBNAct) -> _Signal:
    """Moments of a block's activated output.

    Batch norm's output has mean beta and variance gamma^2 v / (v + eps) over the training images,
    v being the variance of its input; its shape is taken to be normal.
    """
    norm = block.bn
    assert isinstance(norm, nn.BatchNorm2d)
    assert norm.running_var is not None
    var = norm.running_var.double()
    spread = norm.weight.detach().double().abs() * (var / (var + norm.eps)).sqrt()
    steps = (torch.arange(_POINTS, dtype=torch.float64) + 0.5) / _POINTS
    values = norm.bias.detach().double()[:, None] + spread[:, None] * torch.special.ndtri(steps)
    seen: Tensor = block.act(values)
    return _Signal(seen.mean(1), seen.var(1, correction=0))


def _gains(mixer: ConvBNAct) -> Tensor:
    """(C,) factor by which each input's variance is multiplied, summed over a mixer's outputs."""
    norm = mixer.bn
    assert isinstance(norm, nn.BatchNorm2d)
    assert norm.running_var is not None
    scale = norm.weight.detach().double().square() / (norm.running_var.double() + norm.eps)
    weight = mixer.conv.weight.detach().double().square().sum((2, 3))
    gains: Tensor = (weight * scale[:, None]).sum(0)
    return gains


def _strength(mixer: ConvBNAct) -> Tensor:
    """(C,) gamma times filter norm of each output channel."""
    assert isinstance(mixer.bn, nn.BatchNorm2d)
    norms: Tensor = mixer.conv.weight.detach().double().flatten(1).norm(dim=1)
    return norms * mixer.bn.weight.detach().double().abs()


def _strongest(worth: Tensor, count: int) -> Tensor:
    """Indices of the ``count`` largest values, ascending; among equal values the first."""
    return worth.argsort(descending=True, stable=True)[:count].sort().values


def _fill(
    body: MobileNetV1, narrow: MobileNetV1, kept: list[Tensor], signals: list[_Signal]
) -> None:
    """Give a narrow body the weights of the kept channels."""
    columns: Tensor | None = None
    for index, (old, new) in enumerate(zip(body.layers, narrow.layers, strict=True)):
        if isinstance(old, SeparableBlock) and isinstance(new, SeparableBlock):
            assert columns is not None
            _copy(old.depthwise, new.depthwise, columns, None)
        mixer = _mixer(new)
        _copy(_mixer(old), mixer, kept[index], columns)
        if columns is not None:
            _make_up(_mixer(old), mixer, kept[index], columns, signals[index - 1])
        columns = kept[index]


def _copy(old: ConvBNAct, new: ConvBNAct, rows: Tensor, columns: Tensor | None) -> None:
    weight = old.conv.weight[rows]
    new.conv.weight.copy_(weight if columns is None else weight[:, columns])
    theirs = new.bn.state_dict()
    for name, value in old.bn.state_dict().items():
        theirs[name].copy_(value[rows] if value.ndim else value)


def _make_up(
    old: ConvBNAct, new: ConvBNAct, rows: Tensor, columns: Tensor, signal: _Signal
) -> None:
    """Adjust batch-norm statistics to the remaining input, assuming independent channels.

    If a 3x3 convolution reads it (``full_conv``), its padding is ignored.
    """
    assert isinstance(new.bn, nn.BatchNorm2d)
    assert new.bn.running_mean is not None
    assert new.bn.running_var is not None
    weight = old.conv.weight[rows].double()
    dropped = torch.ones(weight.shape[1], dtype=torch.bool)
    dropped[columns] = False
    new.bn.running_mean -= (weight.sum((2, 3)) * (signal.mean * dropped)).sum(1).float()
    parts = weight.square().sum((2, 3)) * signal.variance
    lost = (parts * dropped).sum(1) / parts.sum(1).clamp(min=_TINY)
    new.bn.running_var *= (1 - lost).float()
