"""Flags of ``tools/choose.py``."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from configs.common import Common
from configs.task_names import USUAL, TaskName
from datasets.errors import InputError
from tasks.detection.spec import Framework
from tasks.flag_values import require_above_0, require_at_least

Runtime = Literal["onnxruntime", "litert", "executorch", "pytorch"]
Number = Literal["float32", "int8"]
By = Literal["auto", "paper", "tensorflow", "runs"]
ALPHAS = (1.0, 0.75, 0.5, 0.25)
SMALLEST = 32


def require_grid(alphas: Sequence[float], sides: Sequence[int]) -> None:
    """Check widths and resolutions. Raises InputError naming the flag and the value."""
    for alpha in alphas:
        if not 0 < alpha < float("inf"):
            raise InputError(f"--alpha {alpha} must be above 0 (1 is full width)")
    for side in sides:
        if side < SMALLEST:
            raise InputError(f"--resolution {side} is too small: {SMALLEST} pixels or more")


@dataclass(frozen=True)
class Choose:
    """Find the most accurate MobileNet within a limit of time and size.

    Times a grid of widths and resolutions on this machine, in turns, each from a decoded image of
    640x480 pixels to its answer, and combines the times with known accuracies: those of the
    paper's tables, those published with TensorFlow's weights, and those of your own runs. The
    source of each accuracy is shown, and only accuracies from the same source are compared.
    Networks of unknown accuracy are timed as well.

    Writes choose.html, front.png, choose.json and measured.json to --out, by default
    choices/<task>. Measurements in measured.json for the same CPU, runtime and number of threads
    are reused.
    """

    task: TaskName = USUAL
    """Task that the model is for."""
    latency_ms: float | None = None
    """Longest permitted time per image, in milliseconds; no limit by default."""
    size_mb: float | None = None
    """Largest permitted file, in millions of bytes; no limit by default."""
    by: By = "auto"
    """Source of the accuracies to choose by: paper, tensorflow (published with TensorFlow's
    weights), or runs (your own). auto uses your own runs if there are any, and otherwise the
    source that covers most networks."""
    runs: tuple[Path, ...] = ()
    """Folders to search for your own runs of this task, all trained on the same classes. They are
    timed with their own weights."""
    runtime: Runtime = "onnxruntime"
    """Runtime to time: exports in ONNX Runtime, LiteRT or ExecuTorch, or PyTorch as predict.py
    uses it."""
    precision: tuple[Number, ...] = ("float32", "int8")
    """Number formats to compute with; PyTorch has only float32."""
    alpha: tuple[float, ...] = ALPHAS
    """Width multipliers of the grid, each above 0; 1 is full width."""
    resolution: tuple[int, ...] = ()
    """Input sizes of the grid, in pixels, 32 or more; by default those that the paper uses for the
    task."""
    framework: Framework = "ssd300"
    """For detection: detector on top of the body. Its default --resolution is its own input size,
    and for SSD two smaller ones as well."""
    rounds: int = 30
    """Number of times that each network is timed; the median is used."""
    again: bool = False
    """Repeat measurements that are already in measured.json."""
    common: Common = field(default_factory=Common)

    def __post_init__(self) -> None:
        require_above_0(self, "latency_ms", "size_mb")
        for name in ("precision", "alpha"):
            if not getattr(self, name):
                raise InputError(f"--{name}: name one or more")
        require_grid(self.alpha, self.resolution)
        if self.runtime == "pytorch" and "int8" in self.precision:
            if self.precision != ("float32", "int8"):
                raise InputError(
                    "--precision int8: goes with --runtime onnxruntime, litert or executorch"
                )
            object.__setattr__(self, "precision", ("float32",))
        require_at_least(self, 1, "rounds")
        if self.common.device not in ("auto", "cpu"):
            raise InputError(f"--device {self.common.device}: choose.py measures on the CPU")
        if self.by == "runs" and not self.runs:
            raise InputError("--by runs: name their folders with --runs")
        self.common.refuse_as_report_of(self.runs)

    @property
    def folder(self) -> Path:
        """Folder to write to."""
        return self.common.out or Path("choices") / self.task
