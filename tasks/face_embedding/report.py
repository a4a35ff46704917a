"""The report of an embedding network's run: metrics, ROC, folds, hardest pairs."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from tasks.face_embedding.draw import TILE
from tasks.face_embedding.evaluator import MEANINGS, warnings_of
from tasks.face_embedding.protocols import Mistake, Score
from tasks.face_embedding.roc import Roc, thin
from tasks.reporting.html_page import Page
from tasks.reporting.pictures import Image, tile
from tasks.reporting.skeleton import Curves, MetricsTable, Report
from tasks.reporting.tables import metric_rows

# Lowest FAR that is shown.
_LEAST_FAR = 1e-4
_CURVES = (
    Curves(("loss",), "loss over steps (smoothed)"),
    Curves(("auc", "accuracy"), "evaluations over steps"),
)


@dataclass(frozen=True)
class ReportData:
    """The contents of a report of face embeddings."""

    score: Score
    read: Callable[[int], Image]  # gives the image of an index
    files: Sequence[str]  # path of each image, by index


def make_report(data: ReportData) -> Report:
    """The part of the report that is specific to embeddings."""
    score, curve = data.score, thin(data.score["roc"])
    return Report(
        headline=_headline(score["metrics"]),
        summary={
            "metrics": score["metrics"],
            "pairs": {"same": curve.positives, "different": curve.negatives},
        },
        details={
            "folds": [fold._asdict() for fold in score["folds"]],
            "val_at_far": [
                {**val._asdict(), "rests_on": val.rests_on, "warning": val.warning}
                for val in score["vals"]
            ],
            "warnings": warnings_of(score),
            "roc": {"far": curve.far.tolist(), "val": curve.val.tolist()},
        },
        cases={
            "worst": [
                {
                    "first": Path(data.files[pair.first]),
                    "second": Path(data.files[pair.second]),
                    "same": pair.same,
                    "distance": pair.distance,
                }
                for pair in score["worst"]
            ]
        },
        per="image",
        curves=_CURVES,
        metrics=MetricsTable(metric_rows(score["metrics"], MEANINGS)),
        sections=partial(_write_sections, data=data),
    )


def _write_sections(page: Page, data: ReportData) -> None:
    """Rates, curves, and the hardest pairs."""
    _write_numbers(page, data.score)
    for same, title, note in (
        (True, "One person, farthest apart", "Missed first where the threshold is low."),
        (False, "Two people, nearest", "Mistaken first where the threshold is high."),
    ):
        page.section(title, note)
        pairs = [mistake for mistake in data.score["worst"] if mistake.same == same]
        page.pictures(_picture(data, pair) for pair in pairs)


def _headline(metrics: Mapping[str, float]) -> list[tuple[str, str]]:
    if "accuracy" in metrics:
        spread = metrics.get("accuracy_std")
        shown = "" if spread is None else f" +- {spread:.2%} over folds"
        first = (f"{metrics['accuracy']:.2%}", f"accuracy{shown}")
    else:
        first = (f"{metrics['rank1']:.2%}", "nearest image is of the same person")
    return [
        first,
        (f"{metrics['auc']:.4f}", "area under the ROC"),
        (f"{metrics['eer']:.2%}", "equal error rate"),
    ]


def _write_numbers(page: Page, score: Score) -> None:
    """Rates with their numbers of pairs, curves, folds."""
    metrics, roc = score["metrics"], score["roc"]
    page.section(
        "VAL at a FAR",
        "Share of pairs of one person found, at the share of pairs of two people taken for one.",
    )
    page.table(
        ("FAR", "VAL", "std over folds", "FAR found", "rests on pairs", ""),
        [
            (
                f"{val.far:g}",
                *("-" if value is None else value for value in (val.val, val.std)),
                "-" if val.found is None else f"{val.found:.2g}",
                f"{val.rests_on:.3g} of {val.negatives}",
                val.warning,
            )
            for val in score["vals"]
        ],
    )
    page.section("Curves")
    distances = _distance_plot(score["histogram"], metrics["threshold"])
    page.plots(
        [
            (_roc_plot(roc), f"{roc.positives} pairs of one person, {roc.negatives} of two"),
            (distances, "pairs by distance; dashed: the threshold"),
        ]
    )
    if score["folds"]:
        page.section("Folds", "Each at the threshold that is best on the others.")
        page.table(("fold", "accuracy", "threshold", "pairs"), score["folds"])


def _roc_plot(roc: Roc) -> Figure:
    """VAL over FAR, on a logarithmic axis that begins at one pair."""
    shown = thin(roc)
    figure = Figure(figsize=(5, 4))
    axes = figure.add_subplot()
    least = max(_LEAST_FAR, 1 / roc.negatives)
    far = np.maximum(shown.far, least / 10)
    axes.plot(far, shown.val, color="#2a78d6", drawstyle="steps-post")
    axes.plot(*(np.geomspace(least, 1, 50),) * 2, "--", color="#888", linewidth=1)
    axes.axvspan(least / 10, min(10 / roc.negatives, 1), color="#8883", linewidth=0)
    axes.set_xscale("log")
    axes.set(xlabel="FAR (grey: rests on fewer than 10 pairs)", ylabel="VAL")
    axes.set(xlim=(least, 1), ylim=(0, 1.01))
    axes.grid(alpha=0.3)
    return figure


def _distance_plot(histogram: NDArray[np.int64], threshold: float) -> Figure:
    """Shares of both kinds of pairs by squared distance."""
    figure = Figure(figsize=(5, 4))
    axes = figure.add_subplot()
    width = 4 / histogram.shape[1]
    middles = (np.arange(histogram.shape[1]) + 0.5) * width
    kinds = (("two people", "#999999"), ("one person", "#2a78d6"))
    for counts, (name, colour) in zip(histogram, kinds, strict=True):
        shares = counts / max(counts.sum(), 1)
        axes.bar(middles, shares, width, color=colour, alpha=0.7, label=name)
    axes.axvline(threshold, color="black", linestyle="--", linewidth=1)
    axes.set(xlabel="squared distance", ylabel="share of pairs")
    axes.grid(alpha=0.3)
    axes.legend()
    return figure


def _picture(data: ReportData, pair: Mistake) -> tuple[Image, str]:
    both = [tile(data.read(index), TILE) for index in (pair.first, pair.second)]
    names = " and ".join(Path(data.files[index]).name for index in (pair.first, pair.second))
    return np.concatenate(both, axis=1), f"distance {pair.distance:.3f}: {names}"
