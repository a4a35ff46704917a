"""Flags of the tools that do not train."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Literal

import tyro

from configs.common import Common
from datasets.spec import Split
from tasks.detection.spec import Framework, PostSpec


@dataclass(frozen=True)
class Evaluate:
    """Measure a model on labelled data: for a detector, COCO's twelve numbers.

    Writes results.json and ground_truth.json (COCO's formats: anyone can score them again) and
    report.html to --out, by default evaluations/<weights>-<data>.
    """

    weights: Annotated[Path, tyro.conf.Positional]
    """Run folder or weights file."""
    data: Path | None = None
    """COCO, Pascal VOC or YOLO folder, or a COCO JSON file; built-in scenes if left out."""
    split: Split | None = None
    """Part of the data; by default val, or all of a single file."""
    scorer: Literal["faster", "pycocotools"] = "faster"
    """Who computes the numbers: faster-coco-eval, or pycocotools (slower, the same numbers)."""
    proposals: int | None = None
    """Faster R-CNN: regions that its second stage looks at; by default as it was trained."""
    batch_size: int = 16
    """Images per pass."""
    workers: int = -1
    """Loader processes; -1 takes half the cores, at most 8."""
    post: PostSpec = field(default_factory=PostSpec)
    common: Common = field(default_factory=Common)

    def __post_init__(self) -> None:
        """Refuse impossible numbers.

        Raises:
            ValueError: Naming the flag.
        """
        _check_batch_size(self.batch_size)


@dataclass(frozen=True)
class Predict:
    """Find objects in photos, folders of photos, or a video.

    Writes each picture with its boxes drawn, and predictions.json (COCO's structure, with
    scores), to --out, by default predictions/. A video becomes a video.
    """

    weights: Annotated[Path, tyro.conf.Positional]
    """Run folder or weights file."""
    paths: Annotated[tuple[Path, ...], tyro.conf.Positional]
    """Photos, folders or videos."""
    proposals: int | None = None
    """Faster R-CNN: regions that its second stage looks at; by default as it was trained."""
    batch_size: int = 8
    """Images per pass."""
    draw: bool = True
    """Write pictures; --no-draw writes only the JSON."""
    post: PostSpec = field(default_factory=lambda: PostSpec(score_threshold=0.5))
    common: Common = field(default_factory=Common)

    def __post_init__(self) -> None:
        """Refuse impossible numbers.

        Raises:
            ValueError: Naming the flag.
        """
        _check_batch_size(self.batch_size)


def _check_batch_size(batch_size: int) -> None:
    if batch_size < 1:
        raise ValueError(f"--batch-size {batch_size} must be 1 or more")


@dataclass(frozen=True)
class CheckData:
    """Examine a detection data set before training: what is wrong, where, and what is safe.

    Exit status 2 if training would refuse it. With --out the findings go to a JSON file.
    """

    data: Annotated[Path, tyro.conf.Positional]
    """COCO, Pascal VOC or YOLO folder, or a COCO JSON file."""
    split: Split = "train"
    """Part of the data."""
    framework: Framework = "ssd300"
    """Detector whose anchors the boxes are compared with."""
    size: int = 0
    """Its input size in pixels; 0 is the framework's own, 300 or 600."""
    keep_aspect: bool = False
    """Compare as for a detector that keeps a photo's shape instead of warping it to a square."""
    decode: bool = False
    """Decode every picture to its end instead of reading its header."""
    lines: int = 20
    """Findings to name one by one."""
    common: Common = field(default_factory=Common)

    def __post_init__(self) -> None:
        """Refuse impossible numbers.

        Raises:
            ValueError: Naming the flag.
        """
        if self.size and self.size < 32:
            raise ValueError(f"--size {self.size} is too small: 32 pixels or more")
        if self.common.out is not None and self.common.out == self.data:
            raise ValueError(f"--out {self.common.out}: would overwrite the data")


@dataclass(frozen=True)
class ImportWeights:
    """Bring weights of another framework into the suite.

    Reads TensorFlow's SSD MobileNet v1 from a .tflite file, or the body of its MobileNet v1
    classifiers; writes a weights file with its card. A detector evaluates, predicts and
    fine-tunes like any other; a body is what any detector can start from. Where TensorFlow's
    runtime (LiteRT) is installed, both are run on the same pictures and compared. --out is by
    default the source's name with .safetensors, in the current folder.
    """

    source: Annotated[Path, tyro.conf.Positional]
    """File to read."""
    labels: Path | None = None
    """Text file with one class name per line, in the order of the model's columns; ??? marks an
    unused column. By default COCO's names for a model of 91 columns."""
    common: Common = field(default_factory=Common)

    def __post_init__(self) -> None:
        """Refuse to write over the source.

        Raises:
            ValueError: Naming the file.
        """
        if self.common.out is not None and self.common.out == self.source:
            raise ValueError(f"--out {self.common.out}: would overwrite the source")
