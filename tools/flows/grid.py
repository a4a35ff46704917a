"""Many runs from one command: every combination of a grid, one table, the paper's two plots."""

from __future__ import annotations

import itertools
import json
import statistics
from collections.abc import Callable, Iterator, Sequence
from dataclasses import fields, replace
from pathlib import Path
from typing import (
    Annotated,
    Any,
    Literal,
    NamedTuple,
    TypeVar,
    get_args,
    get_origin,
    get_type_hints,
)

import torch

from backbone.spec import MOBILENET
from configs.training import GridTraining
from datasets.errors import InputError
from datasets.names import refuse_unsafe_name, shown_in
from tasks.application import Metric
from tasks.fitting.checkpoint import InterruptedRun
from tasks.flag_values import flag_of
from tasks.reporting.html_page import Page
from tasks.weights.atomic_write import write_text
from tools import cli
from tools.flows.cost_plots import Point, draw_figures
from tools.flows.folds import common_measure, fold_runs, write_folds
from tools.flows.recipe import Recipe
from tools.flows.run_folder import (
    CONFIG_NAME,
    is_first,
    new_run_folder,
    save_config,
    sole_process,
)
from tools.flows.stages import is_begun, read_report
from tools.flows.training import train
from tools.flows.tuning import FOUND

Config = TypeVar("Config", bound=GridTraining)

_SEED, _NEXT_GROUP = "seed", "+"
# Abbreviations of fields in a run's name.
_SHORT = {"alpha": "a", "stem_stride": "stem"}
# Fields that are in every name, or that are named where they are unusual.
_ALWAYS = ("backbone", "alpha", "size")
_WHERE_ODD = {"variant": "standard", "stem_stride": 2}


class _Key(NamedTuple):
    """A field that a grid may vary: its part of the configuration, and a reader of values."""

    part: Literal["model", "fit", "common"]
    field: str
    read: Callable[[str], Any]


def keys_of(config: GridTraining) -> dict[str, _Key]:
    """What a grid of a configuration may vary, by the names and the aliases of the flags."""
    keys: dict[str, _Key] = {}
    parts: tuple[Literal["model", "fit"], ...] = ("model", "fit")
    for part in parts:
        kind = type(getattr(config, part))
        hints = get_type_hints(kind, include_extras=True)
        for one in fields(kind):
            hint = hints[one.name]
            if (read := _reader(hint)) is not None:
                keys |= {word: _Key(part, one.name, read) for word in (one.name, *_aliases(hint))}
    return {**keys, _SEED: _Key("common", _SEED, int)}


def _aliases(hint: Any) -> list[str]:
    told = (getattr(extra, "aliases", None) or () for extra in getattr(hint, "__metadata__", ()))
    return [alias.removeprefix("--") for aliases in told for alias in aliases]


def _reader(hint: Any) -> Callable[[str], Any] | None:
    """The function that reads a value of a type from a word; None if there is none."""
    if get_origin(hint) is Annotated:
        hint = get_args(hint)[0]
    if hint is bool:
        return _read_bool
    if hint in (int, float, str):
        read: Callable[[str], Any] = hint
        return read
    return str if get_origin(hint) is Literal else None


def _read_bool(word: str) -> bool:
    if word not in ("true", "false"):
        raise ValueError(f"{word!r} is neither true nor false")
    return word == "true"


def expand(recipe: Recipe[Any], config: Config) -> list[tuple[str, Config]]:
    """The runs of a grid: (folder name, configuration), each combination once.

    Raises:
        InputError: If a key is unknown or a value impossible, naming it; if a network cannot be
            built; or if there is no run.
    """
    runs: dict[str, Any] = {}
    for group in _groups(config):
        _refuse_searched(config, [key for key, _ in group])
        used: set[_Key] = set()
        for values in itertools.product(*(choices for _, choices in group)):
            pairs = zip((key for key, _ in group), values, strict=True)
            chosen = _known(config, dict(pairs))
            used |= chosen.keys()
            seed = _of("common", chosen).get(_SEED, config.common.seed)
            run = config.varied(_of("model", chosen), _of("fit", chosen), seed)
            runs.setdefault(_name(run, chosen), run)
        idle = [key.field for key, _ in group if key not in used]
        if idle:
            raise InputError(f"--grid {idle[0]}=...: only {MOBILENET} takes it, and none is here")
    if not runs:
        raise InputError(
            f"--grid {' '.join(config.grid)}: names no run; write KEY=VALUE,VALUE between the "
            f"{_NEXT_GROUP}"
        )
    for name, run in runs.items():  # Before hours go into those ahead of it.
        try:
            with torch.device("meta"):
                recipe.sketch(run.model)
        except ValueError as error:
            raise InputError(f"--grid: {name}: {error}") from error
    return list(runs.items())


def _refuse_searched(config: Any, keys: Sequence[_Key]) -> None:
    for search, field in FOUND.items():
        if getattr(config, search) and field in {key.field for key in keys}:
            raise InputError(
                f"--grid {field}=...: --{flag_of(search)} would put another value in place of "
                "each; leave one of them out"
            )


def _known(config: Any, values: dict[_Key, Any]) -> dict[_Key, Any]:
    """Values without those that the body does not have: only MobileNet has widths."""
    if _of("model", values).get("backbone", config.model.backbone) == MOBILENET:
        return values
    own = config.model.OF_MOBILENET
    return {k: value for k, value in values.items() if k.part != "model" or k.field not in own}


def _of(part: str, values: dict[_Key, Any]) -> dict[str, Any]:
    return {key.field: value for key, value in values.items() if key.part == part}


def _groups(config: GridTraining) -> Iterator[list[tuple[_Key, list[Any]]]]:
    """Parts between the plus signs, as (key, values)."""
    keys = keys_of(config)
    for plus, group in itertools.groupby(config.grid, key=lambda word: word == _NEXT_GROUP):
        if not plus:
            yield [_parse(word, keys) for word in group]


def _parse(word: str, keys: dict[str, _Key]) -> tuple[_Key, list[Any]]:
    name, equals, values = word.partition("=")
    name = name.replace("-", "_")
    if not equals or name not in keys:
        raise InputError(f"--grid {word}: write KEY=VALUE,VALUE with one of {', '.join(keys)}")
    try:
        return keys[name], [keys[name].read(value) for value in values.split(",")]
    except ValueError as error:
        raise InputError(f"--grid {word}: {error}") from error


def _name(run: Any, chosen: dict[_Key, Any]) -> str:
    """Folder name: mobilenet_v1-a1-64-shallow-lr0.01-seed1."""
    spec = run.model
    parts: list[str] = [spec.backbone]
    if spec.backbone == MOBILENET:
        parts.append(f"a{spec.alpha:g}")
    parts.append(str(spec.size))
    for name, usual in _WHERE_ODD.items():
        if getattr(spec, name, usual) != usual:
            parts.append(_label(name, getattr(spec, name)))
    own = {**_of("model", chosen), **_of("fit", chosen)}
    told = (*_ALWAYS, *_WHERE_ODD)
    parts += [_label(name, value) for name, value in own.items() if name not in told]
    return refuse_unsafe_name("-".join([*parts, f"seed{run.common.seed}"]), "--grid: the run")


def _label(name: str, value: Any) -> str:
    """A value in a run's name: a word alone, a number after the name of its field."""
    if isinstance(value, str):
        return value
    if isinstance(value, bool):
        return name if value else f"no_{name}"
    return f"{_SHORT.get(name, name)}{value:g}"


def train_or_grid(
    recipe: Recipe[Any], config: Any, *, report: bool = True
) -> tuple[dict[str, Any], str]:
    """Train once; or each run of a grid for a table and plots, or each fold for their mean.

    Finished runs are not repeated; an interrupted one is continued.

    Args:
        recipe: Recipe of the application.
        config: Configuration.
        report: Whether to draw reports' pages too.

    Returns:
        The result as data and as text.

    Raises:
        InputError: If the grid, data or flags do not fit.
        InterruptedRun: If a signal stopped it, after saving.
    """
    if config.folds and not config.held_fold:
        runs, finish = fold_runs(config), write_folds
    elif config.grid:
        runs, finish = expand(recipe, config), _write_table
    else:
        return train(recipe, config, report=report)
    folder = config.resume or new_run_folder(config.common, config.preset)
    with sole_process(folder):
        rows = _train_all(recipe, config, runs, folder, report=report)
        return finish(rows, folder, config.command, recipe) if is_first() else ({}, "")


def _train_all(
    recipe: Recipe[Any],
    config: Any,
    runs: Sequence[tuple[str, Any]],
    folder: Path,
    *,
    report: bool,
) -> list[dict[str, Any]]:
    """Train several runs in a folder that is locked; returns their reports, as rows."""
    if is_first():
        save_config(config, folder)
    rows = []
    for number, (name, run) in enumerate(runs, start=1):
        inside = folder / name
        done = read_report(inside, "metrics", "cost", *(["images"] if config.folds else []))
        if done is None:
            cli.say(f"run {number} of {len(runs)}: {name}")
            # With a configuration but no checkpoint it may have begun an earlier stage.
            begun = config.resume is not None and (
                is_begun(inside) or (inside / CONFIG_NAME).exists()
            )
            run = replace(run, resume=inside if begun else None)
            try:
                done, _ = train(recipe, run, inside, report=report)
            except InterruptedRun:
                raise InterruptedRun(
                    f"stopped in {name} and saved; go on with --resume {folder}"
                ) from None
            except InputError:  # Of runs that were refused, nothing stays.
                if number == 1 and config.resume is None and not inside.exists() and is_first():
                    (folder / CONFIG_NAME).unlink()
                raise
        rows.append({"run": name, "model": run.model.to_json(), "seed": run.common.seed, **done})
    return rows


def _write_table(
    rows: Sequence[dict[str, Any]], folder: Path, command: str, recipe: Recipe[Any]
) -> tuple[dict[str, Any], str]:
    """Write the table of a grid; returns it as data and as text."""
    measure = common_measure(recipe, rows)
    table = summarise(rows, measure)
    write_page(folder, table, command, measure)
    return {"folder": folder, "rows": table}, as_text(table, folder, measure)


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
    """Write ``grid.json`` and ``grid.html``. Raises OSError if that fails."""
    write_text(folder / "grid.json", json.dumps(shown_in(list(table)), indent=1))
    points = [
        Point(
            size=row["model"]["size"],
            percent=100 * row[measure.name] / measure.best,
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
