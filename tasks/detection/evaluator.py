"""COCO's mAP of a detector, computed batch by batch, on one process or many.

The 12 metrics come from faster-coco-eval or pycocotools, called directly; the two agree (other
implementations differ in the fourth digit).
"""

from __future__ import annotations

import contextlib
import io
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, TypedDict

import numpy as np
from numpy.typing import NDArray

from datasets.names import shown_in
from tasks.fitting.gathering import gather_rows
from tasks.reporting.tables import ABSENT, columns_text, metrics_text
from tasks.runtime.session import Answer as Outputs
from tasks.weights.atomic_write import write_text

Scorer = Literal["faster", "pycocotools"]
# COCO's twelve metrics, in the order of its summary.
MEANINGS = {
    "AP": "average precision, IoU .50 to .95, all sizes",
    "AP50": "average precision at IoU .50",
    "AP75": "average precision at IoU .75",
    "AP_small": "AP of objects under 32x32 pixels",
    "AP_medium": "AP of objects from 32x32 to 96x96 pixels",
    "AP_large": "AP of objects above 96x96 pixels",
    "AR1": "average recall with 1 detection per image",
    "AR10": "average recall with 10 detections per image",
    "AR100": "average recall with 100 detections per image",
    "AR_small": "AR100 of objects under 32x32 pixels",
    "AR_medium": "AR100 of objects from 32x32 to 96x96 pixels",
    "AR_large": "AR100 of objects above 96x96 pixels",
}


class Score(TypedDict):
    """The result of :meth:`CocoEvaluator.compute`.

    ``metrics`` holds the 12 metrics by the names in ``MEANINGS``; ``per_class`` AP and AP50 by
    class name; ``precision`` (101, K) at IoU .5 over recall 0, .01, ... 1, per class.
    """

    metrics: dict[str, float]
    per_class: dict[str, tuple[float, float]]
    precision: NDArray[np.float64]


class CocoEvaluator:
    """Collects detections and compares them with COCO-style ground truth.

    Args:
        ground_truth: COCO structure: images, annotations, categories in label order.
        labels: (1 + C,) ground-truth label of each model label; 0 drops its detections, because
            the ground truth does not have the class. None if both have the same classes.
        scorer: ``faster`` (faster-coco-eval, the default) or ``pycocotools``.
        above: Score above which detections count.
        own_ids: The data set's ids of images by the ground truth's, where they differ; files are
            written with them.

    Attributes:
        images: Collected detections by image id: ``boxes`` (D, 4), ``scores`` and ``labels`` (D,),
            the latter in the ground truth's classes.
    """

    def __init__(
        self,
        ground_truth: dict[str, Any],
        labels: NDArray[np.int64] | None = None,
        scorer: Scorer = "faster",
        above: float = 0.0,
        own_ids: Mapping[int, int | str] | None = None,
    ) -> None:
        self.ground_truth, self.labels = ground_truth, labels
        self.scorer, self.above = scorer, above
        self.own_ids = own_ids or {}
        self.images: dict[int, Outputs] = {}

    def fresh(self) -> CocoEvaluator:
        """An empty evaluator of the same ground truth."""
        return CocoEvaluator(self.ground_truth, self.labels, self.scorer, self.above, self.own_ids)

    def update(self, image_ids: Sequence[int], outputs: Sequence[Outputs]) -> None:
        """Add the detections of some images; an image that was added before is ignored.

        Args:
            image_ids: Ids of the images in the ground truth.
            outputs: For each image ``boxes`` (D, 4) x1 y1 x2 y2 in original pixels, ``scores``
                (D,) and ``labels`` (D,) from 1 in the model's classes, best first.
        """
        for image_id, found in zip(image_ids, outputs, strict=True):
            self.images.setdefault(int(image_id), self._counted(found))

    def _counted(self, found: Outputs) -> Outputs:
        """Detections that are strong enough and of a known class, in the ground truth's labels."""
        scores, labels = found["scores"].astype(np.float64), found["labels"]
        if self.labels is not None:
            labels = self.labels[labels]
        counted = (scores > self.above) & (labels > 0)
        return {
            "boxes": found["boxes"][counted].astype(np.float64),
            "scores": scores[counted],
            "labels": labels[counted],
        }

    def gather(self) -> None:
        """Collect the detections of all processes on each process."""
        self.images = gather_rows(self.images)

    def results(self) -> list[dict[str, Any]]:
        """All detections as COCO's results JSON, with images in order of their id.

        The same values are scored and written: rounded to a thousandth of a pixel.
        """
        ids = [row["id"] for row in self.ground_truth["categories"]]
        rows = []
        for image_id in sorted(self.images):
            result = self.images[image_id]
            corners = result["boxes"]
            bbox = np.concatenate((corners[:, :2], corners[:, 2:] - corners[:, :2]), axis=1)
            rows += [
                {"image_id": image_id, "category_id": ids[label - 1], "bbox": box, "score": score}
                for label, box, score in zip(
                    result["labels"].tolist(),
                    bbox.round(3).tolist(),
                    result["scores"].round(6).tolist(),
                    strict=True,
                )
            ]
        return rows

    def write(self, folder: Path) -> None:
        """Write ``results.json`` and ``ground_truth.json``, which any COCO tool can score."""
        truth = self.ground_truth
        results = self._renamed(self.results())
        if self.own_ids:
            images = self._renamed(truth["images"], "id")
            annotations = self._renamed(truth["annotations"])
            truth = {**truth, "images": images, "annotations": annotations}
        write_text(folder / "results.json", json.dumps(shown_in(results)))
        write_text(folder / "ground_truth.json", json.dumps(shown_in(truth)))

    def _renamed(self, rows: list[dict[str, Any]], key: str = "image_id") -> list[dict[str, Any]]:
        """Rows with the data set's ids of images."""
        return [{**row, key: self.own_ids.get(row[key], row[key])} for row in rows]

    def compute(self) -> Score:
        """Compute metrics of what was collected, over all images of the ground truth."""
        evaluation = self._evaluated(self.ground_truth, self.results())
        # (IoU thresholds, recalls, classes, areas, detections)
        precision = np.asarray(evaluation.eval["precision"])[..., 0, -1]
        names = {row["id"]: row["name"] for row in self.ground_truth["categories"]}
        # For a class without ground truth everything is -1, which is ABSENT.
        per_class = {
            names[category]: (float(precision[:, :, k].mean()), float(precision[0, :, k].mean()))
            for k, category in enumerate(sorted(names))
        }
        stats = [float(value) for value in evaluation.stats[: len(MEANINGS)]]
        return {
            "metrics": dict(zip(MEANINGS, stats, strict=True)),
            "per_class": per_class,
            "precision": precision[0],
        }

    def _evaluated(self, truth: dict[str, Any], results: list[dict[str, Any]]) -> Any:
        evaluate = _pycocotools if self.scorer == "pycocotools" else _faster
        with contextlib.redirect_stdout(io.StringIO()):
            evaluation = evaluate({"info": {}, **truth}, results)
            evaluation.evaluate()
            evaluation.accumulate()
            evaluation.summarize()
        return evaluation

    def interval(self, name: str, groups: int = 20) -> tuple[float, float] | None:
        """An approximate 95 % interval of a metric, by the jackknife over groups of images.

        AP is no mean over images, so it is computed again without each group in turn (Efron and
        Tibshirani, An Introduction to the Bootstrap, chapter 11).

        Args:
            name: Name of the metric, in ``MEANINGS``.
            groups: Number of groups; with fewer images each is a group.

        Returns:
            Its ends, in 0..1; None if there are fewer than three images, or a metric is absent.
        """
        ids = sorted(row["id"] for row in self.ground_truth["images"])
        place, groups = list(MEANINGS).index(name), min(groups, len(ids))
        if groups < 3:
            return None
        rows, without = self.results(), []
        for group in range(groups):
            kept = {one for k, one in enumerate(ids) if k % groups != group}
            truth = dict(self.ground_truth)
            truth["images"] = [row for row in truth["images"] if row["id"] in kept]
            truth["annotations"] = [row for row in truth["annotations"] if row["image_id"] in kept]
            found = self._evaluated(truth, [row for row in rows if row["image_id"] in kept])
            without.append(float(found.stats[place]))
        whole = float(self._evaluated(self.ground_truth, rows).stats[place])
        if ABSENT in (whole, *without):
            return None
        error = np.sqrt((groups - 1) * np.var(without))
        low, high = whole - 1.96 * error, whole + 1.96 * error
        return max(0.0, float(low)), min(1.0, float(high))


def _pycocotools(truth: dict[str, Any], results: list[dict[str, Any]]) -> Any:
    from pycocotools.coco import COCO
    from pycocotools.cocoeval import COCOeval

    ours, theirs = COCO(), COCO()
    ours.dataset = truth
    ours.createIndex()
    if results:
        theirs = ours.loadRes(results)
    else:
        theirs.dataset = {**truth, "annotations": []}
        theirs.createIndex()
    return COCOeval(ours, theirs, "bbox")


def _faster(truth: dict[str, Any], results: list[dict[str, Any]]) -> Any:
    from faster_coco_eval import COCO, COCOeval_faster

    ours = COCO(truth)
    return COCOeval_faster(ours, ours.loadRes(results), "bbox")


def format_value(value: float) -> str:
    """A metric with three digits; a dash if it is undefined."""
    return "-" if value == ABSENT else f"{value:.3f}"


def format_metrics(metrics: dict[str, float]) -> str:
    """The 12 metrics as a table."""
    shown = {name: f"{format_value(value):>6}" for name, value in metrics.items()}
    return metrics_text(shown, MEANINGS)


def format_classes(per_class: dict[str, tuple[float, float]]) -> str:
    """AP and AP50 per class, best first; classes without ground truth are left out."""
    rows = [(name, *ap) for name, ap in per_class.items() if ap[0] != ABSENT]
    rows.sort(key=lambda row: -row[1])
    cells = [(name, f"{ap:.3f}", f"{ap50:.3f}") for name, ap, ap50 in rows]
    return columns_text(("class", "  AP ", "AP50 "), cells)
