"""Tests whether generated images help: classifiers on real and generated ones, in equal steps."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from configs.gan import Arm, TrainGan
from datasets.builtin.make_once import make_once
from datasets.labels.structure import LabelledData
from datasets.spec import LabelAugmentation
from tasks.classification.evaluator import PREDICTIONS_NAME
from tasks.dcgan.comparison import Row, Span, compare
from tasks.dcgan.networks import Generator
from tasks.reporting.html_page import Page
from tasks.weights.atomic_write import replacing
from tools import cli
from tools.dcgan.data import GanRun
from tools.dcgan.judge import train_once
from tools.dcgan.sampling import class_folders, write_classes

FOLDER, STAMP = "experiment", "generated.json"
# The seeds of its images are far from those of the scores.
_FIRST_SEED = 1000


def run_experiment(run: GanRun, generator: Generator) -> tuple[dict[str, Any], str]:
    """Train each arm with each seed, and compare them; finished trainings are not repeated.

    Args:
        run: The GAN's run.
        generator: Trained generator.

    Returns:
        Content of ``experiment.json``, and the result as text.

    Raises:
        InterruptedRun: If a signal stopped it, after saving.
    """
    config, folder = run.config, run.folder
    inside = folder / FOLDER
    answers: dict[str, list[NDArray[np.bool_]]] = {arm: [] for arm in config.arms}
    total = len(config.arms) * config.seeds
    for number in range(config.seeds):
        seed = config.common.seed + number
        made = generated(run, generator, inside / f"generated-seed{seed}", seed)
        for place, arm in enumerate(config.arms):
            name = f"{arm}-seed{seed}"
            cli.say(f"classifier {number * len(config.arms) + place + 1} of {total}: {name}")
            data, augment = arm_data(config, arm, run.train, made)
            one = config.train_cls(augment, epochs=arm_epochs(config), seed=seed)
            where = inside / name
            train_once(one, data, run.val, run.path, folder=where, outer=folder, device=run.device)
            answers[arm].append(read_right(where))
    rows = compare({arm: np.stack(parts) for arm, parts in answers.items()})
    steps = arm_epochs(config) * (
        len(run.train) * (1 + config.synthetic) // config.classifier.cls_batch_size
    )
    return write_experiment(config, rows, folder, steps=steps, photos=len(run.val))


def arm_epochs(config: TrainGan) -> int:
    """Number of passes over an arm's list, which has each real image 1 + ``--synthetic`` times."""
    return max(1, round(config.classifier.cls_epochs / (1 + config.synthetic)))


def generated(run: GanRun, generator: Generator, folder: Path, seed: int) -> LabelledData:
    """Generated images, a fixed number per real image, class by class; drawn once."""
    train = run.train
    counts = (train.counts * run.config.synthetic).tolist()
    names = train.classes.names

    def fill(place: Path) -> None:
        write_classes(generator, names, counts, place, _FIRST_SEED + seed, run.device)

    wanted = {"seed": seed, "counts": counts, "folders": class_folders(names)}
    make_once(folder, STAMP, wanted, fill)
    files = [
        str(folder / place / f"{number:05d}.png")
        for place, count in zip(class_folders(names), counts, strict=True)
        for number in range(count)
    ]
    labels = np.repeat(np.arange(len(names)), counts).astype(np.int64)
    return replace(
        train, format="folders", root=folder, files=np.array(files), labels=labels, boxes=None
    )


def arm_data(
    config: TrainGan, arm: Arm, real: LabelledData, made: LabelledData
) -> tuple[LabelledData, LabelAugmentation]:
    """Training data of an arm, and its augmentation.

    All lists have the same length, 1 + ``--synthetic`` times that of the real images, so that
    equal epochs are equal steps; shorter ones are repeated.
    """
    length = len(real) * (1 + config.synthetic)
    parts = {
        "real": [real],
        "synthetic": [made],
        "real+synthetic": [real, made],
        "real+standard": [real],
        "all": [real, made],
    }[arm]
    whole = joined(parts)
    rows = np.resize(np.arange(len(whole)), length)
    data = replace(
        whole,
        files=whole.files[rows],
        labels=whole.labels[rows],
        boxes=None if whole.boxes is None else whole.boxes[rows],
    )
    return data, config.classifier.standard if arm in ("real+standard", "all") else "none"


def joined(parts: Sequence[LabelledData]) -> LabelledData:
    """Several sets of images as one; those without boxes stay whole."""
    boxes = None
    if any(part.boxes is not None for part in parts):
        boxes = np.concatenate(
            [np.full((len(p), 4), np.nan) if p.boxes is None else p.boxes for p in parts]
        )
    return replace(
        parts[0],
        files=np.concatenate([part.files for part in parts]),
        labels=np.concatenate([part.labels for part in parts]),
        boxes=boxes,
    )


def read_right(folder: Path) -> NDArray[np.bool_]:
    """(P,) whether a classifier's answer to each image was correct, from its predictions."""
    with (folder / PREDICTIONS_NAME).open(newline="", encoding="utf-8") as file:
        return np.array([row["true"] == row["predicted"] for row in csv.DictReader(file)])


def write_experiment(
    config: TrainGan, rows: Sequence[Row], folder: Path, *, steps: int, photos: int
) -> tuple[dict[str, Any], str]:
    """Write ``experiment.json``, ``experiment.html`` and ``experiment.png``; return the result."""
    note = (
        f"top-1 on {photos} held-out images; {steps} steps each; {config.seeds} seeds, one GAN; "
        f"gains over {rows[0].arm!r}, 95 % intervals over seeds (Student) and over images "
        "(bootstrap)"
    )
    data = {
        "note": note,
        "steps": steps,
        "photos": photos,
        "rows": [
            {
                **row._asdict(),
                **{k: getattr(row, k)._asdict() for k in ("top1", "gain", "gain_over_photos")},
            }
            for row in rows
        ],
    }
    cli.write_json(folder / "experiment.json", data)
    figure = draw_rows(rows)
    with replacing(folder / "experiment.png") as temporary:
        figure.savefig(temporary, format="png", dpi=120, bbox_inches="tight")
    page = Page("Do generated images help?", config.command)
    page.plots([(figure, "top-1; bars: 95 % over seeds")])
    head = ("trained on", "top-1", "over seeds", "gain", "over seeds", "over images", "seeds")
    page.table(head, [_cells(row) for row in rows])
    page.section("How", note)
    page.write(folder / "experiment.html")
    return data, f"{note}:\n{rows_text(rows)}\n\nreport: {folder / 'experiment.html'}"


def rows_text(rows: Sequence[Row]) -> str:
    """The table for the terminal."""
    width = max(len(row.arm) for row in rows)
    head = ("top-1", "over seeds", "gain", "over seeds", "over images")
    cells: list[tuple[str, ...]] = [(f"{'trained on':{width}}", *head)]
    cells += [(f"{row.arm:{width}}", *_cells(row)[1:6]) for row in rows]
    return "\n".join(
        f"  {arm}  {top1:>6}  {span:14}  {gain:>6}  {one:16}  {two}"
        for arm, top1, span, gain, one, two in cells
    )


def _cells(row: Row) -> tuple[str, ...]:
    return (
        row.arm,
        f"{row.top1.mean:.3f}",
        _between(row.top1, ""),
        f"{row.gain.mean:+.3f}",
        _between(row.gain, "+"),
        _between(row.gain_over_photos, "+"),
        str(row.seeds),
    )


def _between(span: Span, sign: str) -> str:
    if span.low is None or span.high is None:
        return "-"
    return f"{span.low:{sign}.3f} to {span.high:{sign}.3f}"


def draw_rows(rows: Sequence[Row]) -> Figure:
    """Top-1 of each arm with its interval over seeds."""
    figure = Figure(figsize=(6, 0.7 + 0.5 * len(rows)))
    axes = figure.add_subplot()
    for place, row in enumerate(rows):
        low, high = row.top1.low, row.top1.high
        if low is not None and high is not None:
            axes.plot((low, high), (place, place), color="#2a78d6", linewidth=3, alpha=0.5)
        axes.plot(row.top1.mean, place, "o", color="#123a6b")
        axes.annotate(
            f"{row.top1.mean:.3f}",
            (row.top1.mean, place),
            (0, 7),
            textcoords="offset points",
            ha="center",
        )
    axes.set_yticks(range(len(rows)), [row.arm for row in rows])
    axes.invert_yaxis()
    axes.set_xlabel("top-1 on held-out images")
    axes.margins(y=0.25)
    axes.grid(axis="x", alpha=0.3)
    return figure
