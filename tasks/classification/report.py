"""The report of a classification run: metrics, curves, confusions, informative images."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Generic, NamedTuple, TypeVar

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from datasets.types import ClassMap
from tasks.classification.calibration import NUM_BINS
from tasks.classification.evaluator import MEANINGS, Score, by_recall, unknown_note
from tasks.reporting.html_page import Page
from tasks.reporting.pictures import Image, tile
from tasks.reporting.plots import confusion_plot, most_confused
from tasks.reporting.skeleton import Curves, MetricsTable, Report
from tasks.reporting.tables import metric_rows

AnyScore = TypeVar("AnyScore")
_PICTURES = 12
_PAIRS = 20
_TABLE_ROWS = 100
# With more classes than this, report.json contains only the confusions of the most confused.
_WHOLE_TABLE = 100
_TILE = 256
_GREY = (128, 128, 128)
_CURVES = (
    Curves(("loss", "val_loss"), "loss over steps (smoothed)"),
    Curves(("top1", "top5"), "validation over steps"),
)
_PICTURE_NOTE = (
    "Left: the image. Right: what the network saw of it, coloured where it speaks for the "
    "predicted class (Grad-CAM; red most)."
)


@dataclass(frozen=True)
class ReportData(Generic[AnyScore]):
    """The contents of the report of a classifier, or of a network of attributes.

    Attributes:
        classes: Classes or attributes of the data.
        score: Result of the evaluation.
        read: Function from an image id to the image.
        explain: Function that shows what the network saw of an image, coloured where it supports a
            class (the data's column). None if that is not available.
        files: Path of each image, by image id.
    """

    classes: ClassMap
    score: AnyScore
    read: Callable[[int], Image]
    explain: Callable[[Image, int], Image] | None
    files: Sequence[str]


class _Case(NamedTuple):
    """One image, the column that was predicted, and its entry in ``report.json``."""

    image_id: int
    predicted: int
    said: dict[str, Any]


def make_report(data: ReportData[Score]) -> Report:
    """The part of the report that is specific to classification."""
    score, metrics = data.score, data.score["metrics"]
    wrong = _cases(data, right=False)
    doubtful = _cases(data, right=True)
    low, high = metrics["top1_low"], metrics["top1_high"]
    headline = [(f"{metrics['top1']:.3f}", f"top-1 (95 %: {low:.3f} to {high:.3f})")]
    if "top5" in metrics:
        headline.append((f"{metrics['top5']:.3f}", "top-5"))
    return Report(
        headline=headline,
        summary={"metrics": metrics, "images": len(score["image_ids"])},
        details=_details(data),
        cases={
            "worst": [case.said for case in wrong],
            "least_sure": [case.said for case in doubtful],
        },
        num_images=len(score["image_ids"]),
        opening=partial(_write_unknown, score=score),
        curves=_CURVES,
        metrics=MetricsTable(metric_rows(metrics, MEANINGS)),
        sections=partial(_write_sections, data=data, wrong=wrong, doubtful=doubtful),
    )


def _write_unknown(page: Page, score: Score) -> None:
    if unknown_note(score):
        page.section("Classes that the model lacks", unknown_note(score))


def _write_sections(
    page: Page, data: ReportData[Score], wrong: Sequence[_Case], doubtful: Sequence[_Case]
) -> None:
    """Classes, confusions, and the most informative images."""
    _write_classes(page, data.score)
    _write_confusions(page, data)
    note = "" if data.explain is None else _PICTURE_NOTE
    page.section("Worst mistakes", f"Wrong, and most sure of it, first. {note}")
    if wrong:
        page.pictures(_picture(data, case) for case in wrong)
    else:
        page.text("None: every answer is right.")
    if doubtful:
        page.section("Least sure, but right", note)
        page.pictures(_picture(data, case) for case in doubtful)


def _write_classes(page: Page, score: Score) -> None:
    """Recall and precision; if there are many classes, of the best and the worst."""
    ranked = by_recall(score)
    note = "Recall: the share of a class's images that is found."
    if len(ranked) > _TABLE_ROWS:
        half = _TABLE_ROWS // 2
        note += f" The {half} best and the {half} worst of {len(ranked)}; all in report.json."
        ranked = ranked[:half] + ranked[-half:]
    page.section("Per class", note)
    head = ("class", "recall", "precision", "photos", "")
    rows = [
        (name, row.recall or 0.0, "-" if row.precision is None else row.precision, row.photos)
        for name, row in ranked
    ]
    page.table(head, rows, bar=1)


def _write_confusions(page: Page, data: ReportData[Score]) -> None:
    """Confusion matrix, reliability and the most confused pairs."""
    score, names = data.score, data.classes.names
    metrics = score["metrics"]
    note = f"Expected calibration error {metrics['ece']:.3f}; "
    note += f"{metrics['ece_scaled']:.3f} at temperature {metrics['temperature']:.2f}, "
    note += "fitted on these same images."
    page.section("Confusions and confidence", note)
    shown = len(most_confused(score["confusion"]))
    which = "" if shown == len(names) else f"; the {shown} most confused of {len(names)} classes"
    matrix, trust = confusion_plot(score["confusion"], names), _reliability_plot(data.score)
    page.plots(
        [
            (matrix, f"rows: true; columns: predicted{which}"),
            (trust, "above the diagonal: too modest; below: too sure"),
        ]
    )
    totals = score["confusion"].sum(axis=1)
    rows = [
        (names[t], names[p], count, float(count / totals[t]))
        for t, p, count in _pairs(score["confusion"])
    ]
    if rows:
        page.section("Most confused pairs")
        page.table(("true", "taken for", "photos", "share of the class"), rows)


def _reliability_plot(score: Score) -> Figure:
    """Accuracy over confidence, above the number of images at each confidence."""
    bins = score["reliability"]
    figure = Figure(figsize=(5, 5))
    above, below = figure.subplots(2, 1, sharex=True, height_ratios=(3, 1))
    width = 1 / NUM_BINS
    middles = (np.arange(NUM_BINS) + 0.5) * width
    counts = np.array([row.photos for row in bins])
    above.bar(middles, [row.accuracy for row in bins], width * 0.94, color="#2a78d6")
    filled = [row for row in bins if row.photos]
    sure, right = ([row[k] for row in filled] for k in (0, 1))
    above.plot(sure, right, "o", color="#123a6b", markersize=4)
    above.plot((0, 1), (0, 1), "--", color="#888", linewidth=1)
    above.set(ylabel="share that is right", xlim=(0, 1), ylim=(0, 1.02))
    below.bar(middles, counts / counts.sum(), width * 0.94, color="#999")
    below.set(xlabel="probability of the answer", ylabel="share of images")
    for axes in (above, below):
        axes.grid(alpha=0.3)
        axes.set_axisbelow(True)
    return figure


def _cases(data: ReportData[Score], *, right: bool) -> list[_Case]:
    """Correct answers, the least certain first; or wrong answers, the most certain first."""
    score, names = data.score, data.classes.names
    targets, predicted = score["targets"], score["predicted"]
    sure = np.take_along_axis(score["probabilities"], predicted[:, None], axis=1)[:, 0]
    rows = np.flatnonzero((targets == predicted) == right)
    order = np.argsort(sure[rows] if right else -sure[rows], kind="stable")
    cases = []
    for k in rows[order[:_PICTURES]]:
        image_id, guess = int(score["image_ids"][k]), int(predicted[k])
        said = {
            "file": Path(data.files[image_id]),
            "true": names[targets[k]],
            "predicted": names[guess],
            "probability": float(sure[k]),
        }
        cases.append(_Case(image_id, guess, said))
    return cases


def _pairs(confusion: NDArray[np.int64]) -> list[tuple[int, int, int]]:
    """(true, predicted, images) of the most frequent confusions, most first."""
    off = confusion.copy()
    np.fill_diagonal(off, 0)
    order = np.argsort(-off, axis=None, kind="stable")[:_PAIRS]
    rows = [(int(cell // len(off)), int(cell % len(off)), int(off.flat[cell])) for cell in order]
    return [row for row in rows if row[2]]


def _picture(data: ReportData[Score], case: _Case) -> tuple[Image, str]:
    photo = data.read(case.image_id)
    picture = tile(photo, _TILE, _GREY)
    if data.explain is not None:
        seen = data.explain(photo, case.predicted)
        picture = np.concatenate((picture, tile(seen, _TILE, _GREY)), axis=1)
    said = case.said
    true = f"; true: {said['true']}" if said["true"] != said["predicted"] else ""
    return picture, f"{said['predicted']} {said['probability']:.1%}{true} ({said['file'].name})"


def _details(data: ReportData[Score]) -> dict[str, Any]:
    """Contents of report.json about classes and confusions."""
    score, names = data.score, data.classes.names
    keep = most_confused(score["confusion"], _WHOLE_TABLE)
    return {
        "per_class": {name: row._asdict() for name, row in score["per_class"].items()},
        "confusion": {
            "classes": [names[k] for k in keep],
            "rows_true_columns_predicted": score["confusion"][keep][:, keep].tolist(),
        },
        "confused_pairs": [
            {"true": names[t], "predicted": names[p], "count": count}
            for t, p, count in _pairs(score["confusion"])
        ],
        "reliability": [row._asdict() for row in score["reliability"]],
        "unknown_classes": list(score["unknown"]),
    }
