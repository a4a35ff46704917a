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
    """Time models stage by stage, from image file to answer, and compare with the CPU's limit.

    All models, the networks for comparison and a large matrix product take turns, so that a
    disturbance affects all of them alike. The times are medians, with the 10th and 90th
    percentile. The floor of a network is the time that its mult-adds would take at the rate of the
    matrix product.

    Stages: decode (file to pixels), preprocess (resizing and normalisation), network, post-process
    (softmax, NMS). An export is a single graph: ONNX Runtime's profiler measures its stages, which
    are scaled to add up to the time of the graph without the profiler.
    """

    models: Annotated[tuple[Path, ...], tyro.conf.Positional]
    """Run folders, weights files and exports (.onnx, .xml, .tflite, .pte, .mlpackage) of any task.
    """
    photos: Path | None = None
    """Image or folder of images to use; by default a synthetic image of 640x480 pixels."""
    peers: bool = False
    """Also time comparable networks of torchvision and timm, with random weights, if those
    libraries are installed: mobilenet_v3_large and mobilenetv1_100, or ssdlite320 for detectors.
    """
    batch_sizes: tuple[int, ...] = (1, 8)
    """Numbers of images per batch for which the throughput is measured."""
    memory: bool = True
    """Measure the peak memory of each model, in a separate process per model."""
    rounds: int = 30
    """Number of rounds; each model is timed once per round."""
    warmup: int = 5
    """Number of rounds before those, which are not counted."""
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
            raise InputError(f"--images {self.photos}: no such file or folder")
        if self.common.out is not None and self.common.out.is_dir():
            raise InputError(f"--out {self.common.out}: is a folder; name a file for the JSON")
