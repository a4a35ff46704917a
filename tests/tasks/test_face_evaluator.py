"""Protocols of face pairs, on cases worked by hand and against scikit-learn."""

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from datasets.types import FacePairs
from tasks.face_embedding.evaluator import FaceEvaluator, format_metrics, warnings_of
from tasks.face_embedding.protocols import STEPS, measure_all, measure_pairs
from tasks.face_embedding.roc import (
    area,
    best_threshold,
    equal_error,
    roc_curve,
    thin,
    threshold_at_far,
)
from tasks.runtime.session import Answer as Outputs


def at_distances(distances: list[float]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Vectors of length one in pairs that are so far apart."""
    cosines = 1 - np.array(distances) / 2
    first = np.tile([1.0, 0.0], (len(distances), 1))
    second = np.column_stack((cosines, np.sqrt(1 - cosines**2)))
    return first.astype(np.float32), second.astype(np.float32)


def in_folds(
    same: list[int], folds: list[int], tested: tuple[int, ...] | None = None
) -> FacePairs:
    ids = np.arange(len(same))
    chosen = tuple(sorted(set(folds))) if tested is None else tested
    return FacePairs(2 * ids, 2 * ids + 1, np.array(same, bool), np.array(folds), chosen)


def test_thresholds_come_from_the_other_folds() -> None:
    """Fold 1 alone would be perfect at 1.2, but the other folds say .5 there."""
    distances = [1.0, 1.4, 0.4, 0.6, 0.2, 0.6]
    found = measure_pairs(*at_distances(distances), in_folds([1, 0] * 3, [0, 0, 1, 1, 2, 2]))
    # Fold 1: others part .4 from .6 at .5: its 1.0 is missed, its 1.4 right.
    assert found["folds"][0].accuracy == 0.5
    assert found["folds"][0].threshold == pytest.approx(0.5)
    accuracies = [fold.accuracy for fold in found["folds"]]
    assert found["metrics"]["accuracy"] == pytest.approx(np.mean(accuracies))
    assert found["metrics"]["accuracy_std"] == pytest.approx(np.std(accuracies))
    error = np.std(accuracies, ddof=1) / np.sqrt(3)
    assert found["metrics"]["accuracy_error"] == pytest.approx(error)


def test_a_single_tested_fold() -> None:
    """The other fold gives the threshold and chooses the weights, and is not in the figures."""
    pairs = in_folds([1, 0, 1, 0, 1, 0], [0, 0, 0, 0, 1, 1], tested=(1,))
    found = measure_pairs(*at_distances([0.1, 0.3, 0.5, 0.9, 0.2, 1.0]), pairs)
    assert found["metrics"]["accuracy"] == 1.0
    assert found["metrics"]["auc"] == 1.0
    assert found["metrics"]["selection"] == 0.75, "one of four is in the wrong order"
    assert "accuracy_std" not in found["metrics"]
    assert {mistake.first for mistake in found["worst"]} == {8, 10}
    with pytest.raises(ValueError, match="one fold only"):
        measure_pairs(*at_distances([0.1, 0.3]), in_folds([1, 0], [0, 0]))
    with pytest.raises(ValueError, match="no pairs of two people"):
        measure_pairs(*at_distances([0.1, 0.3]), in_folds([1, 1], [0, 1]))


@pytest.mark.parametrize(
    ("distances", "same", "low", "high"),
    [
        ([0.1, 0.2, 0.8, 0.9], [1, 1, 0, 0], 0.2, 0.8),
        ([0.5, 0.6], [0, 0], 0.0, 0.5),
        ([0.5, 0.6], [1, 1], 0.6, 4.0),
        ([0.3, 0.3, 0.3, 0.7], [1, 1, 0, 0], 0.3, 0.7),
        ([0.3, 0.3, 0.3, 0.7], [1, 0, 0, 0], 0.0, 0.3),
    ],
)
def test_best_thresholds(distances: list[float], same: list[int], low: float, high: float) -> None:
    threshold = best_threshold(np.array(distances), np.array(same, bool))
    assert low <= threshold <= high
    right = ((np.array(distances) <= threshold) == np.array(same, bool)).sum()
    every = [
        ((np.array(distances) <= t) == np.array(same, bool)).sum() for t in np.arange(0, 1, 0.01)
    ]
    assert right == max(every)


def test_thresholds_at_a_far_are_interpolated() -> None:
    negatives = np.array([0.9, 0.5, 0.7, 1.1])
    assert threshold_at_far(negatives, 0.25) == pytest.approx(0.5), "one of four"
    assert threshold_at_far(negatives, 0.5) == pytest.approx(0.7)
    assert threshold_at_far(negatives, 0.375) == pytest.approx(0.6), "half-way between two"
    assert threshold_at_far(negatives, 0.2) is None, "less than one pair"


def test_val_at_a_far_says_what_it_rests_on(rng: np.random.Generator) -> None:
    """Ten folds of 200 pairs, 1000 of two people: 1e-2 rests on 10, 1e-3 on one, 1e-4 on none."""
    same = np.tile([1, 0], 1000)
    distances = np.clip(rng.normal(np.where(same, 0.8, 2), 0.3), 0.01, 3.9)
    found = measure_pairs(
        *at_distances(distances.tolist()),
        in_folds(same.tolist(), (np.arange(2000) // 200).tolist()),
    )
    many, one, none = found["vals"]
    assert many.warning == ""
    assert many.negatives == 1000
    assert many.val is not None
    assert many.found == pytest.approx(0.01, abs=0.004)
    assert "rests on 1 of 1000 pairs of two people" in one.warning or one.val is None
    assert none.val is None
    assert "cannot be measured: 1000" in none.warning
    assert "val_1e-2" in found["metrics"]
    assert "val_1e-4" not in found["metrics"]
    assert len(warnings_of(found)) == 2
    assert "warning: VAL at FAR 0.0001 cannot be measured" in format_metrics(found)


def test_equal_error_by_hand() -> None:
    """At .5 one of four of both kinds is wrong."""
    same, different = [0.1, 0.2, 0.3, 0.8], [0.5, 0.9, 1.0, 1.1]
    counts = np.repeat([[1, 0], [0, 1]], 4, axis=1)
    roc = roc_curve(np.array(same + different), counts[0], counts[1])
    assert equal_error(roc)[0] == pytest.approx(0.25)
    assert area(roc) == pytest.approx(15 / 16)


def test_curves_are_those_of_scikit_learn(rng: np.random.Generator) -> None:
    metrics = pytest.importorskip("sklearn.metrics")
    same = rng.random(3000) < 0.3
    distances = np.round(rng.normal(np.where(same, 1, 1.5), 0.4), 2)  # With ties.
    roc = roc_curve(distances, same.astype(np.int64), (~same).astype(np.int64))
    far, val, thresholds = metrics.roc_curve(same, -distances, drop_intermediate=False)
    assert roc.far == pytest.approx(far)
    assert roc.val == pytest.approx(val)
    assert roc.thresholds[1:] == pytest.approx(-thresholds[1:])
    assert area(roc) == pytest.approx(metrics.roc_auc_score(same, -distances))
    few = thin(roc, 50)
    assert len(few.far) <= 60
    assert area(few) == pytest.approx(area(roc), abs=5e-3)


def people(rng: np.random.Generator) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Sixty vectors of length one and the twelve identities that they scatter around."""
    labels = rng.permutation(np.repeat(np.arange(12), 5))
    vectors = rng.normal(size=(12, 8))[labels] + 0.9 * rng.normal(size=(60, 8))
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    return vectors.astype(np.float32), labels


def test_the_size_of_chunks_changes_nothing(
    rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch
) -> None:
    vectors, labels = people(rng)
    # On this grid float32 holds all products and sums exactly, in whatever order they are taken.
    vectors = np.round(vectors * 2048) / np.float32(2048)
    whole = measure_all(vectors, labels)
    monkeypatch.setattr("tasks.face_embedding.protocols._CHUNK", 7 * 60)
    found = measure_all(vectors, labels)
    assert found["metrics"] == whole["metrics"]
    assert found["worst"] == whole["worst"]


def test_all_pairs_are_those_counted_one_by_one(rng: np.random.Generator) -> None:
    vectors, labels = people(rng)
    found = measure_all(vectors, labels)
    one, two = np.triu_indices(60, 1)
    distances = ((vectors[one].astype(float) - vectors[two]) ** 2).sum(1)
    same = labels[one] == labels[two]
    exact = roc_curve(distances, same.astype(np.int64), (~same).astype(np.int64))
    assert (found["roc"].positives, found["roc"].negatives) == (120, 1650)
    assert found["metrics"]["auc"] == pytest.approx(area(exact), abs=1e-4)
    assert found["metrics"]["eer"] == pytest.approx(equal_error(exact)[0], abs=2e-3)
    assert found["metrics"]["val_1e-2"] == pytest.approx(
        np.interp(0.01, exact.far, exact.val), abs=0.02
    )
    square = np.full((60, 60), np.inf)
    square[one, two] = square[two, one] = distances
    assert found["metrics"]["rank1"] == pytest.approx((labels[square.argmin(1)] == labels).mean())
    farthest = max(distances[same])
    assert found["worst"][0].distance == pytest.approx(farthest, abs=1e-5)
    nearest = min(distances[~same])
    assert next(m for m in found["worst"] if not m.same).distance == pytest.approx(
        nearest, abs=1e-5
    )
    assert found["histogram"].sum() == len(one)
    assert STEPS % found["histogram"].shape[1] == 0


def outputs(embeddings: NDArray[np.float64]) -> list[Outputs]:
    return [{"embedding": row} for row in embeddings]


def test_missing_photos_are_an_error(tmp_path: Path) -> None:
    pairs = in_folds([1, 0, 1, 0], [0, 0, 1, 1])
    evaluator = FaceEvaluator(np.arange(8), pairs)
    evaluator.update(range(7), outputs(np.eye(8)[:7] + 0.1))
    with pytest.raises(ValueError, match="1 images of the protocol's pairs have no embedding"):
        evaluator.compute()
    evaluator.update([7, 7], outputs(np.full((2, 8), 5.0)))
    assert evaluator.rows[7] == pytest.approx(np.full(8, 8**-0.5)), "length one"
    assert evaluator.compute()["roc"].positives == 2
    evaluator.write(tmp_path, [f"{k}.jpg" for k in range(8)])
    lines = (tmp_path / "pairs.csv").read_text().splitlines()
    assert lines[0] == "fold,first,second,same,distance"
    assert lines[2].startswith("1,2.jpg,3.jpg,0,")
    assert not evaluator.fresh().rows
    with pytest.raises(ValueError, match="the embedding of image 3 has no direction"):
        evaluator.update([2, 3], outputs(np.outer([1.0, 0.0], np.ones(8))))
    with pytest.raises(ValueError, match="the embedding of image 9"):
        evaluator.update([9], outputs(np.full((1, 8), np.nan)))
