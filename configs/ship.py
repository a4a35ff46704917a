"""Flags of ``tools/ship.py``."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import tyro

from configs.choose import ALPHAS, require_grid
from configs.common import Common
from configs.deploy import Target
from configs.task_names import TaskName
from datasets.errors import InputError
from tasks.flag_values import require_above_0, require_at_least

ShipTask = Literal["auto"] | TaskName


@dataclass(frozen=True)
class Ship:
    """From a folder of labelled images to a file for the phone that keeps to a budget.

    Examines the data, measures networks of several widths and resolutions in the target's runtime
    on this machine, plans a training that takes the given time, trains those that keep to the
    budget and drops the worse half after each round, exports the best, and measures its accuracy
    and time again on the exported file. --plan stops before the training.

    The folder --out, by default ships/<data>/<time>, gets handover/ with the model, its labels,
    its card, a report, and programs in Kotlin, Swift, C++ and Python that use it. --resume
    continues after any interruption, with the same result.
    """

    data: Path | None = None
    """Labelled data in any format of docs/data.md; what they hold determines the task. Without it,
    built-in synthetic images of --task are used."""
    task: ShipTask = "auto"
    """Task that the model is for; needed if the data could be of several, or without --data."""
    latency_ms: float | None = None
    """Longest permitted time per image, in milliseconds; no limit by default."""
    size_mb: float | None = None
    """Largest permitted file, in millions of bytes; no limit by default."""
    target: tuple[Target, ...] = ("litert",)
    """Runtimes to export for. Times are measured in the first one."""
    hours: float = 2.0
    """Time for training and selection, in hours."""
    weights: Path | None = None
    """Weights to start from: a file, or a folder of files of several widths. Files of TensorFlow
    and other frameworks are imported; files that cannot be used are listed."""
    hub: tuple[str, ...] = ()
    """Models on the Hugging Face Hub to start from, as hf-hub:OWNER/NAME. They are downloaded
    unless they are in the local cache. Without this flag nothing is downloaded, and MobileNets in
    the cache are used."""
    scratch: bool = False
    """Ignore the local cache and train from scratch."""
    max_drop: float = 1.0
    """Largest permitted loss of the main metric by 8-bit integers, in percentage points, 0 to 100.
    Otherwise the file is in float, if that keeps to the budget."""
    plan: bool = False
    """Print the plan and stop."""
    profile: Path | None = None
    """Times that were measured elsewhere: a CSV file (name,ms), a JSON file, or the output of
    LiteRT's benchmark_model; a folder of such files as well. Names are those of --kit."""
    kit: Path | None = None
    """Folder to write the untrained networks to, with instructions for measuring them on a phone;
    nothing is trained. --profile reads the results."""
    alpha: tuple[float, ...] = ALPHAS
    """Width multipliers to consider, each above 0; 1 is full width."""
    resolution: tuple[int, ...] = ()
    """Input sizes to consider, in pixels, 32 or more; by default those of the paper, or those that
    suit small images."""
    candidates: int = 4
    """Largest number of networks to train for the selection."""
    curve: bool = True
    """Train the selected network on a quarter of the images as well, to report what more data
    would give."""
    rounds: int = 30
    """Number of times that each network is timed; the median is used."""
    latency_threads: int = 1
    """Number of threads of the measured runtime."""
    resume: Path | None = None
    """Folder of an interrupted ship.py to continue, with the configuration stored in it."""
    command: tyro.conf.Suppress[str] = ""
    """Command line that started it."""
    workers: int = -1
    """Number of processes that load data; -1 uses half the cores, at most 8; 0 loads in the
    training process itself."""
    common: Common = field(default_factory=Common)

    def __post_init__(self) -> None:
        require_above_0(self, "latency_ms", "size_mb", "hours")
        require_at_least(self, 1, "candidates", "rounds", "latency_threads")
        if not 0 <= self.max_drop <= 100:
            raise InputError(f"--max-drop {self.max_drop} is not in 0..100 points")
        for name in ("target", "alpha"):
            given = getattr(self, name)
            if not given or len(set(given)) < len(given):
                raise InputError(f"--{name}: name one or more, each once")
        require_grid(self.alpha, self.resolution)
        if self.resume is None and self.data is None and self.task == "auto":
            raise InputError(
                "nothing to train on: name labelled data by --data, or a --task, for which "
                "built-in images are used"
            )
        if self.scratch and (self.weights is not None or self.hub):
            raise InputError("--scratch: starts without weights; leave out --weights and --hub")
        if self.plan and self.kit is not None:
            raise InputError("--plan: prints a plan, and --kit writes files; choose one of them")
