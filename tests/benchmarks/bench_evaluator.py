"""COCO evaluation of 5000 images with 100 detections each: faster-coco-eval and pycocotools.

python -m tests.benchmarks.bench_evaluator
"""

from __future__ import annotations

import sys
from functools import partial
from typing import Any

import numpy as np

from tasks.detection.evaluator import MEANINGS, CocoEvaluator
from tasks.runtime.session import Answer as Outputs
from tests.benchmarks.timing import medians, pin_threads

IMAGES, DETECTIONS, CLASSES, OBJECTS, ROUNDS = 5000, 100, 80, 7, 2


def make_truth(rng: np.random.Generator) -> dict[str, Any]:
    """Ground truth of COCO's size: 5000 images, about 36,000 objects."""
    rows: list[dict[str, Any]] = []
    for image in range(1, IMAGES + 1):
        for _ in range(rng.poisson(OBJECTS)):
            low, span = rng.random(2) * (500, 350), rng.lognormal(4, 0.9, 2).clip(4, 480)
            x, y = (float(value) for value in low)
            w, h = (float(value) for value in np.minimum(span, (640, 480) - low))
            rows.append(
                {
                    "id": len(rows) + 1,
                    "image_id": image,
                    "category_id": int(rng.integers(1, CLASSES + 1)),
                    "bbox": [x, y, w, h],
                    "area": w * h,
                    "iscrowd": int(rng.random() < 0.01),
                }
            )
    return {
        "images": [
            {"id": k, "file_name": f"{k}.jpg", "width": 640, "height": 480}
            for k in range(1, IMAGES + 1)
        ],
        "annotations": rows,
        "categories": [{"id": k, "name": f"class {k}"} for k in range(1, CLASSES + 1)],
    }


def make_results(truth: dict[str, Any], rng: np.random.Generator) -> dict[int, Outputs]:
    """Shaken true boxes first, then chance."""
    inside: dict[int, list[dict[str, Any]]] = {image["id"]: [] for image in truth["images"]}
    for row in truth["annotations"]:
        inside[row["image_id"]].append(row)
    results: dict[int, Outputs] = {}
    for image, rows in inside.items():
        boxes = rng.random((DETECTIONS, 4)) * (500, 380, 140, 100)
        labels = rng.integers(1, CLASSES + 1, DETECTIONS)
        for k, row in enumerate(rows[:DETECTIONS]):
            boxes[k] = np.array(row["bbox"]) * rng.uniform(0.85, 1.15, 4)
            if rng.random() < 0.8:
                labels[k] = row["category_id"]
        boxes[:, 2:] += boxes[:, :2]
        scores = rng.uniform(0, 0.6, DETECTIONS)
        scores[: len(rows)] += 0.4
        results[image] = {"boxes": boxes, "scores": scores, "labels": labels}
    return results


def main() -> None:
    """Measure and print; exit with 1 if the numbers differ."""
    pin_threads()
    rng = np.random.default_rng(0)
    truth = make_truth(rng)
    results = make_results(truth, rng)
    evaluators = {s: CocoEvaluator(truth, scorer=s) for s in ("faster", "pycocotools")}  # type: ignore[arg-type]
    for evaluator in evaluators.values():
        evaluator.update([*results], [*results.values()])
    metrics: dict[str, dict[str, float]] = {}

    def score(scorer: str) -> None:
        metrics[scorer] = evaluators[scorer].compute()["metrics"]

    found = medians({s: partial(score, s) for s in evaluators}, ROUNDS, warmup=0)
    numbers = [*metrics.values()]
    largest = max(abs(numbers[0][name] - numbers[1][name]) for name in MEANINGS)
    objects = len(truth["annotations"])
    print(f"{IMAGES} images, {IMAGES * DETECTIONS} detections, {objects} objects")
    for scorer, seconds in found.items():
        print(f"  {scorer:14}{seconds:7.2f} s")
    print(f"faster-coco-eval is {found['pycocotools'] / found['faster']:.1f} times as fast")
    print(f"largest difference among the 12 numbers: {largest:.1e} (AP {numbers[0]['AP']:.4f})")
    if largest > 1e-9:
        sys.exit(1)


if __name__ == "__main__":
    main()
