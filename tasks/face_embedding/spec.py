"""What an embedding network is made of. Nothing heavy is imported: help is built from it."""

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
    """Side of the square input in pixels, 32 or more: the paper's resolution multiplier."""
    dim: int = 128
    """Length of the embedding; that of the teacher where there is one."""

    def __post_init__(self) -> None:
        """Refuse what cannot be built. Raises InputError naming field, value and choices."""
        super().__post_init__()
        if self.dim < 2:
            raise InputError(f"--dim {self.dim} is too small: 2 or more")


@dataclass(frozen=True)
class EmbedLossSpec:
    """What is learnt from identities."""

    objective: Objective = "margin"
    """margin: the identity among all of the training set, by angle, with a margin (CosFace,
    arXiv 1801.09414). triplet: a photo is nearer to one of the same person than to one of another,
    by a margin, with semi-hard negatives (FaceNet, arXiv 1503.03832)."""
    margin: float | None = None
    """Of either: by default .35 of the cosine, or .2 of the squared distance."""
    scale: float = 32.0
    """Of margin: by which cosines are multiplied before the softmax."""
    per_identity: int = 4
    """Of triplet: photos of a person that come in one batch."""
    dropout: float = 0.0
    """Share of the features that are dropped before the last layer in training."""

    def __post_init__(self) -> None:
        """Refuse what teaches nothing. Raises InputError naming the flag and its value."""
        require_within(self, "[0, 2)", "margin")
        require_above_0(self, "scale")
        if self.per_identity < 2:
            raise InputError(f"--per-identity {self.per_identity}: a pair needs 2 or more")
        require_within(self, "[0, 1)", "dropout")

    @property
    def chosen_margin(self) -> float:
        """The margin, or the objective's own."""
        own = 0.35 if self.objective == "margin" else 0.2
        return own if self.margin is None else self.margin


@dataclass(frozen=True)
class FaceSpec:
    """How the faces of some data stand, and which of LFW's folds are meant."""

    alignment: Standing = "auto"
    """How faces stand in their pictures: none (anyhow), funneled (LFW's funneled versions), or
    five_points (eyes, nose and mouth at fixed places). It is kept with the weights, and faces
    that stand otherwise are refused. auto: five_points for .rec and .bin, none for folders."""
    points: Path | None = None
    """Align photos by five points of each: CelebA's list of landmarks, or lines of
    file,x1,y1,...,x5,y5 (eyes, nose, corners of the mouth; left of the picture first)."""
    detector: Path | None = None
    """Find these points by OpenCV's YuNet: its file, face_detection_yunet_2023mar.onnx."""
    fold: int | None = None
    """Data with pairs.txt: test this fold, 1 to 10, with the threshold of the one before it.
    Training on LFW itself leaves out the people of both; 10 by default. An evaluation takes all
    folds, or of the data that the weights were trained on the one that was left out."""

    def __post_init__(self) -> None:
        """Refuse what does not go together. Raises InputError naming the flag and its value."""
        if self.points is not None and self.detector is not None:
            raise InputError(f"--points {self.points}: goes without --detector")
        aligns = self.points is not None or self.detector is not None
        if aligns and self.alignment not in ("auto", "five_points"):
            raise InputError(
                f"--alignment {self.alignment}: --points and --detector align by five points"
            )
        if self.fold is not None and self.fold < 1:
            raise InputError(f"--fold {self.fold}: they are counted from 1")
