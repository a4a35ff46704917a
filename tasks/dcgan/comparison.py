"""Differences between the arms of an experiment, and how certain they are."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.stats import t as student  # type: ignore[import-untyped]

from datasets.errors import InputError

Right = NDArray[np.bool_]
_LEVEL = 0.95
_RESAMPLES = 2000
_SEED = 0


class Span(NamedTuple):
    """An estimate with its 95 % interval; None if a single run gives no spread."""

    mean: float
    low: float | None
    high: float | None


class Row(NamedTuple):
    """An arm by its name, and its number of seeds.

    Attributes:
        top1: Mean over the seeds, with the interval of Student's t over them.
        gain: Gain over the first arm, seed by seed, with the same interval.
        gain_over_photos: The same gain, with a bootstrap over the images: for other images but the
            same seeds.
    """

    arm: str
    top1: Span
    gain: Span
    gain_over_photos: Span
    seeds: int


def compare(answers: Mapping[str, Right]) -> list[Row]:
    """Compare arms on the same images and seeds; the others are compared with the first.

    Args:
        answers: For each arm, (seeds, images) whether an answer is correct.

    Raises:
        InputError: If arms differ in seeds or images.
    """
    base = next(iter(answers.values()))
    rows = []
    for arm, right in answers.items():
        if right.shape != base.shape:
            raise InputError(
                f"arm {arm!r} has {right.shape[0]} runs on {right.shape[1]} images, the first arm "
                f"{base.shape[0]} on {base.shape[1]}: they cannot be compared"
            )
        top1, gains = right.mean(axis=1), right.mean(axis=1) - base.mean(axis=1)
        per_photo = over_photos(right.mean(axis=0) - base.mean(axis=0))
        rows.append(Row(arm, over_seeds(top1), over_seeds(gains), per_photo, len(right)))
    return rows


def over_seeds(values: NDArray[np.float64]) -> Span:
    """Mean of some runs (R,), and Student's interval for it."""
    mean = float(values.mean())
    if len(values) < 2:
        return Span(mean, None, None)
    error = float(values.std(ddof=1)) / np.sqrt(len(values))
    half = float(student.ppf((1 + _LEVEL) / 2, len(values) - 1) * error)
    return Span(mean, mean - half, mean + half)


def over_photos(values: NDArray[np.float64]) -> Span:
    """Mean of a value per image (P,), and a bootstrap interval; deterministic."""
    rng = np.random.default_rng(_SEED)
    means = [values[rng.integers(0, len(values), len(values))].mean() for _ in range(_RESAMPLES)]
    tail = 50 * (1 - _LEVEL)
    low, high = np.percentile(means, (tail, 100 - tail)).tolist()
    return Span(float(values.mean()), low, high)
