"""Differences between the layers of an 8-bit network and the same layers in float."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from math import isfinite
from typing import Any

import numpy as np
from onnx import numpy_helper

from tasks.int8.network import Floats, Runner, cut_network, tensors_of
from tasks.int8.quantize import rounded_name
from tasks.int8.remedies import State
from tasks.int8.simulate import decibels, lone_errors

_SHOWN = 10


@dataclass(frozen=True)
class LayerError:
    """A layer's signal over its error in dB: 20 is an error of a tenth, 40 of a hundredth."""

    name: str
    kind: str  # convolution, depthwise, pointwise or linear
    alone: float  # with its own weights and input rounded, all before it in float
    whole: float  # in the 8-bit file, where the errors of all layers before it come in
    # Largest over median range of its output channels' weights: as many times fewer levels a scale
    # per tensor leaves the median channel.
    spread: float
    low: float  # smallest value that its output can take
    high: float
    precision: str  # int8, or float32 where it was left so

    def to_json(self) -> dict[str, Any]:
        """Plain dict; a layer without error has null in place of infinity."""
        return {
            key: None if isinstance(value, float) and not isfinite(value) else value
            for key, value in asdict(self).items()
        }


def layer_errors(truth: State, chosen: State, pictures: Sequence[Floats]) -> list[LayerError]:
    """Compare an 8-bit network with the float one, layer by layer; the worst first, by ``alone``.

    Args:
        truth: The network in float, with its channels scaled as those of ``chosen``.
        chosen: The network that is rounded.
        pictures: Normalised images, (1, 3, S, S).
    """
    ranges = chosen.ranges
    alone = lone_errors(chosen.network, chosen.layers, ranges, pictures)
    whole = _whole_errors(truth, chosen, pictures)
    constants = tensors_of(chosen.model)
    rows = []
    for layer in chosen.layers:
        weight = numpy_helper.to_array(constants[layer.weight])
        tops = np.abs(weight.reshape(len(weight), -1)).max(axis=1)
        left = layer.name in chosen.floats
        rows.append(
            LayerError(
                name=layer.name,
                kind=_kind(weight.shape),
                alone=float("inf") if left else alone[layer.name],
                whole=whole[layer.name],
                spread=float(tops.max() / max(float(np.median(tops)), 1e-12)),
                low=float(ranges[layer.output][0]),
                high=float(ranges[layer.output][1]),
                precision="float32" if left else "int8",
            )
        )
    return sorted(rows, key=lambda row: (row.alone, row.name))


def _whole_errors(truth: State, chosen: State, pictures: Sequence[Floats]) -> dict[str, float]:
    true_names = [layer.output for layer in truth.layers]
    network = cut_network(truth.model, truth.layers)
    rounded = chosen.quantised(cut_network(chosen.model, chosen.layers))
    names = [rounded_name(rounded, layer.output) for layer in chosen.layers]
    sums = np.zeros((len(names), 2))
    runs = (Runner(network, true_names)(pictures), Runner(rounded, names)(pictures))
    for true, ours in zip(*runs, strict=True):
        for row, (one, other) in enumerate(zip(true_names, names, strict=True)):
            sums[row, 0] += float(np.square(true[one]).sum())
            sums[row, 1] += float(np.square(true[one] - ours[other]).sum())
    return {
        layer.name: decibels(signal, error)
        for layer, (signal, error) in zip(chosen.layers, sums.tolist(), strict=True)
    }


def _kind(shape: tuple[int, ...]) -> str:
    if len(shape) == 2:
        return "linear"
    if shape[1] == 1 and shape[0] > 1:
        return "depthwise"
    return "pointwise" if shape[2:] == (1, 1) else "convolution"


def describe_layers(rows: Sequence[LayerError]) -> str:
    """The worst layers as a table."""
    lines = [f"  {'layer':<34} {'kind':<11} {'alone':>6} {'whole':>6}   dB, worst first"]
    for row in rows[:_SHOWN]:
        told = f"{row.alone:6.1f}" if isfinite(row.alone) else " float"
        lines.append(f"  {row.name:<34} {row.kind:<11} {told} {row.whole:6.1f}")
    if len(rows) > _SHOWN:
        lines.append(f"  ... and {len(rows) - _SHOWN} more")
    return "\n".join(lines)
