"""The report of a detection run: metrics, curves, confusions, best and worst images."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from datasets.types import ClassMap, DetectionTarget
from tasks.detection.draw import Image, draw_detections, draw_truth
from tasks.detection.evaluator import MEANINGS, Score, format_value
from tasks.reporting.html_page import Page
from tasks.reporting.plots import confusion_plot
from tasks.reporting.skeleton import Curves, MetricsTable, Report
from tasks.reporting.tables import ABSENT, metric_rows
from tasks.runtime.session import Answer as Outputs

# Drawings show confident boxes; mAP counts scores down to a hundredth.
SHOWN_SCORE = 0.5
MATCH_IOU = 0.5
_PICTURES = 12
_CURVES = 12
_LOSSES = ("loss", "loss_rpn_class", "loss_rpn_box", "loss_class", "loss_box")
_TRAINING = (
    Curves(_LOSSES, "losses over steps (smoothed)"),
    Curves(("AP", "AP50"), "validation over steps"),
)


@dataclass(frozen=True)
class ReportData:
    """The contents of a detection report.

    Attributes:
        classes: Classes of the ground truth.
        score: COCO metrics.
        results: Boxes, scores and labels per image, labels in ``classes``.
        truths: True boxes of each image, in the same order, in original pixels.
        read: Function from an index to the image.
        files: Paths of the images.
    """

    classes: ClassMap
    score: Score
    results: Sequence[Outputs]
    truths: Sequence[DetectionTarget]
    read: Callable[[int], Image]
    files: Sequence[str]


def make_report(data: ReportData) -> Report:
    """The part of the report that is specific to detection."""
    matched = [_match(r, t) for r, t in zip(data.results, data.truths, strict=True)]
    confusion = _confusion(matched, len(data.classes))
    order = sorted(range(len(matched)), key=lambda index: _quality(matched[index]))
    metrics, per_class = data.score["metrics"], data.score["per_class"]
    shown = {name: "-" if value == ABSENT else value for name, value in metrics.items()}
    return Report(
        headline=[
            (format_value(metrics["AP"]), "AP (COCO, IoU .50-.95)"),
            (format_value(metrics["AP50"]), "AP50"),
            (format_value(metrics["AR100"]), "AR100"),
        ],
        summary={"metrics": metrics},
        details={
            "per_class": {name: {"AP": a, "AP50": b} for name, (a, b) in per_class.items()},
            "confusion": {
                "classes": [*data.classes.names, "background"],
                "score_threshold": SHOWN_SCORE,
                "rows_true_columns_predicted": confusion.tolist(),
            },
        },
        cases={"worst": [Path(data.files[index]) for index in order[:_PICTURES]]},
        num_images=len(data.results),
        curves=_TRAINING,
        metrics=MetricsTable(metric_rows(shown, MEANINGS), title="COCO's twelve numbers"),
        sections=partial(
            _write_sections, data=data, confusion=confusion, matched=matched, order=order
        ),
    )


def _write_sections(
    page: Page,
    data: ReportData,
    confusion: NDArray[np.int64],
    matched: Sequence[_Matched],
    order: Sequence[int],
) -> None:
    """Classes, confusions, and the best and the worst images."""
    per_class = data.score["per_class"]
    page.section("Per class")
    known = [(name, ap, ap50) for name, (ap, ap50) in per_class.items() if ap != ABSENT]
    known.sort(key=lambda row: row[1], reverse=True)
    page.table(("class", "AP", "AP50", ""), known, bar=1)
    page.section(
        "Precision, recall and confusions",
        f"Curves at IoU .50. Confusions among boxes with a score of {SHOWN_SCORE} or more.",
    )
    matrix = confusion_plot(confusion, [*data.classes.names, "background"])
    page.plots(
        [
            (_precision_plot(data.score), "precision over recall, per class"),
            (matrix, "rows: true; columns: predicted"),
        ]
    )
    note = "Coloured: predicted. Dashed white: true."
    page.section("Worst cases", f"{note} The most misses and false alarms for what is there.")
    page.pictures(_picture(data, index, matched[index]) for index in order[:_PICTURES])
    page.section("Best cases", note)
    page.pictures(_picture(data, index, matched[index]) for index in order[::-1][:_PICTURES])


class _Matched(NamedTuple):
    """Confident predictions of an image and its true boxes.

    Attributes:
        result: Predictions.
        truth: True boxes; crowds do not count.
        shown: Indices of the predictions above the score.
        partner: True box that each shown prediction covers, -1 for none.
        found: Mask of true boxes that are covered by a prediction of any class.
    """

    result: Outputs
    truth: DetectionTarget
    shown: NDArray[np.int64]
    partner: NDArray[np.int64]
    found: NDArray[np.bool_]


def _match(result: Outputs, truth: DetectionTarget) -> _Matched:
    """Match greedily by score, at IoU .5, whatever the class."""
    shown = np.flatnonzero(result["scores"] >= SHOWN_SCORE)
    partner = np.full(len(shown), -1)
    found = np.zeros(len(truth["boxes"]), dtype=np.bool_)
    iou = _overlap(result["boxes"][shown], truth["boxes"].astype(np.float64), truth["iscrowd"])
    for row, k in enumerate(shown):
        # If two boxes fit, prefer the one of the predicted class.
        same = truth["labels"] == result["labels"][k]
        free = np.where(found & ~truth["iscrowd"], 0, iou[row])
        if len(free) and free.max() >= MATCH_IOU:
            best = int(np.argmax(free + (free >= MATCH_IOU) * same))
            partner[row], found[best] = best, True
    return _Matched(result, truth, shown, partner, found)


def _overlap(
    one: NDArray[np.float64], two: NDArray[np.float64], crowd: NDArray[np.bool_]
) -> NDArray[np.float64]:
    """IoU; with a crowd, the share of the detection that is inside it, as in COCO."""
    low = np.maximum(one[:, None, :2], two[:, :2])
    high = np.minimum(one[:, None, 2:], two[:, 2:])
    both = np.clip(high - low, 0, None).prod(axis=2)
    areas = [(b[:, 2:] - b[:, :2]).prod(axis=1) for b in (one, two)]
    union = areas[0][:, None] + np.where(crowd, 0, areas[1] - both)
    return np.asarray(both / np.maximum(union, 1e-9))


def _confusion(matched: Sequence[_Matched], count: int) -> NDArray[np.int64]:
    """(C + 1, C + 1) counts, rows true, columns predicted, background last."""
    table = np.zeros((count + 1, count + 1), dtype=np.int64)
    for result, truth, shown, partners, found in matched:
        for k, partner in zip(shown, partners, strict=True):
            if partner >= 0 and truth["iscrowd"][partner]:
                continue
            row = truth["labels"][partner] - 1 if partner >= 0 else count
            table[row, result["labels"][k] - 1] += 1
        missed = ~found & ~truth["iscrowd"]
        table[:count, count] += np.bincount(truth["labels"][missed] - 1, minlength=count)
    return table


def _quality(match: _Matched) -> tuple[float, int]:
    """Quality by which images are ordered: F1 of confident boxes of the correct class."""
    result, truth, shown, partner, _ = match
    fits = partner >= 0
    ignored = truth["iscrowd"][partner[fits]]
    right = ~ignored & (truth["labels"][partner[fits]] == result["labels"][shown[fits]])
    total = len(shown) - int(ignored.sum()) + int((~truth["iscrowd"]).sum())
    # Among equals, the image with more objects is more informative.
    f1 = 2 * int(right.sum()) / total if total else 1.0
    return f1, -total if f1 < 0.5 else total


def _picture(data: ReportData, index: int, match: _Matched) -> tuple[Image, str]:
    result, truth, shown, partner, _ = match
    image = draw_truth(data.read(index), truth["boxes"])
    labels, scores = result["labels"][shown].tolist(), result["scores"][shown].tolist()
    image = draw_detections(image, result["boxes"][shown], labels, scores, data.classes.names)
    counts = f"{len(truth['boxes'])} true, {len(shown)} predicted, {(partner >= 0).sum()} fit"
    return image, f"{Path(data.files[index]).name}: {counts}"


def _precision_plot(score: Score) -> Figure:
    figure = Figure(figsize=(5, 4))
    axes = figure.add_subplot()
    recall = np.linspace(0, 1, 101)
    rows = [
        (ap[1], name, score["precision"][:, k])
        for k, (name, ap) in enumerate(score["per_class"].items())
        if ap[0] != ABSENT
    ]
    rows.sort(key=lambda row: -row[0])
    half = _CURVES // 2
    chosen = rows if len(rows) <= _CURVES else rows[:half] + rows[-half:]
    for ap50, name, precision in chosen:
        axes.plot(recall, precision, label=f"{name} {ap50:.2f}", linewidth=1.2)
    axes.set(xlabel="recall", ylabel="precision", xlim=(0, 1), ylim=(0, 1.02))
    axes.grid(alpha=0.3)
    axes.legend(fontsize=7, loc="lower left")
    return figure
