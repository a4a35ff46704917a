"""What is known about a network's accuracy, with the source."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from configs.paper import ClassifierRow, DetectorRow, Model
from configs.paper_tables import TABLES
from configs.published import TF_TABLES
from datasets.errors import InputError
from tasks.application import PhotoApplication
from tools.paper_tables.runs import Run, find_runs, metrics_of

Origin = Literal["paper", "tensorflow", "runs"]


@dataclass(frozen=True)
class Accuracy:
    """An accuracy, compared only with others of the same origin; ``told`` names its source."""

    percent: float
    origin: Origin
    told: str


@dataclass(frozen=True)
class Shape:
    """A network of the grid.

    Attributes:
        application: Application of the network.
        variant: Variant of its networks (see :class:`~tasks.application.PhotoApplication`).
        alpha: Width multiplier.
        size: Side of its input in pixels.
    """

    application: PhotoApplication[Any]
    variant: str
    alpha: float
    size: int

    @property
    def name(self) -> str:
        """Name as in the paper: ``ssd300 0.75-240``."""
        return f"{self.variant or 'MobileNet'} {self.alpha:g}-{self.size}"


def known_accuracies(shape: Shape, precision: str) -> list[Accuracy]:
    """Published accuracies of a network; the paper's are float, so there are none for 8 bits."""
    found = [_printed(shape)] if precision == "float32" else []
    found.append(_tensorflow(shape, precision))
    return [accuracy for accuracy in found if accuracy is not None]


def _printed(shape: Shape) -> Accuracy | None:
    """The first row of the paper's tables that is this network."""
    metric = shape.application.compared_by.name
    for table in TABLES:
        if table.task != shape.application.name or metric not in table.metrics:
            continue
        column = table.metrics.index(metric)
        for row in table.rows:
            if row.accuracy and _is_shape(row.model, shape):
                told = f"printed in the paper, table {table.number}"
                return Accuracy(float(row.accuracy[column]), "paper", told)
    return None


def _is_shape(model: Model | None, shape: Shape) -> bool:
    if not isinstance(model, ClassifierRow | DetectorRow):
        return False
    spec = model.spec
    if spec.backbone != "mobilenet_v1" or (spec.alpha, spec.size) != (shape.alpha, shape.size):
        return False
    if isinstance(model, DetectorRow):
        return model.spec.framework == shape.variant
    return model.spec.variant == "standard"


def _tensorflow(shape: Shape, precision: str) -> Accuracy | None:
    for table in TF_TABLES:
        if (table.task, table.variant) == (shape.application.name, shape.variant):
            pair = table.figures.get((shape.alpha, shape.size))
            if pair is not None:
                return Accuracy(pair[precision == "int8"], "tensorflow", table.told)
    return None


def own_runs(
    folders: Sequence[Path], application: PhotoApplication[Any]
) -> list[tuple[Run, Accuracy]]:
    """Measured runs of an application. Raises InputError if they are of different classes."""
    metric = application.compared_by
    found: list[tuple[Run, Accuracy]] = []
    for run in find_runs(folders):
        values = metrics_of(run, (metric.name,))
        if run.card.task == application.name and values:
            found.append((run, Accuracy(values[0], "runs", f"measured in {run.folder}")))
    for run, _ in found[1:]:
        first = found[0][0]
        if set(run.card.classes.names) != set(first.card.classes.names):
            raise InputError(
                f"--runs: {first.folder} has {len(first.card.classes)} classes and {run.folder} "
                f"{len(run.card.classes)} others: their accuracies cannot be compared; name "
                "folders of runs on one data set"
            )
    return found
