"""The report of a run of face attributes: metrics, a bar per attribute, worst mistakes."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
from matplotlib.figure import Figure

from datasets.types import ClassMap
from tasks.classification.draw import draw_answer
from tasks.classification.report import ReportData
from tasks.face_attributes.evaluator import MEANINGS, TITLES, Score, by_gain, notes_on
from tasks.face_attributes.spec import USE_NOTE
from tasks.reporting.html_page import Page
from tasks.reporting.pictures import Image
from tasks.reporting.skeleton import Curves, MetricsTable, Report
from tasks.reporting.tables import metric_rows

_PICTURES = 12
# Largest number of mistakes of one attribute that are shown.
_OF_ONE = 2
_CURVES = (
    Curves(("loss", "val_loss"), "loss over steps (smoothed)"),
    Curves(("mean_ap", "balanced"), "validation over steps"),
)


def make_report(data: ReportData[Score]) -> Report:
    """The part of the report that is specific to face attributes."""
    score, metrics = data.score, data.score["metrics"]
    worst = _worst(score, data.classes)
    span = f"{metrics['mean_ap_low']:.3f} to {metrics['mean_ap_high']:.3f}"
    words = {
        "mean_ap": f"mean AP (95 %: {span})",
        "balanced": "balanced accuracy",
        "accuracy": f"accuracy (majority {metrics['majority']:.3f})",
    }
    return Report(
        headline=[(f"{metrics[name]:.3f}", word) for name, word in words.items()],
        summary={"metrics": metrics, "images": len(score["image_ids"])},
        details={
            "per_attribute": {name: row._asdict() for name, row in score["per_attribute"].items()},
            "unknown_attributes": list(score["unknown"]),
            "constant_attributes": list(score["constant"]),
        },
        cases={
            "worst": [
                {
                    "file": Path(data.files[case.image_id]),
                    "attribute": data.classes.names[case.column],
                    "true": case.true,
                    "probability": case.probability,
                }
                for case in worst
            ]
        },
        num_images=len(score["image_ids"]),
        in_millions=True,
        curves=_CURVES,
        metrics=MetricsTable(metric_rows(metrics, MEANINGS), note=" ".join(notes_on(score))),
        sections=partial(_write_sections, data=data, worst=worst),
        use_note=USE_NOTE,
    )


def _write_sections(page: Page, data: ReportData[Score], worst: Sequence[_Case]) -> None:
    """Attributes, and the worst mistakes."""
    _write_attributes(page, data)
    note = "Wrong, and most sure of it, first. "
    if data.explain is not None:
        note += "Coloured where the image speaks for the attribute (Grad-CAM; red most). "
    note += "Green: the attribute is there. Many are mistakes of the labels."
    page.section("Worst mistakes", note)
    if worst:
        page.pictures(_picture(data, case) for case in worst)
    else:
        page.text("None: every answer is right.")


def _write_attributes(page: Page, data: ReportData[Score]) -> None:
    """Plot and table of the attributes."""
    page.section(
        "Per attribute",
        "Prevalence is the average precision of chance; majority is the accuracy of always giving "
        "the more frequent answer. Only what exceeds them was learnt.",
    )
    page.plots([(_attribute_plot(data.score), "average precision; black: chance")])
    rows = [
        (name, *("-" if value is None else value for value in row.figures), row.photos)
        for name, row in by_gain(data.score)
    ]
    page.table((*(title.strip() for title in TITLES), "photos"), rows)


def _attribute_plot(score: Score) -> Figure:
    """A bar for each attribute's average precision, with a mark where chance would be."""
    rows = [(name, row) for name, row in by_gain(score) if row.ap is not None][::-1]
    figure = Figure(figsize=(6, 0.8 + 0.22 * len(rows)))
    axes = figure.add_subplot()
    places = np.arange(len(rows))
    axes.barh(places, [row.ap or 0.0 for _, row in rows], color="#2a78d6")
    axes.plot([row.prevalence for _, row in rows], places, "k|", markersize=9)
    axes.set_yticks(places, [name.replace("$", r"\$") for name, _ in rows])
    axes.set(xlim=(0, 1), ylim=(-0.6, len(rows) - 0.4))
    axes.grid(alpha=0.3, axis="x")
    axes.set_axisbelow(True)
    return figure


class _Case(NamedTuple):
    """One wrong answer."""

    image_id: int
    column: int
    true: bool
    probability: float


def _worst(score: Score, attributes: ClassMap) -> list[_Case]:
    """The most certain wrong answers, few of each attribute."""
    thresholds = np.full(len(attributes), np.nan, np.float32)  # NaN where nothing is scored.
    for name, one in score["per_attribute"].items():
        thresholds[attributes.names.index(name)] = one.threshold
    shares, values = score["probabilities"], score["values"]
    wrong = ((shares >= thresholds) != (values == 1)) & (values >= 0) & ~np.isnan(thresholds)
    rows, columns = np.nonzero(wrong)
    distance = np.abs(shares[rows, columns] - thresholds[columns])
    cases: list[_Case] = []
    taken = np.zeros(len(attributes), np.int64)
    for k in np.argsort(-distance, kind="stable").tolist():
        row, column = int(rows[k]), int(columns[k])
        if taken[column] < _OF_ONE and len(cases) < _PICTURES:
            taken[column] += 1
            share, true = float(shares[row, column]), bool(values[row, column] == 1)
            cases.append(_Case(int(score["image_ids"][row]), column, true, share))
    return cases


def _picture(data: ReportData[Score], case: _Case) -> tuple[Image, str]:
    name = data.classes.names[case.column]
    photo = data.read(case.image_id)
    seen = photo if data.explain is None else data.explain(photo, case.column)
    picture = draw_answer(seen, [name], [case.probability], name if case.true else "")
    said = f"{name}: {'yes' if case.true else 'no'} by its label"
    name = Path(data.files[case.image_id]).name
    return picture, f"{said}, {case.probability:.1%} by the network ({name})"
