"""Cross-validation: one run for each fold of the data, and what they show together."""

from __future__ import annotations

import json
import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from datasets.errors import InputError
from datasets.names import shown_in
from datasets.splitting import Fold
from tasks.application import Metric
from tasks.reporting.html_page import Page
from tasks.weights.atomic_write import write_text
from tasks.weights.card import Card
from tools.flows.recipe import Notes, OpenedRun, Recipe

_MOST = 1000
FOLDS_NAME, PAGE_NAME = "folds.json", "folds.html"


def fold_runs(config: Any) -> list[tuple[str, Any]]:
    """The runs of a cross-validation: (folder name, configuration).

    Raises:
        InputError: If there is a single fold, or a flag that does not go with folds.
    """
    said = f"--folds {config.folds}"
    if not 2 <= config.folds <= _MOST:
        raise InputError(f"{said}: 2 to {_MOST} folds divide data; 0 trains once")
    if config.grid:
        raise InputError(f"{said}: a --grid trains each of its runs once; leave one of them out")
    if config.val is not None:
        raise InputError(f"{said}: divides --data alone; leave --val {config.val} out")
    if config.data is None:
        raise InputError(
            f"{said}: divides your own data; the built-in data have parts: add --data"
        )
    numbers = range(1, config.folds + 1)
    return [(f"fold-{k}", replace(config, held_fold=k, resume=None)) for k in numbers]


def fold_of(config: Any) -> Fold | None:
    """The fold that a run leaves out; None if it has none.

    Raises:
        InputError: If a file of settings names a fold that does not exist.
    """
    if not config.held_fold:
        return None
    if not 1 <= config.held_fold <= config.folds:
        raise InputError(
            f"setting 'held_fold': {config.held_fold} is not in 1..{config.folds}, the folds"
        )
    return Fold(config.held_fold, config.folds)


def select_within(run: OpenedRun[Any], fold: Fold | None) -> Notes:
    """Keep the weights' selection away from the fold that is reported on; returns rows.

    Raises:
        InputError: If the data has parts of its own, so that it was not divided.
    """
    if fold is None:
        return []
    if not fold.used:
        raise InputError(
            f"--folds {fold.count}: {run.path} has parts of its own; name the one to divide "
            f"(such as {run.path / 'train'}), or leave --folds out"
        )
    run.keep_apart()
    text = f"{fold.number} of {fold.count}; weights are selected on images of the others"
    return [("fold left out", text)]


def card_of_fold(card: Card, fold: Fold | None) -> Card:
    """A card that claims nothing of the data was held out: no other tool knows the fold."""
    if fold is None or not card.trained_on:
        return card
    return replace(card, trained_on={**card.trained_on, "held_out": False})


def common_measure(recipe: Recipe[Any], rows: Sequence[Mapping[str, Any]]) -> Metric:
    """The metric by which runs are compared: the first that all of them have."""
    return next(m for m in recipe.measures if all(m.name in row["metrics"] for row in rows))


def pooled(
    rows: Sequence[tuple[float, float, float]], shares: Sequence[float]
) -> tuple[float, float, float]:
    """Weighted mean of figures with intervals, and its interval.

    The distances from the figures to the ends of their intervals add up in squares, as they do for
    independent estimates (MOVER, Zou and Donner, 2008). The test images of different folds are
    independent; what the runs' common training images add to the variance is not included.

    Args:
        rows: Figure, lower and upper end of each run.
        shares: Weight of each run; they sum to 1.
    """
    pairs = list(zip(rows, shares, strict=True))
    middle = sum(share * value for (value, _, _), share in pairs)
    below = math.hypot(*(share * (value - low) for (value, low, _), share in pairs))
    above = math.hypot(*(share * (high - value) for (value, _, high), share in pairs))
    return middle, middle - below, middle + above


def summarise_folds(rows: Sequence[Mapping[str, Any]], measure: Metric) -> dict[str, Any]:
    """Mean and standard deviation over folds, and the figure of all images with its interval.

    Args:
        rows: Reports of the runs, with their folders as ``run``.
        measure: Metric to summarise.
    """
    folds = [
        {
            "run": row["run"],
            "images": row["images"],
            "value": row["metrics"][measure.name],
            "low": row["metrics"].get(f"{measure.name}_low"),
            "high": row["metrics"].get(f"{measure.name}_high"),
        }
        for row in rows
    ]
    values = [fold["value"] for fold in folds]
    images = sum(fold["images"] for fold in folds)
    shares = [fold["images"] / images for fold in folds]
    known = all(fold["low"] is not None for fold in folds)
    ends = [(f["value"], f["low"], f["high"]) if known else (f["value"],) * 3 for f in folds]
    middle, low, high = pooled(ends, shares)
    return {
        "metric": measure.name,
        "mean": statistics.mean(values),
        "spread": statistics.stdev(values),
        "pooled": middle,
        "low": low if known else None,
        "high": high if known else None,
        "images": images,
        "folds": folds,
    }


def write_folds(
    rows: Sequence[dict[str, Any]], folder: Path, command: str, recipe: Recipe[Any]
) -> tuple[dict[str, Any], str]:
    """Write ``folds.json`` and ``folds.html``; returns the result as data and as text.

    Raises:
        OSError: If a file cannot be written.
    """
    measure = common_measure(recipe, rows)
    found = {"folder": folder, **summarise_folds(rows, measure)}
    write_text(folder / FOLDS_NAME, json.dumps(shown_in(found), indent=1))
    table = [(fold["run"], fold["images"], fold["value"], _ends(fold)) for fold in found["folds"]]
    mean = f"{found['mean']:.3f} ± {found['spread']:.3f}"
    together = f"{found['pooled']:.3f}"
    page = Page(f"{len(table)} folds", command)
    page.headline(
        [(mean, f"{measure.title}, mean and standard deviation of the folds"),
         (together, f"{measure.title} over all images"), (str(found["images"]), "images")]
    )  # fmt: skip
    page.table(
        ("fold", "images", measure.title, "95 % interval"),
        [
            *table,
            ("all, by their number of images", found["images"], found["pooled"], _ends(found)),
        ],
    )
    page.write(folder / PAGE_NAME)
    lines = [f"{'fold':8} images  {measure.title}"]
    for name, images, value, ends in table:
        lines.append(f"{name:8} {images:6d}  {value:.3f}  {ends}")
    lines.append(f"mean ± standard deviation of the folds: {mean}")
    lines.append(f"all {found['images']} images: {together}  {_ends(found)}")
    return found, "\n".join([*lines, f"\nreport: {folder / PAGE_NAME}"])


def _ends(row: Mapping[str, Any]) -> str:
    return "-" if row["low"] is None else f"{row['low']:.3f} to {row['high']:.3f}"
