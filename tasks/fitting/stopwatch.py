"""Duration of a run, over all the processes that worked on it, and its report file."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

from datasets.names import shown_in
from tasks.weights.atomic_write import write_text

REPORT_NAME = "report.json"


class Stopwatch:
    """Time spent on a run, from the creation of this object on; a resumed run continues counting.

    What a process did after its last checkpoint is done again, and is counted once.
    """

    def __init__(self) -> None:
        self._begun = time.perf_counter()
        self._before = 0.0

    @property
    def seconds(self) -> float:
        """Seconds of this process and of those whose work it continues."""
        return self._before + time.perf_counter() - self._begun

    @property
    def minutes(self) -> float:
        """Minutes, rounded for a report."""
        return round(self.seconds / 60, 2)

    def go_on_from(self, seconds: float) -> None:
        """Add the time in a checkpoint; among a run's stages, the last one's is largest."""
        self._before = max(self._before, seconds)


def write_summary(
    folder: Path, summary: dict[str, Any], watch: Stopwatch | None = None
) -> dict[str, Any]:
    """Write ``report.json`` atomically, and return its content: a run that has one is finished.

    Args:
        folder: Folder of the run or evaluation.
        summary: Results of the task.
        watch: Stopwatch of the run, for its minutes; None after a mere evaluation.

    Raises:
        OSError: If it cannot be written.
    """
    took = {} if watch is None else {"minutes": watch.minutes}
    told: dict[str, Any] = shown_in({"folder": folder, **took, **summary})
    write_text(folder / REPORT_NAME, json.dumps(told, indent=1))
    return told
