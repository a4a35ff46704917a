"""Flags of the tool that predicts on many machines by Ray."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

import tyro

from configs.common import Common
from configs.tools import AnswerFlags
from tasks.detection.spec import SHOWN_SCORE, DetectOptions, KeepSpec, PostSpec
from tasks.flag_values import require_at_least
from tasks.geolocation.spec import DecodeSpec


@dataclass(frozen=True)
class PredictRay(AnswerFlags):
    """Run a model on images in several processes or on several machines, by Ray.

    Writes Parquet files with a row per image to --out, which must not be there yet, by default
    predictions.parquet. Without --address, Ray is started on this machine alone; with it, the same
    command computes on a cluster, whose machines see the same files. What cannot be read has a row
    with the reason. A process or machine that is lost is replaced, and its images are done again.
    There is no --resume: if this command itself is interrupted, nothing is written.
    """

    FOR_ALL = (
        *("weights", "paths", "head", "labels", "batch_size", "workers", "address", "common"),
    )

    weights: Annotated[Path, tyro.conf.Positional]
    """Run folder, weights file or export."""
    paths: Annotated[tuple[str, ...], tyro.conf.Positional]
    """Images, folders, patterns, lists, shards and Parquet files, as predict.py takes them; no
    videos and streams."""
    head: str | None = None
    """For a run of train_multi.py or its export: name of the head to use."""
    labels: Path | None = None
    """For a .tflite file made by TensorFlow: text file with its class names, one per line."""
    proposals: int | None = None
    """For Faster R-CNN: number of proposed regions that the second stage classifies, 1 to 1000; by
    default the same as in training."""
    batch_size: int = 8
    """Number of images per forward pass."""
    workers: int = 2
    """Number of processes, each with a model of its own; with --device cuda each has a GPU."""
    address: str = ""
    """Address of a Ray cluster, such as auto on one of its machines or ray://head:10001."""
    post: PostSpec = field(default_factory=lambda: PostSpec(score_threshold=SHOWN_SCORE))
    keep: KeepSpec = field(default_factory=KeepSpec)
    places: DecodeSpec = field(default_factory=DecodeSpec)
    common: Common = field(default_factory=Common)

    def __post_init__(self) -> None:
        """Refuse impossible numbers. Raises InputError naming the flag and its value."""
        super().__post_init__()
        require_at_least(self, 1, "workers")

    @property
    def options(self) -> tuple[object, ...]:
        """Options for computing answers; each application picks its own."""
        return DetectOptions(self.proposals, self.post, self.keep), self.places

    @property
    def threads(self) -> int:
        """CPU threads of each process."""
        return self.common.threads or 1
