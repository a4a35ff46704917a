"""Protocols for pairs of faces: in folds, as in LFW, or all images with each other."""

from __future__ import annotations

from typing import NamedTuple, TypedDict

import numpy as np
from numpy.typing import NDArray

from datasets.errors import InputError
from datasets.types import FacePairs
from tasks.face_embedding.roc import (
    Roc,
    Val,
    area,
    best_threshold,
    equal_error,
    roc_curve,
    threshold_at_far,
)

FARS = (1e-2, 1e-3, 1e-4)
WORST = 12
# Number of steps of 0..4 in which the distances of all pairs are counted.
STEPS = 65_536
_CHUNK = 4_000_000  # Distances that are computed at once.

Vectors = NDArray[np.float32]


class Fold(NamedTuple):
    """One tested fold."""

    number: int  # from 1
    accuracy: float  # share of its pairs that are right
    threshold: float  # from the other folds
    pairs: int  # how many it has


class Mistake(NamedTuple):
    """A pair on the wrong side of the threshold, or nearest to it."""

    first: int  # index of an image
    second: int  # index of the other
    distance: float  # squared, 0..4
    same: bool  # whether they show one person


class Score(TypedDict):
    """The result of a protocol."""

    metrics: dict[str, float]
    folds: list[Fold]  # none where all images are compared
    vals: list[Val]  # by falling FAR
    roc: Roc
    worst: list[Mistake]  # of one person and far apart, then of two and near
    histogram: NDArray[np.int64]  # (2, STEPS / 1024) pairs of two people, of one; by distance


def measure_pairs(first: Vectors, second: Vectors, pairs: FacePairs) -> Score:
    """Evaluate pairs in folds: each tested fold with the threshold that is best on the others.

    This is LFW's protocol, in all its variants: accuracy is the mean over folds, with its standard
    deviation and the standard error of the mean; VAL at a FAR uses the threshold at which the
    other folds have that FAR.

    Args:
        first: (P, D) float32 of length one, the pairs' first images.
        second: (P, D) float32 of length one, the pairs' second images.
        pairs: The pairs.

    Raises:
        InputError: If there are no pairs of a kind, or no fold for the threshold.
    """
    difference = first.astype(np.float64) - second.astype(np.float64)
    distances = np.square(difference).sum(axis=1)
    tested = np.isin(pairs.folds, pairs.tested)
    roc = _curve(distances[tested], pairs.same[tested])
    folds = [_measure_fold(distances, pairs, fold) for fold in pairs.tested]
    accuracies = np.array([fold.accuracy for fold in folds])
    rate, _ = equal_error(roc)
    metrics = {"accuracy": float(accuracies.mean())}
    if len(folds) > 1:
        metrics["accuracy_std"] = float(accuracies.std())
        metrics["accuracy_error"] = float(accuracies.std(ddof=1) / np.sqrt(len(folds)))
    vals = [_val_in_folds(distances, pairs, far) for far in FARS]
    metrics |= {"auc": area(roc), "eer": rate} | _named(vals)
    metrics["threshold"] = float(np.mean([fold.threshold for fold in folds]))
    choosing = tested if tested.all() else ~tested
    metrics["selection"] = area(_curve(distances[choosing], pairs.same[choosing]))
    return {
        "metrics": metrics,
        "folds": folds,
        "vals": vals,
        "roc": roc,
        "worst": _worst_pairs(distances, pairs, tested),
        "histogram": _coarse(_step(np.clip(distances[tested], 0, 4)), pairs.same[tested]),
    }


def _curve(distances: NDArray[np.float64], same: NDArray[np.bool_]) -> Roc:
    return roc_curve(distances, same.astype(np.int64), (~same).astype(np.int64))


def _others(pairs: FacePairs, fold: int) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Masks (P,) of a fold, and of the pairs that its threshold comes from."""
    inside = pairs.folds == fold
    if inside.all():
        raise InputError("there is one fold only: no others to take the threshold from")
    return inside, ~inside


def _measure_fold(distances: NDArray[np.float64], pairs: FacePairs, fold: int) -> Fold:
    inside, others = _others(pairs, fold)
    threshold = best_threshold(distances[others], pairs.same[others])
    right = (distances[inside] <= threshold) == pairs.same[inside]
    return Fold(fold + 1, float(right.mean()), threshold, int(inside.sum()))


def _val_in_folds(distances: NDArray[np.float64], pairs: FacePairs, far: float) -> Val:
    """VAL at a FAR: mean and deviation over the tested folds."""
    tested = np.isin(pairs.folds, pairs.tested)
    negatives = int((tested & ~pairs.same).sum())
    shares, found = [], []
    for fold in pairs.tested:
        inside, others = _others(pairs, fold)
        limit = threshold_at_far(distances[others & ~pairs.same], far)
        if limit is None or far * negatives * (1 + 1e-9) < 1:
            return Val(far, None, None, None, negatives)
        near = distances <= limit
        shares.append(float(near[inside & pairs.same].mean()))
        found.append(float(near[inside & ~pairs.same].mean()))
    spread = float(np.std(shares)) if len(shares) > 1 else None
    return Val(far, float(np.mean(shares)), spread, float(np.mean(found)), negatives)


def _named(vals: list[Val]) -> dict[str, float]:
    """VALs as metrics, without those that are undefined."""
    return {
        f"val_{val.far:.0e}".replace("e-0", "e-"): val.val for val in vals if val.val is not None
    }


def _worst_pairs(
    distances: NDArray[np.float64], pairs: FacePairs, tested: NDArray[np.bool_]
) -> list[Mistake]:
    rows: list[int] = []
    for same in (True, False):
        mine = np.flatnonzero(tested & (pairs.same == same))
        order = np.argsort(-distances[mine] if same else distances[mine], kind="stable")
        rows += mine[order[:WORST]].tolist()
    columns = (
        column[rows].tolist() for column in (pairs.first, pairs.second, distances, pairs.same)
    )
    return [Mistake(*row) for row in zip(*columns, strict=True)]


def measure_all(vectors: Vectors, labels: NDArray[np.int64]) -> Score:
    """Compare all images with each other; memory grows with the number of images, not of pairs.

    Distances are counted in steps of 4 / 65536, which is the resolution of the results. ``rank1``
    is the share of images whose nearest other image is of the same person, among those of which
    there is another image.

    Args:
        vectors: (N, D) float32 of length one.
        labels: (N,) identities.

    Raises:
        InputError: If there are no pairs of one of the two kinds.
    """
    counts = np.zeros((2, STEPS), dtype=np.int64)
    nearest = np.empty(len(labels), dtype=np.int64)
    worst: list[Mistake] = []
    step = max(1, _CHUNK // max(len(labels), 1))
    columns = np.arange(len(labels))
    for start in range(0, len(labels), step):
        rows = columns[start : start + step]
        distances = np.clip(2 - 2 * vectors[rows] @ vectors.T, 0, 4)
        same = labels[rows, None] == labels[None]
        later = columns[None] > rows[:, None]
        for kind in (0, 1):
            counts[kind] += np.bincount(_step(distances[later & (same == kind)]), minlength=STEPS)
        worst = _worst_of(worst, distances, same, later, start)
        distances[np.arange(len(rows)), rows] = np.inf
        nearest[rows] = distances.argmin(axis=1)
    middles = (np.arange(STEPS) + 0.5) * 4 / STEPS
    roc = roc_curve(middles, counts[1], counts[0])
    several = np.bincount(labels)[labels] > 1
    rate, threshold = equal_error(roc)
    vals = [_val_of_all(roc, far) for far in FARS]
    metrics = {
        "rank1": float((labels[nearest] == labels)[several].mean()),
        "auc": area(roc),
        "eer": rate,
        **_named(vals),
        "threshold": threshold,
        "selection": area(roc),
    }
    return {
        "metrics": metrics,
        "folds": [],
        "vals": vals,
        "roc": roc,
        "worst": worst,
        "histogram": counts.reshape(2, -1, 1024).sum(axis=2),
    }


def _val_of_all(roc: Roc, far: float) -> Val:
    if far * roc.negatives * (1 + 1e-9) < 1:
        return Val(far, None, None, None, roc.negatives)
    return Val(far, float(np.interp(far, roc.far, roc.val)), None, far, roc.negatives)


def _worst_of(
    worst: list[Mistake],
    distances: NDArray[np.float32],
    same: NDArray[np.bool_],
    later: NDArray[np.bool_],
    start: int,
) -> list[Mistake]:
    """The hardest pairs among those found before and those of another chunk."""
    kept: list[Mistake] = []
    for kind, sign in ((True, -1.0), (False, 1.0)):
        ranked = np.where(later & (same == kind), sign * distances, np.inf).ravel()
        few = np.argpartition(ranked, min(WORST, ranked.size - 1))[:WORST]
        found = [
            Mistake(start + k // len(same[0]), k % len(same[0]), float(sign * ranked[k]), kind)
            for k in few.tolist()
            if np.isfinite(ranked[k])
        ]
        both = found + [mistake for mistake in worst if mistake.same == kind]
        kept += sorted(both, key=lambda m: (sign * m.distance, m.first, m.second))[:WORST]
    return kept


def _step(distances: NDArray[np.floating]) -> NDArray[np.int64]:
    """Number of the step of each distance."""
    steps: NDArray[np.int64] = np.minimum(distances * (STEPS / 4), STEPS - 1).astype(np.int64)
    return steps


def _coarse(steps: NDArray[np.int64], same: NDArray[np.bool_]) -> NDArray[np.int64]:
    """(2, 64) pairs of two people, and of one, by distance."""
    rows = [np.bincount(steps[same == kind] // 1024, minlength=64) for kind in (False, True)]
    return np.array(rows, dtype=np.int64)
