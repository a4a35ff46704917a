"""Ranges of a network's tensors, measured on images, for quantisation."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from onnx import ModelProto

from tasks.int8.network import Floats, Layer, Runner

Range = tuple[float, float]
Ranges = dict[str, Range]
Method = Literal["min-max", "percentile", "mse"]
LEVELS = 255
_BINS = 2048
# Number of values per tensor and image; the extremes are taken over all values.
_SAMPLES = 32768
_PERCENTILE = 99.99
_STEPS = 48


@dataclass
class Measured:
    """Statistics of a tensor over all images."""

    low: float
    high: float
    lows: Floats  # (C,) smallest value of each channel
    highs: Floats  # (C,) largest value of each channel
    power: NDArray[np.float64]  # (C,) mean square of each channel
    counts: NDArray[np.float64]  # (2048,) histogram between ``low`` and ``high``

    def centres(self) -> NDArray[np.float64]:
        """Middle of each bin."""
        edges = np.linspace(self.low, self.high, _BINS + 1)
        return (edges[1:] + edges[:-1]) / 2


def quantised_tensors(layers: Sequence[Layer]) -> tuple[str, ...]:
    """Every tensor that is rounded to 8 bits between layers, each once."""
    names: dict[str, None] = {}
    for layer in layers:
        names |= {layer.input: None, layer.output: None}
        if layer.kind == "LeakyRelu":
            names[layer.raw] = None
    return tuple(names)


def measure(
    network: ModelProto, layers: Sequence[Layer], pictures: Sequence[Floats]
) -> dict[str, Measured]:
    """Run a float network over images, twice: for the extremes, then for the histograms.

    Args:
        network: The network alone, from :func:`tasks.int8.network.cut_network`.
        layers: Its layers.
        pictures: Normalised images, (1, 3, S, S).
    """
    names = [name for name in quantised_tensors(layers) if name != layers[0].input]
    runner = Runner(network, names)
    found: dict[str, Measured] = {}
    for picture, outputs in zip(pictures, runner(pictures), strict=True):
        for name, value in ((layers[0].input, picture), *outputs.items()):
            _widen(found, name, value)
    for one in found.values():
        one.power /= len(pictures)
    for picture, outputs in zip(pictures, runner(pictures), strict=True):
        for name, value in ((layers[0].input, picture), *outputs.items()):
            one, flat = found[name], value.ravel()
            some = flat[:: max(1, len(flat) // _SAMPLES)]
            if one.high > one.low:
                one.counts += np.histogram(some, _BINS, (one.low, one.high))[0]
    return found


def _widen(found: dict[str, Measured], name: str, value: Floats) -> None:
    axes = tuple(axis for axis in range(value.ndim) if axis != 1)
    lows, highs = value.min(axis=axes), value.max(axis=axes)
    power = np.square(value, dtype=np.float64).mean(axis=axes)
    if name in found:
        one = found[name]
        lows, highs = np.minimum(one.lows, lows), np.maximum(one.highs, highs)
        power += one.power
    low, high = float(lows.min()), float(highs.max())
    found[name] = Measured(low, high, lows, highs, power, np.zeros(_BINS))


def choose_ranges(
    measured: Mapping[str, Measured], layers: Sequence[Layer], method: Method
) -> Ranges:
    """The range of each tensor; values outside are cut off, those inside rounded more finely.

    The image keeps its whole range: its 256 values fit exactly. Elsewhere ``min-max`` cuts nothing
    off; ``percentile`` the outer .01 %; ``mse`` takes the range with the smallest mean squared
    error.
    """
    slopes = {layer.raw: layer.slope for layer in layers if layer.kind == "LeakyRelu"}
    ranges = {}
    for name, one in measured.items():
        chosen: Method = "min-max" if name == layers[0].input else method
        ranges[name] = _choose(one, chosen, slopes.get(name, 1.0))
    return ranges


def _choose(one: Measured, method: Method, slope: float) -> Range:
    low, high = min(one.low, 0.0), max(one.high, 0.0)
    if method == "min-max" or not one.counts.any():
        return low, high
    if method == "percentile":
        outside = (100 - _PERCENTILE) / 200
        shares = np.cumsum(one.counts) / one.counts.sum()
        centres = one.centres()
        first, last = np.searchsorted(shares, [outside, 1 - outside])
        top = float(centres[min(last, _BINS - 1)])
        return min(float(centres[first]), 0.0) if low < 0 else 0.0, max(top, 0.0)
    return _least_error(one, low, high, slope)


def _least_error(one: Measured, low: float, high: float, slope: float) -> Range:
    """Cut one end, then the other, each where the squared error is smallest, and once more."""
    shares = np.linspace(1 / _STEPS, 1, _STEPS)
    values = one.centres()
    # Values that a leaky activation shrinks afterwards count for that much less.
    weights = one.counts * np.where(values < 0, slope**2, 1.0)
    best = (low, high)
    for _ in range(2):
        for end in (0, 1):
            if (low, high)[end] == 0:
                continue
            tries = [
                (low * share, best[1]) if end == 0 else (best[0], high * share) for share in shares
            ]
            best = min(tries, key=lambda range_: _error(values, weights, range_))
    return best


def _error(values: NDArray[np.float64], weights: NDArray[np.float64], range_: Range) -> float:
    low, high = range_
    step = (high - low) / LEVELS
    zero = round(-low / step)
    rounded = (np.clip(np.round(values / step) + zero, 0, LEVELS) - zero) * step
    # A bin's values are spread out; a step as fine as the bin would seem to round without error.
    inside = (values >= low) & (values <= high)
    error = np.where(inside, step**2 / 12, np.square(values - rounded))
    return float((error * weights).sum())
