"""Finished runs, and the rows and points of the paper that they measure."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from configs.paper import ClassifierRow, DetectorRow, Model, Row, Table
from tasks.body_spec import ClassifierSpec
from tasks.runtime.open import read_card
from tasks.weights.card import Card
from tasks.weights.names import WEIGHTS_NAME
from tools import cli
from tools.paper_tables.costs import cost_of

if TYPE_CHECKING:
    from tools.flows.cost_plots import Point

CLASSIFICATION = "classification"
# Fields that must agree.
_CLASSIFIER_FIELDS = ("backbone", "alpha", "variant", "stem_stride", "size")
_DETECTOR_FIELDS = (
    "framework",
    "backbone",
    "alpha",
    "size",
    "head",
    "proposals",
    "roi_pool",
    "keep_aspect",
)


@dataclass(frozen=True)
class Run:
    """A folder with weights, and their card."""

    folder: Path
    card: Card


@dataclass(frozen=True)
class Measured:
    """The result of runs for a row.

    Attributes:
        values: Percent, one per metric of the table, of the best run.
        run: The best run, by the table's first metric.
        num_runs: Number of runs that measured this row.
    """

    values: tuple[float, ...]
    run: Run
    num_runs: int

    def __str__(self) -> str:
        """The values as the paper prints accuracies, without the percent sign."""
        return " ".join(f"{value:.1f}" for value in self.values)


def find_runs(folders: Sequence[Path]) -> list[Run]:
    """All runs below folders, by the headers of their weights; unreadable ones are reported."""
    files = {file.resolve(): file for folder in folders for file in folder.rglob(WEIGHTS_NAME)}
    runs = []
    for file in sorted(files.values()):
        try:
            runs.append(Run(file.parent, read_card(file)))
        except ValueError as error:
            cli.say(f"warning: left out: {error}")
    return runs


def measure(table: Table, row: Row, runs: Sequence[Run]) -> Measured | None:
    """The best of the runs that trained this row's network for this table's task."""
    if row.model is None or not table.metrics:
        return None
    fitting = []
    for run in runs:
        values = metrics_of(run, table.metrics)
        if table.classes not in (0, len(run.card.classes)):
            continue
        if run.card.task == table.task and values and is_model(run.card.model, row.model):
            fitting.append((values, run))
    if not fitting:
        return None
    values, best = max(fitting, key=lambda pair: pair[0])
    return Measured(values, best, len(fitting))


def metrics_of(run: Run, names: Sequence[str]) -> tuple[float, ...]:
    """Metrics in percent (cards hold 0..1); empty if one is missing or undefined."""
    found = [run.card.metrics.get(name) for name in names]
    known = [100 * v for v in found if isinstance(v, int | float) and 0 <= v < math.inf]
    return tuple(known) if len(known) == len(names) else ()


def is_model(described: dict[str, Any], model: Model) -> bool:
    """Whether a card's model is the one of a row."""
    if not isinstance(model, ClassifierRow | DetectorRow):
        return False
    names = _CLASSIFIER_FIELDS if isinstance(model, ClassifierRow) else _DETECTOR_FIELDS
    spec = asdict(model.spec)
    return all(described.get(name) == spec[name] for name in names)


def classifier_of(run: Run) -> ClassifierRow | None:
    """The network of a classification run, with its own number of classes; None for others."""
    if run.card.task != CLASSIFICATION:
        return None
    try:
        spec = ClassifierSpec(**{name: run.card.model[name] for name in _CLASSIFIER_FIELDS})
    except (KeyError, TypeError, ValueError):  # A later version may know more bodies.
        return None
    return ClassifierRow(spec, len(run.card.classes))


def printed_points(tables: Iterable[Table]) -> list[Point]:
    """Every ImageNet accuracy that the paper prints for such a classifier, once."""
    points = {}
    for row in _imagenet_rows(tables):
        if isinstance(row.model, ClassifierRow) and _is_standard(row.model.spec):
            points[row.model.spec] = _point(row.model, float(row.accuracy[0]))
    return list(points.values())


def _imagenet_rows(tables: Iterable[Table]) -> list[Row]:
    """Rows of tables whose accuracies are ImageNet's: those of other data state their classes."""
    found = [table for table in tables if table.task == CLASSIFICATION and not table.classes]
    return [row for table in found for row in table.rows]


def measured_points(runs: Sequence[Run]) -> list[Point]:
    """The best run of each width and size, with the costs of its own number of classes."""
    best: dict[ClassifierRow, float] = {}
    for run in runs:
        model, top1 = classifier_of(run), metrics_of(run, ("top1",))
        if model is not None and top1 and _is_standard(model.spec):
            best[model] = max(top1[0], best.get(model, 0))
    return [_point(model, top1) for model, top1 in best.items()]


def _is_standard(spec: ClassifierSpec) -> bool:
    return spec.backbone == "mobilenet_v1" and spec.variant == "standard"


def _point(model: ClassifierRow, top1: float) -> Point:
    from tools.flows.cost_plots import Point

    cost = cost_of(model)
    return Point(model.spec.size, top1, cost.mult_adds / 1e6, cost.params / 1e6)
