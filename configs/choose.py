"""Flags of ``tools/choose.py``."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from configs.common import Common
from configs.task_names import USUAL, TaskName
from datasets.errors import InputError
from tasks.detection.spec import Framework
from tasks.flag_values import require_above_0, require_at_least

Runtime = Literal["onnxruntime", "litert", "pytorch"]
Number = Literal["float32", "int8"]
By = Literal["auto", "paper", "tensorflow", "runs"]
ALPHAS = (1.0, 0.75, 0.5, 0.25)
SMALLEST = 32


@dataclass(frozen=True)
class Choose:
    """Find the MobileNet that is most accurate within a budget of time and size.

    Measures a grid of widths and resolutions on this machine, each from a decoded photo of
    640x480 pixels to its answer, one after another in turns; joins what is known of their
    accuracy: the paper's tables, TensorFlow's published figures, own runs. Each accuracy tells
    where it comes from, and only those of one source are compared. Networks whose accuracy nobody
    has told are measured all the same.

    Writes choose.html, front.png, choose.json and measured.json to --out, by default
    choices/<task>. What measured.json holds for this chip, runtime and number of threads is not
    measured again.
    """

    task: TaskName = USUAL
    """What the model is for."""
    latency_ms: float | None = None
    """Longest time for a photo, in milliseconds."""
    size_mb: float | None = None
    """Largest file, in millions of bytes."""
    by: By = "auto"
    """Whose accuracies to choose by: the paper's, those published with TensorFlow's weights, or
    those of own runs. auto: own runs if there are any, else whoever tells of most networks."""
    runs: tuple[Path, ...] = ()
    """Folders to search for own runs of this task; all on one set of classes. They are measured
    with their own weights."""
    runtime: Runtime = "onnxruntime"
    """What computes: an export in ONNX Runtime or LiteRT, or PyTorch as predict.py uses it."""
    precision: tuple[Number, ...] = ("float32", "int8")
    """Numbers to compute with; PyTorch has float32 alone."""
    alpha: tuple[float, ...] = ALPHAS
    """Width multipliers of the grid."""
    resolution: tuple[int, ...] = ()
    """Input sides of the grid, in pixels; by default those that the paper uses for the task."""
    framework: Framework = "ssd300"
    """Detector on top of the body; its --resolution is by default its own, and for SSD two
    smaller ones."""
    rounds: int = 30
    """Turns in which each network is timed once; the median counts."""
    again: bool = False
    """Measure anew what is known already."""
    common: Common = field(default_factory=Common)

    def __post_init__(self) -> None:
        require_above_0(self, "latency_ms", "size_mb")
        for name in ("precision", "alpha"):
            if not getattr(self, name):
                raise InputError(f"--{name}: name one or more")
        for alpha in self.alpha:
            if not 0 < alpha < float("inf"):
                raise InputError(f"--alpha {alpha} must be above 0 (1 is full width)")
        for size in self.resolution:
            if size < SMALLEST:
                raise InputError(f"--resolution {size} is too small: {SMALLEST} pixels or more")
        if self.runtime == "pytorch" and "int8" in self.precision:
            if self.precision != ("float32", "int8"):
                raise InputError("--precision int8: goes with --runtime onnxruntime or litert")
            object.__setattr__(self, "precision", ("float32",))
        require_at_least(self, 1, "rounds")
        if self.common.device not in ("auto", "cpu"):
            raise InputError(f"--device {self.common.device}: choose.py measures on the CPU")
        if self.by == "runs" and not self.runs:
            raise InputError("--by runs: name their folders with --runs")
        self.common.refuse_as_report_of(self.runs)

    @property
    def folder(self) -> Path:
        """To write to."""
        return self.common.out or Path("choices") / self.task
