"""What figures 4 and 5 of the MobileNets paper show: its own accuracies, and those of runs."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from configs.paper import ClassifierRow, Table
from tasks.body_spec import ClassifierSpec
from tools.flows.cost_plots import Point
from tools.paper_tables.costs import cost_of
from tools.paper_tables.runs import CLASSIFICATION, Run, classifier_of, metrics_of


def printed_points(tables: Iterable[Table]) -> list[Point]:
    """Every ImageNet accuracy that the paper prints for such a classifier, once."""
    points = {}
    for row in (row for table in tables if table.task == CLASSIFICATION for row in table.rows):
        if isinstance(row.model, ClassifierRow) and _is_standard(row.model.spec):
            points[row.model.spec] = _point(row.model, float(row.accuracy[0]))
    return list(points.values())


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
    cost = cost_of(model)
    return Point(model.spec.size, top1, cost.mult_adds / 1e6, cost.params / 1e6)
