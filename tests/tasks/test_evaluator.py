"""COCO's numbers: by hand, and both scorers on the same results JSON."""

import contextlib
import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from datasets.boxes.coco import to_coco
from datasets.boxes.opening import open_detection
from tasks.detection.evaluator import (
    MEANINGS,
    CocoEvaluator,
    format_classes,
    format_metrics,
)
from tasks.detection.network import NETWORK
from tasks.detection.postprocess import Detections
from tasks.predictor import frame_of, rows_of
from tasks.runtime.session import Answer as Outputs

Rows = list[tuple[int, int, tuple[float, float, float, float]]]


def truth(rows: Rows, images: int = 2, crowd: tuple[int, ...] = ()) -> dict[str, Any]:
    """Ground truth of (image, category, x1 y1 x2 y2) on 200x200 pictures, categories 5 and 9."""
    return {
        "images": [
            {"id": i + 1, "width": 200, "height": 200, "file_name": f"{i}.jpg"}
            for i in range(images)
        ],
        "annotations": [
            {
                "id": k + 1,
                "image_id": image,
                "category_id": category,
                "bbox": [x1, y1, x2 - x1, y2 - y1],
                "area": (x2 - x1) * (y2 - y1),
                "iscrowd": int(k in crowd),
            }
            for k, (image, category, (x1, y1, x2, y2)) in enumerate(rows)
        ],
        "categories": [{"id": 5, "name": "cup"}, {"id": 9, "name": "cat"}],
    }


def found(rows: list[tuple[int, float, tuple[float, ...]]]) -> Outputs:
    """Detections (label, score, box) of an image."""
    return {
        "boxes": np.array([box for *_, box in rows], dtype=np.float64).reshape(-1, 4),
        "scores": np.array([score for _, score, _ in rows], dtype=np.float64),
        "labels": np.array([label for label, *_ in rows], dtype=np.int64),
    }


SCORERS = pytest.mark.parametrize("scorer", ["faster", "pycocotools"])


@SCORERS
def test_a_case_by_hand(scorer: Any) -> None:
    """One class: two of three boxes found, one false alarm between them.

    Precision is 1 up to recall 1/3, then 2/3 up to 2/3, then 0: of 101 recall points 34 lie at or
    below 1/3 and 33 in the next third, so AP at IoU .5 is (34 + 33 * 2 / 3) / 101. The second hit
    overlaps by .8 exactly and counts up to that threshold: at the three above it, precision is 1
    on the first 34 points only.
    """
    rows: Rows = [(1, 5, (0, 0, 100, 100)), (1, 5, (100, 100, 200, 200)), (2, 5, (0, 0, 50, 50))]
    evaluator = CocoEvaluator(truth(rows), scorer=scorer)
    evaluator.update(
        [1, 2],
        [
            found([(1, 0.9, (0, 0, 100, 100)), (1, 0.7, (100, 100, 200, 180))]),
            found([(1, 0.8, (100, 100, 150, 150))]),
        ],
    )
    score = evaluator.compute()
    ap50 = (34 + 33 * 2 / 3) / 101
    assert score["metrics"]["AP50"] == pytest.approx(ap50)
    assert score["metrics"]["AP"] == pytest.approx((7 * ap50 + 3 * 34 / 101) / 10)
    assert score["metrics"]["AR1"] == pytest.approx(1 / 3)
    assert score["per_class"]["cup"][1] == pytest.approx(ap50)
    assert score["per_class"]["cat"] == (-1, -1)
    assert score["precision"].shape == (101, 2)
    assert score["precision"][:34, 0] == pytest.approx(np.ones(34))


def test_an_interval_leaves_out_one_image_after_the_other() -> None:
    """Three images with a box each: two are found, one is not."""
    boxes: Rows = [(k, 5, (0, 0, 100, 100)) for k in (1, 2, 3)]
    hits = [found([(1, 0.9, (0, 0, 100, 100))])] * 2 + [found([])]

    def ap50(images: list[int]) -> float:
        rows = [row for row in boxes if row[0] in images]
        evaluator = CocoEvaluator(truth(rows, images=3))
        evaluator.update(images, [hits[k - 1] for k in images])
        return evaluator.compute()["metrics"]["AP50"]

    evaluator = CocoEvaluator(truth(boxes, images=3))
    evaluator.update([1, 2, 3], hits)
    without = [ap50([2, 3]), ap50([1, 3]), ap50([1, 2])]
    error = np.sqrt(2 * np.var(without))
    middle = ap50([1, 2, 3])
    low, high = middle - 1.96 * error, min(1, middle + 1.96 * error)
    assert evaluator.interval("AP50") == pytest.approx((max(0, low), high))
    assert evaluator.interval("AP_small") is None
    assert CocoEvaluator(truth(boxes[:2])).interval("AP50", groups=2) is None


@SCORERS
def test_crowds_swallow_detections(scorer: Any) -> None:
    rows: Rows = [(1, 5, (0, 0, 100, 100)), (1, 5, (100, 0, 200, 200))]
    evaluator = CocoEvaluator(truth(rows, crowd=(1,)), scorer=scorer)
    inside = [(1, 0.95, (110.0 + 8 * k, 10.0, 116.0 + 8 * k, 30.0)) for k in range(5)]
    evaluator.update([1], [found([*inside, (1, 0.5, (0, 0, 100, 100))])])
    assert evaluator.compute()["metrics"]["AP"] == pytest.approx(1)


@SCORERS
def test_nothing_found_is_zero_and_nothing_there_is_absent(scorer: Any) -> None:
    metrics = CocoEvaluator(truth([(1, 5, (0, 0, 9, 9))]), scorer=scorer).compute()["metrics"]
    assert metrics["AP"] == 0
    assert metrics["AP_large"] == -1
    assert "AP_large       -" in format_metrics(metrics)


def random_results(ground: dict[str, Any], rng: np.random.Generator) -> dict[int, Outputs]:
    """Shaken copies of the truth among random boxes, with tied scores."""
    labels = {row["id"]: k for k, row in enumerate(ground["categories"], start=1)}
    results = {}
    for image in ground["images"]:
        rows = []
        for row in (a for a in ground["annotations"] if a["image_id"] == image["id"]):
            x, y, w, h = row["bbox"]
            shaken = np.array([x, y, x + w, y + h]) + rng.normal(0, 0.1, 4) * (w, h, w, h)
            label = labels[row["category_id"]] if rng.random() < 0.8 else 1
            rows.append((label, round(float(rng.random()), 1), tuple(shaken)))
        for _ in range(20):
            low = rng.random(2) * 150
            box = (*low, *(low + rng.random(2) * 90 + 2))
            rows.append((int(rng.integers(1, len(labels) + 1)), float(rng.random() / 2), box))
        results[image["id"]] = found(rows)
    return results


def check_both_scorers(ground: dict[str, Any], results: dict[int, Outputs], folder: Path) -> None:
    """The 12 numbers of both scorers, and of pycocotools run on the written files alone."""
    numbers = []
    for scorer in ("faster", "pycocotools"):
        evaluator = CocoEvaluator(ground, scorer=scorer)
        evaluator.update([*results], [*results.values()])
        numbers.append(evaluator.compute()["metrics"])
    evaluator.write(folder)
    (folder / "truth.json").write_text(json.dumps({"info": {}, **ground}))
    with contextlib.redirect_stdout(io.StringIO()):
        anyone = COCO(str(folder / "truth.json"))
        theirs = COCOeval(anyone, anyone.loadRes(str(folder / "results.json")), "bbox")
        theirs.evaluate()
        theirs.accumulate()
        theirs.summarize()
    for name, stat in zip(MEANINGS, theirs.stats, strict=True):
        assert numbers[0][name] == pytest.approx(stat, abs=1e-12), name
        assert numbers[1][name] == pytest.approx(stat, abs=1e-12), name


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(4))
def test_both_scorers_agree(seed: int, tmp_path: Path) -> None:
    rng = np.random.default_rng(seed)
    rows: Rows = []
    for _ in range(40):
        low = rng.random(2) * 120
        high = low + rng.random(2) * 110 + 3
        x1, y1, x2, y2 = (float(v) for v in (*low, *high))
        rows.append((int(rng.integers(1, 11)), int(rng.choice([5, 9])), (x1, y1, x2, y2)))
    ground = truth(rows, images=12, crowd=tuple(rng.choice(40, 4).tolist()))
    check_both_scorers(ground, random_results(ground, rng), tmp_path)


@pytest.mark.slow
def test_both_scorers_agree_on_coco(real_data: Path, tmp_path: Path) -> None:
    ground = to_coco(open_detection(real_data / "coco", "val"))
    check_both_scorers(ground, random_results(ground, np.random.default_rng(0)), tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("folder", "name"), [("scenes", "instances_val"), ("real_data", "instances_val2017")]
)
def test_our_ground_truth_is_cocos_own(
    request: pytest.FixtureRequest, tmp_path: Path, folder: str, name: str
) -> None:
    """What we write for scoring gives the numbers of the original annotation file."""
    root: Path = request.getfixturevalue(folder)
    root = root / "coco" if folder == "real_data" else root
    data = open_detection(root, "val")
    results = random_results(to_coco(data), np.random.default_rng(1))
    evaluator = CocoEvaluator(to_coco(data))
    evaluator.update([*results], [*results.values()])
    evaluator.write(tmp_path)
    with contextlib.redirect_stdout(io.StringIO()):
        original = COCO(str(root / f"annotations/{name}.json"))
        theirs = COCOeval(original, original.loadRes(str(tmp_path / "results.json")), "bbox")
        theirs.evaluate()
        theirs.accumulate()
        theirs.summarize()
    ours = evaluator.compute()["metrics"]
    for name, stat in zip(MEANINGS, theirs.stats, strict=True):
        assert ours[name] == pytest.approx(stat, abs=1e-9), name


def test_original_ids_come_back() -> None:
    evaluator = CocoEvaluator(truth([]))
    evaluator.update([2, 1], [found([(2, 0.5, (1, 2, 3, 5))]), found([(1, 0.25, (0, 0, 4, 4))])])
    assert evaluator.results() == [
        {"image_id": 1, "category_id": 5, "bbox": [0, 0, 4, 4], "score": 0.25},
        {"image_id": 2, "category_id": 9, "bbox": [1, 2, 2, 3], "score": 0.5},
    ]


def test_classes_are_mapped_by_name_and_strangers_dropped() -> None:
    labels = np.array([0, 2, 0])  # The model's first class is the data's second; its second none.
    evaluator = CocoEvaluator(truth([]), labels)
    evaluator.update([1], [found([(1, 0.5, (0, 0, 4, 4)), (2, 0.5, (0, 0, 4, 4))])])
    assert [row["category_id"] for row in evaluator.results()] == [9]


def test_an_image_counts_once() -> None:
    """Processes that share a set may both see an image that fills the last batch."""
    evaluator = CocoEvaluator(truth([(1, 5, (0, 0, 50, 50))]))
    for _ in range(2):
        evaluator.update([1], [found([(1, 0.9, (0, 0, 50, 50))])])
    assert len(evaluator.results()) == 1


def test_only_scores_above_the_threshold_count() -> None:
    """An export finds more than is asked for, where its own threshold is lower."""
    evaluator = CocoEvaluator(truth([]), above=0.5).fresh()
    box = (0, 0, 4, 4)
    evaluator.update([1], [found([(1, 0.75, box), (2, 0.5, box), (1, 0.25, box)])])
    assert [row["score"] for row in evaluator.results()] == [0.75]


@pytest.mark.slow
def test_boxes_go_back_to_original_pixels() -> None:
    detections = Detections(
        torch.tensor([[[0.1, 0.2, 0.5, 1.0], [0, 0, 0, 0]]]),
        torch.tensor([[0.75, 0.0]]),
        torch.tensor([[4, 0]]),
    )
    model, card = NETWORK.example(0.25, 64, "ssd300")
    decoded = NETWORK.decode(model, card, detections, frame_of([(640, 480)]))
    (result,) = rows_of(decoded)
    assert result["labels"].tolist() == [4]
    assert result["boxes"][0] == pytest.approx([64, 96, 320, 480], abs=1e-4)


def test_tables_for_people() -> None:
    text = format_classes({"cup": (0.5, 0.75), "cat": (0.625, 0.875), "none": (-1, -1)})
    assert text.splitlines()[1].split() == ["cat", "0.625", "0.875"]
    assert "none" not in text
