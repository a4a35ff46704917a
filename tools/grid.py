"""Many runs from one command: every combination of a grid, one table, the paper's two plots."""

from __future__ import annotations

import itertools
import json
import statistics
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from configs.classification import TrainCls
from tasks.checkpoint import LAST_NAME
from tasks.classification.spec import ClassifierSpec
from tasks.files import write_text
from tasks.page import Page
from tools import cli
from tools.classifying import REPORT_NAME, train_classifier
from tools.paper_plots import Point, draw_figures
from tools.running import is_first, new_run_folder, save_config

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
}
_SAME = {"width": "alpha", "resolution": "size"}
_NEXT_GROUP = "+"


def expand(config: TrainCls) -> list[tuple[str, TrainCls]]:
    """The runs of a grid: (folder name, configuration), each combination once.

    Raises:
        ValueError: On an unknown key or an impossible value, naming it.
    """
    runs: dict[str, TrainCls] = {}
    for group in _groups(config.grid):
        keys = [key for key, _ in group]
        for values in itertools.product(*(choices for _, choices in group)):
            run = _apply(config, dict(zip(keys, values, strict=True)))
            name = _name(run)
            runs.setdefault(name, run)
    return list(runs.items())


def _groups(words: Sequence[str]) -> Iterator[list[tuple[str, list[Any]]]]:
    """Parts between the plus signs, as (key, values)."""
    for plus, group in itertools.groupby(words, key=lambda word: word == _NEXT_GROUP):
        if not plus:
            yield [_parse(word) for word in group]


def _parse(word: str) -> tuple[str, list[Any]]:
    key, equals, values = word.partition("=")
    key = key.replace("-", "_")
    if not equals or key not in _KEYS:
        raise ValueError(f"--grid {word}: write KEY=VALUE,VALUE with one of {', '.join(_KEYS)}")
    try:
        return _SAME.get(key, key), [_KEYS[key](value) for value in values.split(",")]
    except ValueError as error:
        raise ValueError(f"--grid {word}: {error}") from error


def _apply(config: TrainCls, values: dict[str, Any]) -> TrainCls:
    """A configuration with some values changed; other bodies have no width and no variants."""
    seed = values.pop("seed", config.common.seed)
    model = config.model
    if values.get("backbone", model.backbone) != "mobilenet_v1":
        model = ClassifierSpec(size=model.size)
    return replace(
        config,
        grid=(),
        resume=None,
        model=replace(model, **values),
        common=replace(config.common, seed=seed),
    )


def _name(run: TrainCls) -> str:
    """Folder name: mobilenet_v1-a1-64-shallow-seed1."""
    spec = run.model
    parts: list[str] = [spec.backbone]
    if spec.backbone == "mobilenet_v1":
        parts.append(f"a{spec.alpha:g}")
    parts.append(str(spec.size))
    if spec.variant != "standard":
        parts.append(spec.variant)
    if spec.stem_stride != 2:
        parts.append(f"stem{spec.stem_stride}")
    return "-".join([*parts, f"seed{run.common.seed}"])


def train_grid(config: TrainCls) -> None:
    """Train what a grid names, one run after another, and write a table and plots.

    Runs that are finished are not repeated; one that was interrupted goes on.

    Raises:
        ValueError: If the grid, data or flags do not fit.
        InterruptedRun: If a signal stopped it, after saving.
    """
    runs = expand(config)
    folder = config.resume or new_run_folder(config.common, config.preset)
    if is_first():
        save_config(config, folder)
    rows = []
    for number, (name, run) in enumerate(runs, start=1):
        inside = folder / name
        report = inside / REPORT_NAME
        if report.exists():
            done = json.loads(report.read_text())
        else:
            cli.say(f"run {number} of {len(runs)}: {name}")
            begun = (inside / LAST_NAME).exists()
            done, _ = train_classifier(replace(run, resume=inside if begun else None), inside)
        rows.append({"run": name, "model": run.model.to_json(), "seed": run.common.seed, **done})
    if not is_first():
        return
    table = summarise(rows)
    write_page(folder, table, config.command)
    cli.result(config.common, {"folder": str(folder), "rows": table}, as_text(table, folder))


def summarise(rows: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """One row per network, over its seeds: mean, standard deviation and number of runs."""
    networks: dict[str, list[dict[str, Any]]] = {}
    for row in rows:
        networks.setdefault(json.dumps(row["model"]), []).append(row)
    table = []
    for same in networks.values():
        first, top1 = same[0], [row["metrics"]["top1"] for row in same]
        table.append(
            {
                "network": first["run"].rpartition("-seed")[0],
                "model": first["model"],
                "mult_adds": first["cost"]["mult_adds"],
                "params": first["cost"]["params"],
                "top1": statistics.mean(top1),
                "spread": statistics.stdev(top1) if len(top1) > 1 else None,
                "low": first["metrics"]["top1_low"],
                "high": first["metrics"]["top1_high"],
                "seeds": len(same),
                "minutes": statistics.mean(row.get("minutes", 0.0) for row in same),
            }
        )
    return table


def as_text(table: Sequence[dict[str, Any]], folder: Path) -> str:
    """The table for the terminal."""
    width = max(len(row["network"]) for row in table)
    head = f"{'network':{width}}  mult-adds M  params M   top-1   +-   seeds  minutes"
    lines = [head]
    for row in table:
        spread = "   -" if row["spread"] is None else f"{row['spread']:.3f}"
        lines.append(
            f"{row['network']:{width}}  {row['mult_adds'] / 1e6:11.2f}  {row['params'] / 1e6:8.3f}"
            f"   {row['top1']:.3f}  {spread:5}  {row['seeds']:4d}  {row['minutes']:7.1f}"
        )
    return "\n".join([*lines, f"\nreport: {folder / 'grid.html'}"])


def write_page(folder: Path, table: Sequence[dict[str, Any]], command: str) -> None:
    """Write ``grid.json`` and ``grid.html``.

    Raises:
        OSError: If a file cannot be written.
    """
    write_text(folder / "grid.json", json.dumps(list(table), indent=1))
    points = [
        Point(
            size=row["model"]["size"],
            top1=100 * row["top1"],
            mult_adds=row["mult_adds"] / 1e6,
            params=row["params"] / 1e6,
        )
        for row in table
    ]
    page = Page("Accuracy against cost", command)
    captions = ("top-1 over mult-adds", "top-1 over parameters")
    page.plots(zip(draw_figures([], points), captions, strict=True))
    page.table(
        ("network", "mult-adds M", "parameters M", "top-1", "standard deviation", "seeds", "min"),
        [
            (
                row["network"],
                row["mult_adds"] / 1e6,
                row["params"] / 1e6,
                row["top1"],
                "-" if row["spread"] is None else row["spread"],
                row["seeds"],
                row["minutes"],
            )
            for row in table
        ],
    )
    page.write(folder / "grid.html")
