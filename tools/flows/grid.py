"""Many runs from one command: every combination of a grid, one table, the paper's two plots."""

from __future__ import annotations

import itertools
import json
import statistics
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

import torch

from configs.training import TaughtTraining
from datasets.errors import InputError
from tasks.application import Metric
from tasks.body_spec import ClassifierSpec
from tasks.classification.model import build_classifier
from tasks.fitting.checkpoint import LAST_NAME
from tasks.fitting.stopwatch import REPORT_NAME
from tasks.reporting.html_page import Page
from tasks.weights.atomic_write import write_text
from tools import cli
from tools.flows.cost_plots import Point, draw_figures
from tools.flows.recipe import Recipe
from tools.flows.run_folder import is_first, new_run_folder, save_config
from tools.flows.training import train

Config = TypeVar("Config", bound=TaughtTraining)

# What a grid may vary, by the paper's words and by our flags, and how its values are read.
_KEYS = {
    "alpha": float,
    "width": float,
    "size": int,
    "resolution": int,
    "variant": str,
    "backbone": str,
    "stem_stride": int,
    "seed": int,
    "lr": float,
    "epochs": int,
}
_OF_FIT = {"lr", "epochs"}
_OF_MOBILENET = {"alpha", "variant", "stem_stride"}
_SAME = {"width": "alpha", "resolution": "size"}
_NEXT_GROUP = "+"


def expand(config: Config) -> list[tuple[str, Config]]:
    """The runs of a grid: (folder name, configuration), each combination once.

    Raises:
        InputError: On an unknown key or an impossible value, naming it; if a network cannot be
            built; or if there is no run.
    """
    runs: dict[str, Config] = {}
    for group in _groups(config.grid):
        keys = [key for key, _ in group]
        used: set[str] = set()
        for values in itertools.product(*(choices for _, choices in group)):
            chosen = _known(config.model, dict(zip(keys, values, strict=True)))
            used |= chosen.keys()
            run = _apply(config, dict(chosen))
            name = _name(run, {key: chosen[key] for key in keys if key in _OF_FIT})
            runs.setdefault(name, run)
        idle = [key for key in keys if key not in used]
        if idle:
            raise InputError(f"--grid {idle[0]}=...: only mobilenet_v1 takes it, and none is here")
    if not runs:
        raise InputError(
            f"--grid {' '.join(config.grid)}: names no run; write KEY=VALUE,VALUE between the "
            f"{_NEXT_GROUP}"
        )
    for name, run in runs.items():
        _refuse_impossible(name, run)
    return list(runs.items())


def _known(model: ClassifierSpec, values: dict[str, Any]) -> dict[str, Any]:
    """Values without those that the body does not take: only MobileNet has widths."""
    if values.get("backbone", model.backbone) == "mobilenet_v1":
        return values
    return {key: value for key, value in values.items() if key not in _OF_MOBILENET}


def _refuse_impossible(name: str, run: TaughtTraining) -> None:
    """Refuse a network that cannot be built, before hours go into those ahead of it.

    Raises:
        InputError: If it cannot, naming the run and the reason.
    """
    try:
        with torch.device("meta"):
            build_classifier(run.model, 1)
    except ValueError as error:
        raise InputError(f"--grid: {name}: {error}") from error


def _groups(words: Sequence[str]) -> Iterator[list[tuple[str, list[Any]]]]:
    """Parts between the plus signs, as (key, values)."""
    for plus, group in itertools.groupby(words, key=lambda word: word == _NEXT_GROUP):
        if not plus:
            yield [_parse(word) for word in group]


def _parse(word: str) -> tuple[str, list[Any]]:
    key, equals, values = word.partition("=")
    key = key.replace("-", "_")
    if not equals or key not in _KEYS:
        raise InputError(f"--grid {word}: write KEY=VALUE,VALUE with one of {', '.join(_KEYS)}")
    try:
        return _SAME.get(key, key), [_KEYS[key](value) for value in values.split(",")]
    except ValueError as error:
        raise InputError(f"--grid {word}: {error}") from error


def _apply(config: Config, values: dict[str, Any]) -> Config:
    """A configuration with some values changed; other bodies have no width and no variants."""
    seed = values.pop("seed", config.common.seed)
    fit = {key: values.pop(key) for key in list(values) if key in _OF_FIT}
    model = config.model
    if values.get("backbone", model.backbone) != "mobilenet_v1":
        model = replace(model, alpha=1.0, variant="standard", stem_stride=2)
    model, distill = replace(model, **values), config.distill
    if distill.targets is not None:  # Stored answers are to pictures of one size and seed.
        distill = replace(distill, targets=distill.targets / f"{model.size}-seed{seed}")
    return replace(
        config,
        grid=(),
        resume=None,
        model=model,
        distill=distill,
        fit=replace(config.fit, **fit),
        common=replace(config.common, seed=seed),
    )


def _name(run: TaughtTraining, fit: dict[str, Any]) -> str:
    """Folder name: mobilenet_v1-a1-64-shallow-lr0.01-seed1."""
    spec = run.model
    parts: list[str] = [spec.backbone]
    if spec.backbone == "mobilenet_v1":
        parts.append(f"a{spec.alpha:g}")
    parts.append(str(spec.size))
    if spec.variant != "standard":
        parts.append(spec.variant)
    if spec.stem_stride != 2:
        parts.append(f"stem{spec.stem_stride}")
    parts += [f"{key}{value:g}" for key, value in fit.items()]
    return "-".join([*parts, f"seed{run.common.seed}"])


def train_or_grid(
    recipe: Recipe[Any], config: Any, *, report: bool = True
) -> tuple[dict[str, Any], str]:
    """Train once; or for each point of a grid, if the configuration names one.

    Args:
        recipe: Of the application.
        config: What to train.
        report: Draw the reports' pages too.

    Returns:
        The result for programs and for people.

    Raises:
        InputError: If the grid, data or flags do not fit.
        InterruptedRun: If a signal stopped it, after saving.
    """
    if config.grid:
        return train_grid(recipe, config, report=report)
    return train(recipe, config, report=report)


def train_grid(
    recipe: Recipe[Any], config: Any, *, report: bool = True
) -> tuple[dict[str, Any], str]:
    """Train what a grid names, one run after another, and write a table and plots.

    Runs that are finished are not repeated; one that was interrupted goes on. Arguments and
    errors as in :func:`train_or_grid`.
    """
    runs = expand(config)
    folder = config.resume or new_run_folder(config.common, config.preset)
    if is_first():
        save_config(config, folder)
    rows = []
    for number, (name, run) in enumerate(runs, start=1):
        inside = folder / name
        finished = inside / REPORT_NAME
        if finished.exists():
            done = json.loads(finished.read_text(encoding="utf-8"))
        else:
            cli.say(f"run {number} of {len(runs)}: {name}")
            begun = (inside / LAST_NAME).exists()
            run = replace(run, resume=inside if begun else None)
            done, _ = train(recipe, run, inside, report=report)
        rows.append({"run": name, "model": run.model.to_json(), "seed": run.common.seed, **done})
    if not is_first():
        return {}, ""
    measures = recipe.measures
    measure = next(m for m in measures if all(m.name in row["metrics"] for row in rows))
    table = summarise(rows, measure)
    write_page(folder, table, config.command, measure)
    return {"folder": str(folder), "rows": table}, as_text(table, folder, measure)


def summarise(rows: Sequence[dict[str, Any]], measure: Metric) -> list[dict[str, Any]]:
    """One row per network, over its seeds: mean, standard deviation and number of runs."""
    networks: dict[str, list[dict[str, Any]]] = {}
    for row in rows:
        networks.setdefault(row["run"].rpartition("-seed")[0], []).append(row)
    table = []
    for name, same in networks.items():
        first, values = same[0], [row["metrics"][measure.name] for row in same]
        table.append(
            {
                "network": name,
                "model": first["model"],
                "mult_adds": first["cost"]["mult_adds"],
                "params": first["cost"]["params"],
                measure.name: statistics.mean(values),
                "spread": statistics.stdev(values) if len(values) > 1 else None,
                "low": first["metrics"].get(f"{measure.name}_low"),
                "high": first["metrics"].get(f"{measure.name}_high"),
                "seeds": len(same),
                "minutes": statistics.mean(row.get("minutes", 0.0) for row in same),
            }
        )
    return table


def as_text(table: Sequence[dict[str, Any]], folder: Path, measure: Metric) -> str:
    """The table for the terminal."""
    width = max(len(row["network"]) for row in table)
    title = f"{measure.title:>7}"
    head = f"{'network':{width}}  mult-adds M  params M {title}   +-   seeds  minutes"
    lines = [head]
    for row in table:
        spread = "   -" if row["spread"] is None else f"{row['spread']:.3f}"
        lines.append(
            f"{row['network']:{width}}  {row['mult_adds'] / 1e6:11.2f}  {row['params'] / 1e6:8.3f}"
            f" {row[measure.name]:{len(title)}.3f}  {spread:5}  {row['seeds']:4d}  "
            f"{row['minutes']:7.1f}"
        )
    return "\n".join([*lines, f"\nreport: {folder / 'grid.html'}"])


def write_page(
    folder: Path, table: Sequence[dict[str, Any]], command: str, measure: Metric
) -> None:
    """Write ``grid.json`` and ``grid.html``.

    Raises:
        OSError: If a file cannot be written.
    """
    write_text(folder / "grid.json", json.dumps(list(table), indent=1))
    points = [
        Point(
            size=row["model"]["size"],
            percent=100 * row[measure.name],
            mult_adds=row["mult_adds"] / 1e6,
            params=row["params"] / 1e6,
        )
        for row in table
    ]
    page = Page("Accuracy against cost", command)
    captions = (f"{measure.title} over mult-adds", f"{measure.title} over parameters")
    figures = draw_figures([], points, f"{measure.title}, %")
    page.plots(zip(figures, captions, strict=True))
    title = measure.title
    page.table(
        ("network", "mult-adds M", "parameters M", title, "standard deviation", "seeds", "min"),
        [
            (
                row["network"],
                row["mult_adds"] / 1e6,
                row["params"] / 1e6,
                row[measure.name],
                "-" if row["spread"] is None else row["spread"],
                row["seeds"],
                row["minutes"],
            )
            for row in table
        ],
    )
    page.write(folder / "grid.html")
