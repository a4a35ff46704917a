"""A classifier's figures: by hand, and against plain loops."""

import csv
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch.distributed
from numpy.typing import NDArray

from datasets.types import ClassMap
from tasks.classification.calibration import (
    NUM_BINS,
    error,
    reliability,
    temperature,
)
from tasks.classification.evaluator import (
    LabelEvaluator,
    Score,
    columns_in,
    format_classes,
    format_metrics,
    interval,
)
from tests.tasks.outputs import probabilities_of

THREE = ClassMap.from_names(["cat", "dog", "fox"])
EIGHT = ClassMap.from_names([f"c{k}" for k in range(8)])


def score_of(
    targets: list[int], logits: Any, classes: ClassMap, columns: Any = None
) -> tuple[LabelEvaluator, Score]:
    """Evaluate in batches of three."""
    evaluator = LabelEvaluator(np.array(targets), classes, columns)
    for start in range(0, len(targets), 3):
        batch = probabilities_of(np.asarray(logits, dtype=np.float32)[start : start + 3])
        evaluator.update(list(range(start, start + len(batch))), batch)
    return evaluator, evaluator.compute()


def random_case(rng: np.random.Generator, count: int = 200) -> tuple[list[int], NDArray[Any]]:
    """Logits of eight classes, right about half of the time."""
    targets = rng.integers(0, 8, count)
    logits = rng.normal(0, 1.5, (count, 8))
    logits[np.arange(count), targets] += 2
    return targets.tolist(), logits


def test_a_case_by_hand() -> None:
    """Four photos, two right; probabilities are given as their logarithms."""
    shares = np.array([[0.7, 0.2, 0.1], [0.6, 0.3, 0.1], [0.1, 0.8, 0.1], [0.5, 0.4, 0.1]])
    _, score = score_of([0, 1, 1, 1], np.log(shares), THREE)
    metrics = score["metrics"]
    assert metrics["top1"] == 0.5
    assert "top5" not in metrics
    assert metrics["loss"] == pytest.approx(-math.log(0.7 * 0.3 * 0.8 * 0.4) / 4)
    # Bins 11 (.7 right), 9 (.6 wrong), 12 (.8 right), 8 (.5 wrong), each with one photo.
    assert metrics["ece"] == pytest.approx((0.3 + 0.6 + 0.2 + 0.5) / 4)
    assert metrics["balanced"] == pytest.approx((1 + 1 / 3) / 2)
    assert score["per_class"]["cat"] == (1.0, 1 / 3, 1)
    assert score["per_class"]["dog"] == (1 / 3, 1.0, 3)
    assert score["per_class"]["fox"] == (None, None, 0)
    assert score["confusion"].tolist() == [[1, 0, 0], [2, 1, 0], [0, 0, 0]]
    assert score["probabilities"] == pytest.approx(shares)
    assert score["unknown"] == ()


def test_figures_equal_plain_loops(rng: np.random.Generator) -> None:
    targets, logits = random_case(rng)
    logits = logits.astype(np.float32).astype(np.float64)
    top1 = top5 = 0
    loss = 0.0
    bins: list[list[tuple[float, bool]]] = [[] for _ in range(NUM_BINS)]
    for target, row in zip(targets, logits, strict=True):
        total = sum(math.exp(value) for value in row)
        shares = [math.exp(value) / total for value in row]
        order = sorted(range(8), key=lambda k: -shares[k])
        top1 += order[0] == target
        top5 += target in order[:5]
        loss -= math.log(shares[target])
        sure = max(shares)
        for k in range(NUM_BINS):
            if k / NUM_BINS < sure <= (k + 1) / NUM_BINS:
                bins[k].append((sure, order[0] == target))
    ece = 0.0
    for inside in bins:
        if inside:
            gap = sum(ok for _, ok in inside) / len(inside) - sum(s for s, _ in inside) / len(
                inside
            )
            ece += len(inside) / len(targets) * abs(gap)
    _, score = score_of(targets, logits, EIGHT)
    metrics = score["metrics"]
    assert metrics["top1"] == pytest.approx(top1 / 200)
    assert metrics["top5"] == pytest.approx(top5 / 200)
    assert metrics["loss"] == pytest.approx(loss / 200, rel=1e-5)
    assert metrics["ece"] == pytest.approx(ece, abs=1e-6)
    assert [row.photos for row in score["reliability"]] == [len(inside) for inside in bins]
    assert 0.3 < metrics["top1"] < metrics["top5"] < 1


def test_a_model_that_always_says_the_same_earns_nothing_by_ties() -> None:
    _, score = score_of(list(range(8)), np.zeros((8, 8)), EIGHT)
    assert score["metrics"]["top1"] == 1 / 8
    assert score["metrics"]["top5"] == 5 / 8


def test_a_bin_holds_its_upper_end() -> None:
    bins = reliability(np.array([1 / 15, 1.0, 0.5]), np.array([True, True, False]))
    assert [k for k, row in enumerate(bins) if row.photos] == [0, 7, 14]
    assert error(bins) == pytest.approx((14 / 15 + 0 + 0.5) / 3)


@pytest.mark.slow
def test_temperature_finds_by_how_much_logits_are_stretched(rng: np.random.Generator) -> None:
    honest = rng.normal(0, 1.5, (20000, 5))
    shares = np.exp(honest) / np.exp(honest).sum(axis=1, keepdims=True)
    targets = (shares.cumsum(axis=1) < rng.random((20000, 1))).sum(axis=1)
    for stretch in (0.5, 1.0, 3.0):
        logits = (honest * stretch).astype(np.float32)
        assert temperature(logits, targets) == pytest.approx(stretch, rel=0.05)
        _, score = score_of(
            targets[:3000].tolist(), logits[:3000], ClassMap.from_names([*"abcde"])
        )
        assert score["metrics"]["ece_scaled"] < 0.04
        assert score["metrics"]["temperature"] == pytest.approx(stretch, rel=0.12)


def test_interval_is_that_of_resampled_photos(rng: np.random.Generator) -> None:
    right = rng.random(400) < 0.7
    draws = right[rng.integers(0, 400, (4000, 400))].mean(axis=1)
    low, high = np.percentile(draws, (2.5, 97.5))
    assert interval(right) == pytest.approx((low, high), abs=0.01)
    assert interval(right) == interval(right)
    assert interval(np.ones(50, dtype=np.bool_)) == (1.0, 1.0)


def test_class_lists_that_differ_are_matched_by_name() -> None:
    """The model knows no fox and a cow that the data lacks; its dog comes before its cat."""
    columns = columns_in(ClassMap.from_names(["dog", "cow", "cat"]), THREE)
    assert columns is not None
    assert columns.tolist() == [1, -1, 0]
    # The cow is not a choice; the fox photo cannot be right, whatever the model says.
    logits = [[0.0, 9.0, 1.0], [2.0, 9.0, 0.0], [5.0, 0.0, 0.0]]
    _, score = score_of([0, 1, 2], logits, THREE, columns)
    assert score["predicted"].tolist() == [0, 1, 1]
    assert score["metrics"]["top1"] == pytest.approx(2 / 3)
    expected = (math.log(1 + math.exp(-1)) + math.log(1 + math.exp(-2))) / 2
    assert score["metrics"]["loss"] == pytest.approx(expected)
    assert score["probabilities"][:, 2].tolist() == [0, 0, 0]
    assert score["per_class"]["fox"] == (0.0, None, 1)
    assert score["unknown"] == ("fox",)
    assert "lacks 1 of the data's 3 classes (fox): images of these (1)" in format_metrics(score)


def test_wordnet_ids_tell_more_than_names() -> None:
    """The two cranes change places; what one side has no id of goes by its name."""
    model = ClassMap(
        (2012849, 3126707, 1440764, 4), ("crane", "lifting crane", "n01440764", "dog")
    )
    data = ClassMap((3126707, 2012849, 1440764, 2084071), ("crane", "crane bird", "tench", "dog"))
    assert model.labels_in(data).tolist() == [0, 2, 1, 3, 4]
    assert data.labels_in(model).tolist() == [0, 2, 1, 3, 4]
    columns = columns_in(model, data)
    assert columns is not None
    assert columns.tolist() == [1, 0, 2, 3]
    other = ClassMap((3126707, 5), ("crane", "emu"))
    assert model.labels_in(other).tolist() == [0, 0, 1, 0, 0]
    small = ClassMap.from_names(["crane", "emu"])
    assert small.labels_in(ClassMap((2, 1), ("crane", "x"))).tolist() == [0, 1, 0]


def test_a_missing_class_is_not_among_the_five_either() -> None:
    columns = np.array([0, 1, 2])  # Of eight; the others are minus infinity.
    _, score = score_of([0, 4], [[1, 0, 0], [1, 0, 0]], EIGHT, columns)
    assert score["metrics"]["top5"] == 0.5


def test_same_classes_need_no_columns_and_strangers_are_refused() -> None:
    assert columns_in(THREE, ClassMap((7, 8, 9), THREE.names)) is None
    with pytest.raises(ValueError, match=r"no class in common.*3 \(cat, dog, fox.*8 \(c0"):
        columns_in(THREE, EIGHT)
    with pytest.raises(ValueError, match="none of 1 images"):
        score_of([2], [[1.0]], THREE, np.array([0]))


def test_damaged_answers_name_their_image() -> None:
    evaluator = LabelEvaluator(np.array([0, 1]), THREE)
    with pytest.raises(ValueError, match="image 1 are not finite"):
        evaluator.update([0, 1], probabilities_of([[0.0, 0, 0], [0, math.nan, 0]]))


def test_a_photo_counts_once_and_fresh_forgets() -> None:
    evaluator = LabelEvaluator(np.array([0, 1]), THREE)
    evaluator.update([1, 0], probabilities_of(np.eye(3)[[1, 0]]))
    evaluator.update([0], probabilities_of(np.eye(3)[[2]]))
    assert evaluator.compute()["confusion"].sum() == 2
    assert evaluator.compute()["metrics"]["top1"] == 1
    assert not evaluator.fresh().rows


def test_processes_bring_their_photos_together(
    rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two halves with one photo in both, as a sampler fills up its last batch."""
    targets, logits = random_case(rng, 21)
    _, whole = score_of(targets, logits, EIGHT)
    halves = []
    for ids in ([*range(0, 21, 2)], [*range(1, 21, 2), 0]):
        half = LabelEvaluator(np.array(targets), EIGHT)
        half.update(ids, probabilities_of(logits[ids].astype(np.float32)))
        halves.append(half)
    monkeypatch.setattr(torch.distributed, "is_initialized", lambda: True)
    monkeypatch.setattr(torch.distributed, "get_world_size", lambda: 2)
    sent = [half.rows for half in halves]

    def all_gather(parts: list[Any], part: Any) -> None:
        assert any(part is other for other in sent)
        parts[:] = sent

    monkeypatch.setattr(torch.distributed, "all_gather_object", all_gather)
    for half in halves:
        half.gather()
        assert half.compute()["metrics"] == whole["metrics"]


def test_predictions_are_written(tmp_path: Path) -> None:
    evaluator, _ = score_of([0, 2], np.log([[0.5, 0.2, 0.3], [0.25, 0.5, 0.25]]), THREE)
    evaluator.write(tmp_path, ["a, b.jpg", "c.jpg"])
    assert [path.name for path in tmp_path.iterdir()] == ["predictions.csv"]
    with (tmp_path / "predictions.csv").open(newline="") as file:
        rows = list(csv.reader(file))
    assert rows[0] == ["file", "true", "predicted", "probability", "top5"]
    assert rows[1] == ["a, b.jpg", "cat", "cat", "0.500000", "cat; fox; dog"]
    assert rows[2] == ["c.jpg", "fox", "dog", "0.500000", "dog; cat; fox"]


def test_tables_for_people(rng: np.random.Generator) -> None:
    targets, logits = random_case(rng)
    _, score = score_of(targets, logits, EIGHT)
    text = format_metrics(score)
    assert f"top1         {score['metrics']['top1']:.3f}" in text
    assert "lacks" not in text
    lines = format_classes(score, limit=3).splitlines()
    assert "3 of 8 classes" in lines[0]
    recalls = [float(line.split()[1]) for line in lines[2:]]
    assert len(recalls) == 3
    assert recalls == sorted(recalls, reverse=True)
    assert recalls[-1] == pytest.approx(
        min(row.recall or 0 for row in score["per_class"].values()), abs=5e-4
    )
