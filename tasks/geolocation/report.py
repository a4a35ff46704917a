"""The page that a geolocation run leaves: figures, maps, curves, best and worst answers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from backbone.cost import Cost
from tasks.fitting.stopwatch import Stopwatch, write_summary
from tasks.geolocation.answer import Located
from tasks.geolocation.draw import draw_place, place_name
from tasks.geolocation.evaluator import MEANINGS, RADII_KM, Score, few_note
from tasks.geolocation.partition import Partition
from tasks.geolocation.sphere import Floats
from tasks.geolocation.world import (
    answers_plot,
    confidence_plot,
    distance_plot,
    partition_plot,
)
from tasks.reporting.html_page import Page
from tasks.reporting.plots import history_plot

Image = NDArray[np.uint8]
_PICTURES = 9
_HEADLINE = (25, 200, 750)
_SURE = (200, 750, 2500)
USE_NOTE = (
    "Locating photos of people, their homes or their children without their consent is misuse of "
    "this model."
)


@dataclass(frozen=True)
class ReportData:
    """What a report is drawn from.

    Attributes:
        title: Of the page.
        command: That made it.
        partition: Cells of the model.
        score: Of the evaluation.
        truth: Latitudes and longitudes (N,) of the photos by image id, degrees.
        used_temperature: That the logits were divided by.
        cost: Of the network for one image.
        read: Gives the photo of an image id.
        locate: Answers for some photos.
        files: Name of each photo, by image id.
        history: Rows (step, name, value) of the training; empty after a mere evaluation.
        facts: Name and value pairs for the summary table.
        watch: Of the run, for its minutes; None after a mere evaluation.
    """

    title: str
    command: str
    partition: Partition
    score: Score
    truth: tuple[Floats, Floats]
    used_temperature: float
    cost: Cost
    read: Callable[[int], Image]
    locate: Callable[[Sequence[Image]], list[Located]]
    files: Sequence[str]
    history: Sequence[tuple[int, str, float]]
    facts: Sequence[tuple[str, str]]
    watch: Stopwatch | None = None


def write_report(folder: Path, data: ReportData) -> dict[str, Any]:
    """Write ``report.html`` and ``report.json``; return the latter.

    Raises:
        OSError: If a file cannot be written.
    """
    page = Page(data.title, data.command)
    _write_numbers(page, data)
    _write_maps(page, data)
    _write_confidence(page, data)
    rows = np.flatnonzero(data.score["answered"])
    km, confidence = data.score["km"][rows], data.score["confidence"][rows]
    sure_and_far = rows[np.argsort(-km * confidence, kind="stable")]
    sure_and_near = rows[np.argsort(km * (1.01 - confidence), kind="stable")]
    note = "Orange: the region, brighter where it is more likely. White cross: the answer. "
    note += "Green: the truth."
    page.section("Worst answers", f"Far off, and sure of it, first. {note}")
    page.pictures(_pictures(data, sure_and_far[:_PICTURES]))
    page.section("Best answers", note)
    page.pictures(_pictures(data, sure_and_near[:_PICTURES]))
    page.section("Use", USE_NOTE)
    page.write(folder / "report.html")
    summary = _summary(data, sure_and_far[:_PICTURES])
    return write_summary(folder, summary, data.watch)


def _write_numbers(page: Page, data: ReportData) -> None:
    """Headline, facts, curves and the table of metrics."""
    score, metrics = data.score, data.score["metrics"]
    figures = [
        (
            f"{metrics[f'km{r}']:.3f}",
            f"within {r} km (95 %: {metrics[f'km{r}_low']:.3f} to {metrics[f'km{r}_high']:.3f})",
        )
        for r in _HEADLINE
    ]
    page.headline(
        [
            *figures,
            (f"{metrics['median_km']:.0f} km", "median distance"),
            (f"{metrics['geoscore']:.0f}", "GeoScore of 5000"),
            (f"{data.cost.mult_adds / 1e9:.3f} B", "mult-adds per image"),
            (f"{data.cost.params / 1e6:.3f} M", "parameters"),
            (str(len(score["image_ids"])), "images"),
        ]
    )
    page.table(("", ""), data.facts)
    if data.history:
        page.section("Training")
        page.plots(
            [
                (history_plot(data.history, ("loss", "val_loss")), "loss over steps (smoothed)"),
                (history_plot(data.history, ("km200", "km750", "km2500")), "validation"),
            ]
        )
    page.section("Metrics", few_note(score))
    rows = []
    for name, meaning in MEANINGS.items():
        ends = "".join(
            f"{metrics[f'{name}{end}']:.3f} {word}"
            for end, word in (("_low", "to "), ("_high", ""))
            if f"{name}{end}" in metrics
        )
        by_chance = f"{score['chance'][name]:.3f}" if name in score["chance"] else ""
        rows.append((name, metrics[name], ends, by_chance, meaning))
    page.table(("", "", "95 %", "by chance", ""), rows)
    page.section(
        "Ways of decoding", "centre: of the most likely cell; mean: of its photos; local: of cells"
    )
    names = [*(f"km{r}" for r in RADII_KM), "median_km", "geoscore"]
    page.table(
        ("", *names), [(way, *(row[n] for n in names)) for way, row in score["by_way"].items()]
    )


def _write_maps(page: Page, data: ReportData) -> None:
    score = data.score
    page.section("Map", "Dots: where photos were taken. Lines lead to the answers.")
    ids = score["image_ids"][score["answered"]]
    truth = data.truth[0][ids], data.truth[1][ids]
    answers = score["lat"][score["answered"]], score["lng"][score["answered"]]
    page.plots(
        [(answers_plot(data.partition, truth, answers, score["km"][score["answered"]]), "")]
    )
    cells = len(data.partition)
    page.section("Cells", f"{cells} cells, and the photos that were evaluated on (red).")
    page.plots([(partition_plot(data.partition, *data.truth), "")])


def _write_confidence(page: Page, data: ReportData) -> None:
    """How far off, how sure, and whether the regions hold what they promise."""
    score, metrics = data.score, data.score["metrics"]
    page.section(
        "Distance and confidence",
        f"The region holds the right cell for {metrics['coverage']:.1%} of the photos, at "
        f"temperature {data.used_temperature:.2f}; these photos would fit "
        f"{metrics['temperature']:.2f}.",
    )
    page.plots(
        [
            (
                distance_plot(score["km"][score["answered"]], score["chance"]),
                "share of the answers within a distance",
            ),
            (
                confidence_plot(score["km"], score["confidence"], _SURE),
                "what abstaining gains: of the surest answers, the share within a distance",
            ),
        ]
    )


def _pictures(data: ReportData, rows: NDArray[np.int64]) -> list[tuple[Image, str]]:
    """Photos of the score's rows with their maps and captions."""
    ids = data.score["image_ids"][rows].tolist()
    images = [data.read(k) for k in ids]
    drawn = []
    for row, k, image, found in zip(rows.tolist(), ids, images, data.locate(images), strict=True):
        truth = float(data.truth[0][k]), float(data.truth[1][k])
        picture = draw_place(image, found, data.partition, truth)
        km = f"{data.score['km'][row]:,.0f} km off, confidence {data.score['confidence'][row]:.2f}"
        drawn.append((picture, f"{km}; true: {place_name(*truth)} ({data.files[k]})"))
    return drawn


def _summary(data: ReportData, worst: NDArray[np.int64]) -> dict[str, Any]:
    """What report.json holds."""
    score = data.score
    return {
        "metrics": score["metrics"],
        "by_way": score["by_way"],
        "chance": score["chance"],
        "images": len(score["image_ids"]),
        "cells": len(data.partition),
        "cost": {"mult_adds": data.cost.mult_adds, "params": data.cost.params},
        "temperature_used": data.used_temperature,
        "facts": dict(data.facts),
        "worst": [
            {
                "file": data.files[score["image_ids"][row]],
                "km": float(score["km"][row]),
                "confidence": float(score["confidence"][row]),
            }
            for row in worst
        ],
    }
