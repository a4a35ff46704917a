"""The options of face embeddings. It imports nothing slow: --help is built from it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import tyro

from datasets.errors import InputError
from tasks.body_spec import ClassifierSpec
from tasks.flag_values import require_above_0, require_within

Objective = Literal["margin", "triplet"]
Standing = Literal["auto", "none", "funneled", "five_points"]


@dataclass(frozen=True)
class EmbedderSpec(ClassifierSpec):
    """Architecture: a body, and a linear layer on its pooled features."""

    size: Annotated[int, tyro.conf.arg(aliases=("--resolution",))] = 112
    """Side of the square input in pixels, 32 to 8192: the paper's resolution multiplier."""
    dim: int = 128
    """Length of the embedding, 2 or more; with a teacher, the length of its embedding."""

    def __post_init__(self) -> None:
        """Refuse what cannot be built. Raises InputError naming field, value and choices."""
        super().__post_init__()
        if self.dim < 2:
            raise InputError(f"--dim {self.dim} is too small: 2 or more")


@dataclass(frozen=True)
class EmbedLossSpec:
    """The training objective on identities."""

    objective: Objective = "margin"
    """Kind of loss. margin: classification by angle among all identities of the training set, with
    a margin (CosFace, arXiv 1801.09414). triplet: an image must be nearer to an image of the same
    person than to one of another person, by a margin, with semi-hard negatives (FaceNet, arXiv
    1503.03832)."""
    margin: float | None = None
    """Margin of either loss, from 0 to below 2; by default .35 of the cosine for margin, and .2 of
    the squared distance for triplet."""
    scale: float = 32.0
    """For margin: number above 0 by which cosines are multiplied before the softmax."""
    per_identity: int = 4
    """For triplet: number of images of each person in a batch, 2 or more."""
    dropout: float = 0.0
    """Dropout before the last layer: share of the features that are set to zero in training, from
    0 to below 1."""

    def __post_init__(self) -> None:
        """Refuse values that cannot train. Raises InputError naming the flag and its value."""
        require_within(self, "[0, 2)", "margin")
        require_above_0(self, "scale")
        if self.per_identity < 2:
            raise InputError(f"--per-identity {self.per_identity}: a pair needs 2 or more")
        require_within(self, "[0, 1)", "dropout")

    @property
    def chosen_margin(self) -> float:
        """The given margin, or the default of the objective."""
        own = 0.35 if self.objective == "margin" else 0.2
        return own if self.margin is None else self.margin


@dataclass(frozen=True)
class FaceSpec:
    """The alignment of faces in the data, and the fold of LFW to use."""

    alignment: Standing = "auto"
    """How the faces in the images are aligned. none: not at all. funneled: as LFW's funneled
    images. five_points: with eyes, nose and mouth in fixed places. The alignment is stored with
    the weights, and images with another one are refused. auto means five_points for .rec and .bin
    files, and none for folders."""
    points: Path | None = None
    """Align images by five points each, read from this file: CelebA's list of landmarks, or lines
    of file,x1,y1,...,x5,y5 (eyes, nose, corners of the mouth; the left of the image first)."""
    detector: Path | None = None
    """Align images by five points each, found by OpenCV's YuNet: its file
    face_detection_yunet_2023mar.onnx."""
    fold: int | None = None
    """For data with pairs.txt: test on this fold, 1 to 10, with the threshold of the fold before
    it. Training on LFW itself leaves out the people of both folds; its default is 10. An
    evaluation uses all folds by default, or, if the weights were trained on the same data, the
    fold that was left out."""

    def __post_init__(self) -> None:
        """Refuse conflicting flags. Raises InputError naming the flag and its value."""
        if self.points is not None and self.detector is not None:
            raise InputError(f"--points {self.points}: goes without --detector")
        aligns = self.points is not None or self.detector is not None
        if aligns and self.alignment not in ("auto", "five_points"):
            raise InputError(
                f"--alignment {self.alignment}: --points and --detector align by five points"
            )
        if self.fold is not None and self.fold < 1:
            raise InputError(f"--fold {self.fold}: they are counted from 1")
