"""The report of a geolocation run: metrics, maps, curves, best and worst answers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from tasks.geolocation.decode import Located, place_name
from tasks.geolocation.draw import draw_place
from tasks.geolocation.evaluator import MEANINGS, RADII_KM, Score, few_note
from tasks.geolocation.partition import Partition
from tasks.geolocation.spec import USE_NOTE
from tasks.geolocation.sphere import Floats
from tasks.geolocation.world import answers_plot, confidence_plot, distance_plot, partition_plot
from tasks.reporting.html_page import Page
from tasks.reporting.pictures import Image
from tasks.reporting.skeleton import Curves, MetricsTable, Report

_PICTURES = 9
_HEADLINE = (25, 200, 750)
_SURE = (200, 750, 2500)
_CURVES = (
    Curves(("loss", "val_loss"), "loss over steps (smoothed)"),
    Curves(("km200", "km750", "km2500"), "validation"),
)


@dataclass(frozen=True)
class ReportData:
    """The contents of a geolocation report."""

    partition: Partition  # cells of the model
    score: Score
    truth: tuple[Floats, Floats]  # latitudes and longitudes (N,) by image id, degrees
    used_temperature: float  # that the logits were divided by
    read: Callable[[int], Image]  # gives the image of an image id
    locate: Callable[[Sequence[Image]], list[Located]]  # answers for images
    files: Sequence[str]  # path of each image, by image id


def make_report(data: ReportData) -> Report:
    """The part of the report that is specific to geolocation."""
    score, metrics = data.score, data.score["metrics"]
    rows = np.flatnonzero(score["answered"])
    km, confidence = score["km"][rows], score["confidence"][rows]
    sure_and_far = rows[np.argsort(-km * confidence, kind="stable")][:_PICTURES]
    sure_and_near = rows[np.argsort(km * (1.01 - confidence), kind="stable")][:_PICTURES]
    shares = [
        (
            f"{metrics[f'km{r}']:.3f}",
            f"within {r} km (95 %: {metrics[f'km{r}_low']:.3f} to {metrics[f'km{r}_high']:.3f})",
        )
        for r in _HEADLINE
    ]
    return Report(
        headline=[
            *shares,
            (f"{metrics['median_km']:.0f} km", "median distance"),
            (f"{metrics['geoscore']:.0f}", "GeoScore of 5000"),
        ],
        summary={
            "metrics": metrics,
            "by_way": score["by_way"],
            "chance": score["chance"],
            "images": len(score["image_ids"]),
            "cells": len(data.partition),
        },
        details={"temperature_used": data.used_temperature},
        cases={
            "worst": [
                {
                    "file": Path(data.files[score["image_ids"][row]]),
                    "km": float(score["km"][row]),
                    "confidence": float(score["confidence"][row]),
                }
                for row in sure_and_far
            ]
        },
        num_images=len(score["image_ids"]),
        curves=_CURVES,
        metrics=_metrics(score),
        sections=partial(_write_sections, data=data, worst=sure_and_far, best=sure_and_near),
        use_note=USE_NOTE,
    )


def _metrics(score: Score) -> MetricsTable:
    """Metrics with their intervals, and the values of chance."""
    metrics = score["metrics"]
    rows = []
    for name, meaning in MEANINGS.items():
        ends = "".join(
            f"{metrics[f'{name}{end}']:.3f} {word}"
            for end, word in (("_low", "to "), ("_high", ""))
            if f"{name}{end}" in metrics
        )
        by_chance = f"{score['chance'][name]:.3f}" if name in score["chance"] else ""
        rows.append((name, metrics[name], ends, by_chance, meaning))
    return MetricsTable(rows, ("", "", "95 %", "by chance", ""), note=few_note(score))


def _write_sections(
    page: Page, data: ReportData, worst: NDArray[np.int64], best: NDArray[np.int64]
) -> None:
    """Ways of decoding, maps, confidence, and the best and the worst answers."""
    told = "centre: of the most likely cell; mean: of its images; local: of cells"
    page.section("Ways of decoding", told)
    names = [*(f"km{r}" for r in RADII_KM), "median_km", "geoscore"]
    ways = data.score["by_way"].items()
    page.table(("", *names), [(way, *(row[n] for n in names)) for way, row in ways])
    _write_maps(page, data)
    note = "Orange: the region, brighter where it is more likely. White cross: the answer. "
    note += "Green: the truth."
    page.section("Worst answers", f"Far off, and sure of it, first. {note}")
    page.pictures(_pictures(data, worst))
    page.section("Best answers", note)
    page.pictures(_pictures(data, best))


def _write_maps(page: Page, data: ReportData) -> None:
    """Answers and cells, distance and confidence, and how often regions contain the truth."""
    score = data.score
    page.section("Map", "Dots: where images were taken. Lines lead to the answers.")
    answered = score["answered"]
    ids, km = score["image_ids"][answered], score["km"][answered]
    truth = data.truth[0][ids], data.truth[1][ids]
    answers = score["lat"][answered], score["lng"][answered]
    page.plots([(answers_plot(data.partition, truth, answers, km), "")])
    cells = len(data.partition)
    page.section("Cells", f"{cells} cells, and the images that were evaluated on (red).")
    page.plots([(partition_plot(data.partition, *data.truth), "")])
    metrics = score["metrics"]
    page.section(
        "Distance and confidence",
        f"The region holds the right cell for {metrics['coverage']:.1%} of the images, at "
        f"temperature {data.used_temperature:.2f}; these images would fit "
        f"{metrics['temperature']:.2f}.",
    )
    gain = "what abstaining gains: of the surest answers, the share within a distance"
    page.plots(
        [
            (distance_plot(km, score["chance"]), "share of the answers within a distance"),
            (confidence_plot(score["km"], score["confidence"], _SURE), gain),
        ]
    )


def _pictures(data: ReportData, rows: NDArray[np.int64]) -> list[tuple[Image, str]]:
    """Images of the score's rows with their maps and captions."""
    ids = data.score["image_ids"][rows].tolist()
    images = [data.read(k) for k in ids]
    drawn = []
    for row, k, image, found in zip(rows.tolist(), ids, images, data.locate(images), strict=True):
        truth = float(data.truth[0][k]), float(data.truth[1][k])
        picture = draw_place(image, found, data.partition, truth)
        km = f"{data.score['km'][row]:,.0f} km off, confidence {data.score['confidence'][row]:.2f}"
        drawn.append((picture, f"{km}; true: {place_name(*truth)} ({Path(data.files[k]).name})"))
    return drawn


def write_partition_report(
    folder: Path,
    title: str,
    command: str,
    partitions: Sequence[Partition],
    at: tuple[Floats, Floats],
) -> None:
    """Write ``report.html`` of partitions alone, coarse to fine, with a map of each.

    Args:
        folder: Folder to write to.
        title: Title of the page.
        command: Command line, for the page.
        partitions: Partitions, coarse to fine.
        at: Latitudes and longitudes (N,) that they were made from, in degrees.

    Raises:
        OSError: If it cannot be written.
    """
    page = Page(title, command)
    for partition in partitions:
        counts = partition.counts
        page.section(f"{len(partition)} cells")
        kept = f"{counts.sum() / max(len(at[0]), 1):.1%}"
        span = (f"{counts.min():,} to {counts.max():,}", "images per cell")
        median = (f"{np.median(counts):,.0f}", "median")
        page.headline([(f"{counts.sum():,}", f"images in them, {kept} of all"), span, median])
        page.plots([(partition_plot(partition, *at), "cells, and images (red)")])
    page.write(folder / "report.html")
