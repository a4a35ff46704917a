"""Curves over thresholds of a distance below which two images count as the same person.

Distances are squared and between vectors of length one: 0 to 4. FAR is the share of pairs of two
people that count as one person, VAL (also TAR) the share of pairs of one person that do.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from datasets.errors import InputError

Values = NDArray[np.float64]
Counts = NDArray[np.int64]
# A rate that is based on fewer pairs than this is unreliable.
FEWEST = 10


class Roc(NamedTuple):
    """Rates at each distance that occurs, ascending; the first row accepts no pair."""

    thresholds: Values  # (T,) distances up to which pairs are taken for one person
    far: Values  # (T,) in 0..1
    val: Values  # (T,) in 0..1
    negatives: int  # pairs of two people
    positives: int  # pairs of one person


class Val(NamedTuple):
    """VAL at a FAR."""

    far: float  # that was asked for
    val: float | None  # None where less than one pair may be wrong
    std: float | None  # of VAL over folds; None where there are none
    found: float | None  # FAR on the tested pairs at these thresholds; None with ``val``
    negatives: int  # pairs of two people that the FAR is measured on

    @property
    def rests_on(self) -> float:
        """Expected number of wrong pairs at the FAR."""
        return self.far * self.negatives

    @property
    def warning(self) -> str:
        """Warning about the rate; empty if it is based on enough pairs."""
        if self.rests_on >= FEWEST * (1 - 1e-9):
            return ""
        if self.val is None:
            return f"cannot be measured: {self.negatives} pairs of two people are too few"
        return f"rests on {self.rests_on:.3g} of {self.negatives} pairs of two people: too few"


def roc_curve(distances: Values, same: Counts, different: Counts) -> Roc:
    """The curve of distances (M,) in any order, from the numbers of pairs (M,) of both kinds.

    Args:
        distances: (M,) distances.
        same: (M,) number of pairs of the same person at each.
        different: (M,) number of pairs of two people at each.

    Raises:
        InputError: If one of the two kinds is missing.
    """
    positives, negatives = int(same.sum()), int(different.sum())
    if not positives or not negatives:
        kind = "one person" if not positives else "two people"
        raise InputError(f"there are no pairs of {kind}: nothing can be measured")
    thresholds, places = np.unique(distances, return_inverse=True)
    rows = [
        np.concatenate(([0], np.cumsum(np.bincount(places, counts, len(thresholds)))))
        for counts in (different, same)
    ]
    start = np.concatenate(([-np.inf], thresholds))
    return Roc(start, rows[0] / negatives, rows[1] / positives, negatives, positives)


def area(roc: Roc) -> float:
    """Area under VAL over FAR: share of (same, different) pairs of pairs in the correct order."""
    return float(np.trapezoid(roc.val, roc.far))


def equal_error(roc: Roc) -> tuple[float, float]:
    """(rate, threshold) at which equal shares of both kinds are wrong, interpolated."""
    gap = roc.far - (1 - roc.val)  # Rises from -1 to 1.
    after = int(np.argmax(gap >= 0))
    before = after - 1
    share = -gap[before] / (gap[after] - gap[before])
    rate = roc.far[before] + share * (roc.far[after] - roc.far[before])
    low = roc.thresholds[before] if np.isfinite(roc.thresholds[before]) else 0.0
    return float(rate), float(low + share * (roc.thresholds[after] - low))


def threshold_at_far(negatives: Values, far: float) -> float | None:
    """The distance below which a given share of pairs of two people (N,) is, interpolated.

    None if the share, in (0, 1], is less than one pair.
    """
    count = far * len(negatives) * (1 + 1e-9)
    if count < 1:
        return None
    ranks = np.arange(1, len(negatives) + 1)
    return float(np.interp(count, ranks, np.sort(negatives)))


def best_threshold(distances: Values, same: NDArray[np.bool_]) -> float:
    """The threshold at which most pairs (P,) are correct, half-way between two distances.

    Among several that are equally good, the middle one is used.
    """
    order = np.argsort(distances, kind="stable")
    ranked, kind = distances[order], same[order]
    # Correct for a cut after k pairs: those of one person before it, and the others after it.
    right = np.concatenate(([0], np.cumsum(np.where(kind, 1, -1)))) + int((~same).sum())
    edges = np.concatenate(([ranked[0] - 1e-6], (ranked[1:] + ranked[:-1]) / 2, ranked[-1:]))
    # No cut can separate equal distances.
    cuts = np.concatenate(([True], ranked[1:] > ranked[:-1], [True]))
    best = np.flatnonzero(cuts & (right == right[cuts].max()))
    return float(edges[best[len(best) // 2]])


def thin(roc: Roc, most: int = 400) -> Roc:
    """The part of a curve that a plot shows: even steps of FAR, and of its logarithm."""
    if len(roc.far) <= most:
        return roc
    least = 1 / roc.negatives
    wanted = np.concatenate((np.linspace(0, 1, most // 2), np.geomspace(least, 1, most // 2)))
    rows = np.unique(np.searchsorted(roc.far, wanted, side="right") - 1)
    rows = np.union1d(rows, (0, len(roc.far) - 1)).astype(np.int64)
    return Roc(roc.thresholds[rows], roc.far[rows], roc.val[rows], roc.negatives, roc.positives)
