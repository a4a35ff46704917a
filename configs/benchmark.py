"""Flags of ``tools/benchmark.py``."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

import tyro

from configs.common import Common
from datasets.errors import InputError
from tasks.flag_values import flag_of, require_at_least


@dataclass(frozen=True)
class Benchmark:
    """Time models from the photo's file to the answer, stage by stage, beside the chip's limit.

    All models, the peers and a large matrix product take turns, so that a noisy moment hits all
    alike; times are medians, with the tenth and the ninetieth percentile. The floor of a network
    is the time that its mult-adds would take at the rate of the matrix product.

    Stages: decode (file to pixels), preprocess (resize, normalisation of its kind), network,
    post-process (softmax, NMS). An export is one graph; its stages are told by ONNX Runtime's own
    profile, and add up to the graph's time as measured without it.
    """

    models: Annotated[tuple[Path, ...], tyro.conf.Positional]
    """Run folders, weights files and exports (.onnx, .xml, .tflite, .pte, .mlpackage), of any
    task."""
    photos: Path | None = None
    """Photo or folder to use; by default one of 640x480 pixels is drawn."""
    peers: bool = False
    """Beside torchvision's and timm's networks of the same kind where they are installed, with
    random weights: mobilenet_v3_large and mobilenetv1_100, or ssdlite320."""
    batch_sizes: tuple[int, ...] = (1, 8)
    """Photos at once, for the throughput."""
    memory: bool = True
    """Measure the peak of memory, each model in a process of its own."""
    rounds: int = 30
    """Turns in which each model is timed once."""
    warmup: int = 5
    """Turns before those, which do not count."""
    common: Common = field(default_factory=Common)

    def __post_init__(self) -> None:
        if not self.models:
            raise InputError("name a run folder, a weights file or an export to measure")
        require_at_least(self, 1, "rounds", "warmup")
        for size in self.batch_sizes:
            if size < 1:
                raise InputError(f"--{flag_of('batch_sizes')} {size} must be 1 or more")
        if self.common.device not in ("auto", "cpu"):
            raise InputError(f"--device {self.common.device}: benchmark.py measures on the CPU")
        if self.photos is not None and not self.photos.exists():
            raise InputError(f"--photos {self.photos}: no such file or folder")
        if self.common.out is not None and self.common.out.is_dir():
            raise InputError(f"--out {self.common.out}: is a folder; name a file for the JSON")
