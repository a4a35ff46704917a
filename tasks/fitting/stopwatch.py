"""How long a run took, over all the processes that worked on it, and the report that tells it."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

from datasets.names import shown_in
from tasks.weights.atomic_write import write_text

REPORT_NAME = "report.json"


class Stopwatch:
    """Time that goes into a run, from the making of this on; a resumed run goes on counting.

    What a process did after its last checkpoint is done again, and so counts once.
    """

    def __init__(self) -> None:
        self._begun = time.perf_counter()
        self._before = 0.0

    @property
    def seconds(self) -> float:
        """Of this process and of those whose work it goes on with."""
        return self._before + time.perf_counter() - self._begun

    @property
    def minutes(self) -> float:
        """The same in minutes, rounded for a report."""
        return round(self.seconds / 60, 2)

    def go_on_from(self, seconds: float) -> None:
        """Count what a checkpoint tells; of the stages of a run, the last one's tells most."""
        self._before = max(self._before, seconds)


def write_summary(
    folder: Path, summary: dict[str, Any], watch: Stopwatch | None = None
) -> dict[str, Any]:
    """Write ``report.json`` once and whole, and return what it holds: a run with one is finished.

    Args:
        folder: Folder of the run or evaluation.
        summary: What a task has to tell.
        watch: Stopwatch of the run, for its minutes; None after a mere evaluation.

    Raises:
        OSError: If it cannot be written.
    """
    took = {} if watch is None else {"minutes": watch.minutes}
    told = {"folder": str(folder), **took, **summary}
    write_text(folder / REPORT_NAME, json.dumps(shown_in(told), indent=1))
    return told
