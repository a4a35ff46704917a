"""Losses and metrics over steps, as a file that survives interruptions."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

from lightning.pytorch.loggers.logger import Logger
from lightning.pytorch.utilities import rank_zero_only

from datasets.errors import naming
from tasks.weights.atomic_write import replacing

METRICS_NAME = "metrics.csv"


class MetricsFile(Logger):
    """Appends ``step,name,value`` rows; a resumed run goes on in the same file.

    Lightning's own CSV logger deletes the file of an interrupted run.
    """

    def __init__(self, folder: Path) -> None:
        super().__init__()
        self.path = folder / METRICS_NAME
        self._begun = False

    @property
    def name(self) -> str:
        """Of the logger."""
        return "metrics"

    @property
    def version(self) -> str:
        """There is one per folder."""
        return ""

    @rank_zero_only
    def log_hyperparams(self, *args: Any, **kwargs: Any) -> None:
        """The run folder holds the configuration already."""

    @rank_zero_only
    def log_metrics(self, metrics: dict[str, float], step: int | None = None) -> None:
        """Append; before the first row, cut off what an interrupted run wrote beyond it."""
        assert step is not None
        if not self._begun:
            kept = [row for row in read_metrics(self.path) if row[0] < step]
            with (
                replacing(self.path) as temporary,
                temporary.open("w", newline="", encoding="utf-8") as file,
            ):
                csv.writer(file).writerows([("step", "name", "value"), *kept])
            self._begun = True
        rows = [(step, name, float(value)) for name, value in metrics.items() if name != "epoch"]
        with naming(self.path), self.path.open("a", newline="", encoding="utf-8") as file:
            csv.writer(file).writerows(rows)


def read_metrics(path: Path) -> list[tuple[int, str, float]]:
    """Rows (step, name, value) of a metrics file; empty if there is none."""
    if not path.exists():
        return []
    with path.open(newline="", encoding="utf-8") as file:
        rows = [row for row in csv.reader(file) if len(row) == 3 and row[0].isdigit()]
    return [(int(step), name, float(value or "nan")) for step, name, value in rows]
