"""Average precision, thresholds, and the reliability of both."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

_RESAMPLES = 400
_SEED = 0
# Largest number of entries in a table of resampled images that is kept at once.
_TABLE = 4_000_000

Floats = NDArray[np.floating[Any]]


def average_precision(scores: Floats, truth: NDArray[np.bool_]) -> float:
    """Area under precision over recall, in steps, as in scikit-learn; NaN without a yes.

    It is the sum of (R_n - R_(n-1)) P_n over the thresholds: images with the same score are added
    together, and nothing is interpolated.

    Args:
        scores: (M,) scores; the higher, the more likely the attribute.
        truth: (M,) which images have the attribute.
    """
    return float(_resampled(scores, truth, np.ones((1, len(scores)), np.int32))[0])


def _resampled(
    scores: Floats, truth: NDArray[np.bool_], counts: NDArray[np.int32]
) -> NDArray[np.float64]:
    """Average precision (R,) where image m appears ``counts[r, m]`` times in the set r."""
    order = np.argsort(-scores, kind="stable")
    ranked = scores[order]
    ends = np.flatnonzero(np.append(ranked[1:] != ranked[:-1], True))
    counted = counts[:, order]
    above = np.cumsum(counted, axis=1)[:, ends]
    hits = np.cumsum(counted * truth[order], axis=1)[:, ends]
    steps = np.diff(hits, axis=1, prepend=0)
    with np.errstate(invalid="ignore"):
        total = (steps * (hits / np.maximum(above, 1))).sum(axis=1)
        return np.asarray(total / hits[:, -1], np.float64)


def mean_interval(
    scores: Floats, values: NDArray[np.int8], columns: NDArray[np.int64]
) -> tuple[float, float]:
    """Bootstrap interval of the mean average precision, 95 %, over the images.

    It is deterministic.

    Args:
        scores: (M, A) scores.
        values: (M, A) 1 yes, 0 no, -1 unknown.
        columns: Columns of the attributes to average.
    """
    means = []
    for counts in _tables(len(scores)):
        each = []
        for column in columns.tolist():
            known = values[:, column] >= 0
            truth = values[known, column] == 1
            each.append(_resampled(scores[known, column], truth, counts[:, known]))
        # A resample may contain no image with a rare attribute: then the others are averaged.
        table = np.array(each)
        with np.errstate(invalid="ignore"):
            means.append(np.nansum(table, axis=0) / np.isfinite(table).sum(axis=0))
    low, high = np.nanpercentile(np.concatenate(means), (2.5, 97.5)).tolist()
    return low, high


def _tables(count: int) -> Iterator[NDArray[np.int32]]:
    """How often each of some images was drawn, in parts (R, count) of all resamples."""
    rng = np.random.default_rng(_SEED)
    rows = max(1, min(_RESAMPLES, _TABLE // max(count, 1)))
    for start in range(0, _RESAMPLES, rows):
        drawn = rng.integers(0, count, (min(rows, _RESAMPLES - start), count))
        yield np.array([np.bincount(row, minlength=count) for row in drawn], dtype=np.int32)


def fit_threshold(scores: Floats, truth: NDArray[np.bool_]) -> float:
    """Probability from which to answer yes so that balanced accuracy is highest.

    Among equally good ones it is the nearest to .5; it is .5 if all images have the same answer.

    Args:
        scores: (M,) probabilities.
        truth: (M,) which images have the attribute.
    """
    if truth.all() or not truth.any():
        return 0.5
    order = np.argsort(-scores, kind="stable")
    ranked, hits = scores[order].astype(np.float64), np.cumsum(truth[order])
    ends = np.flatnonzero(ranked[1:] != ranked[:-1])  # A cut parts what differs.
    if not len(ends):
        return 0.5
    cuts = (ranked[ends] + ranked[ends + 1]) / 2
    found = hits[ends] / truth.sum()
    wrong = (ends + 1 - hits[ends]) / (~truth).sum()
    balanced = (found - wrong) / 2 + 0.5
    best = np.flatnonzero(balanced >= balanced.max() - 1e-12)
    return float(cuts[best[np.abs(cuts[best] - 0.5).argmin()]])
