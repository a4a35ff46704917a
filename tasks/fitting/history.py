"""Losses and metrics over steps, as a file that survives interruptions."""

from __future__ import annotations

import csv
import io
from pathlib import Path
from typing import Any

from lightning.pytorch.loggers.logger import Logger
from lightning.pytorch.utilities import rank_zero_only

from datasets.errors import InputError, naming
from datasets.text import read_text
from tasks.weights.atomic_write import replacing

METRICS_NAME = "metrics.csv"
_TITLES = ("step", "name", "value")


class MetricsFile(Logger):
    """Appends ``step,name,value`` rows; a resumed run continues in the same file.

    Lightning's own CSV logger deletes the file of an interrupted run.
    """

    def __init__(self, folder: Path) -> None:
        super().__init__()
        self.path = folder / METRICS_NAME
        self._begun = False

    @property
    def name(self) -> str:
        """Name of the logger."""
        return "metrics"

    @property
    def version(self) -> str:
        """There is one per folder."""
        return ""

    @rank_zero_only
    def log_hyperparams(self, *args: Any, **kwargs: Any) -> None:
        """Do nothing: the run folder already holds the configuration."""

    @rank_zero_only
    def log_metrics(self, metrics: dict[str, float], step: int | None = None) -> None:
        """Append rows; before the first one, remove what an interrupted run wrote after it."""
        assert step is not None
        if not self._begun:
            kept = [row for row in read_metrics(self.path) if row[0] < step]
            with (
                replacing(self.path) as temporary,
                temporary.open("w", newline="", encoding="utf-8") as file,
            ):
                csv.writer(file).writerows([_TITLES, *kept])
            self._begun = True
        rows = [(step, name, float(value)) for name, value in metrics.items() if name != "epoch"]
        with naming(self.path), self.path.open("a", newline="", encoding="utf-8") as file:
            csv.writer(file).writerows(rows)


def read_metrics(path: Path) -> list[tuple[int, str, float]]:
    """Rows (step, name, value) of a metrics file; empty if there is none.

    A last line without an end was cut by a full disk, and is left out.

    Args:
        path: The file.

    Raises:
        InputError: If a line does not belong to a metrics file; the message names the line.
    """
    if not path.exists():
        return []
    text = read_text(path)
    found = []
    rows = csv.reader(io.StringIO(text[: text.rfind("\n") + 1], newline=""))
    try:
        for row in rows:
            if row and tuple(row) != _TITLES:
                step, name, value = row
                found.append((int(step), name, float(value or "nan")))
    except (ValueError, csv.Error) as error:
        raise InputError(
            f"{path}: line {rows.line_num} is no step, name and value ({error}): restore the "
            "file, or delete it to go on without the curves up to now"
        ) from error
    return found
