"""The flags that trainings share, whatever their task, and what is refused of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Self

import tyro

from configs.common import Common
from datasets.errors import InputError
from datasets.spec import Interpolation, LabelAugmentation
from tasks.body_spec import ClassifierSpec
from tasks.distillation.spec import DistillSpec
from tasks.fitting.spec import FitSpec
from tasks.flag_values import require_within

# TensorFlow's optimiser for MobileNets, to which each paper preset adds rate and length.
PAPER_FIT = FitSpec(
    optimizer="rmsprop",
    schedule="exponential",
    warmup=0.0,
    bn_momentum=0.0003,
    ema_decay=0.9999,
    clip_norm=0.0,
    eval_every=5,
)


@dataclass(frozen=True)
class DataFlags:
    """One set of data to train on."""

    data: Path | None = None
    """Data to train on; built-in pictures if left out."""


@dataclass(frozen=True)
class ValFlags(DataFlags):
    """Data to train on, and data to evaluate on."""

    val: Path | None = None
    """Data to evaluate on, in any of these forms; all of --data is then trained on."""

    def __post_init__(self) -> None:
        if self.val is not None and self.data is None:
            raise InputError(f"--val {self.val}: goes with --data")


@dataclass(frozen=True)
class Training:
    """A run of any training tool: how it begins, and where it computes."""

    preset: str = "auto"
    """Recipe."""
    config: Path | None = None
    """Settings to start from, which other flags change: config.json of a run, to repeat it, or a
    YAML or JSON file with some of its fields; what it lacks is as its preset has it."""
    weights: Path | None = None
    """Run folder or weights file to start from."""
    resume: Path | None = None
    """Run folder to go on with after an interruption; its own configuration is used."""
    command: tyro.conf.Suppress[str] = ""
    """The command line that began the run."""
    workers: int = -1
    """Loader processes; -1 takes half the cores, at most 8; 0 loads in the trainer's own."""
    common: Common = field(default_factory=Common)


@dataclass(frozen=True)
class FitTraining(Training):
    """The training of a network that one optimiser fits."""

    fit: FitSpec = field(default_factory=FitSpec)


@dataclass(frozen=True)
class GridTraining(FitTraining, DataFlags):
    """One on a single set of data, which may stand for a grid of runs."""

    resume: Path | None = None
    """Run folder (or grid) to go on with after an interruption; its own configuration is used."""
    grid: tuple[str, ...] = ()
    """Train one run for each combination, as alpha=1,.5 size=64,48; a + begins another group
    (alpha=1,.5 + size=48 trains three). Keys: the flags of the network (alpha, size, backbone and
    the others) and of the fit (lr, epochs and the others), and seed."""

    def varied(self, model: Mapping[str, Any], fit: Mapping[str, Any], seed: int) -> Self:
        """One run of the grid. Raises InputError if they do not go together."""
        own: Any = self
        spec = own.model.varied(model)
        changed: Self = replace(
            own,
            grid=(),
            resume=None,
            model=spec,
            fit=replace(self.fit, **fit),
            common=replace(self.common, seed=seed),
            **self.following(spec, seed),
        )
        return changed

    def following(self, model: Any, seed: int) -> dict[str, Any]:
        """What else differs in a run of the grid, by field."""
        return {}


@dataclass(frozen=True)
class SquareTraining(FitTraining):
    """One of a network that sees photos as squares."""

    model: ClassifierSpec = field(default_factory=ClassifierSpec)
    interpolation: Interpolation = "bilinear"
    """How photos are resized, in training and after it."""
    crop: float = 0.875
    """Share of the resized short side that the central crop keeps in evaluation; 1 keeps all."""
    cache: bool = True
    """Keep decoded photos in memory if they take less than 1.5 GB."""

    def __post_init__(self) -> None:
        require_within(self, "(0, 1]", "crop")


@dataclass(frozen=True)
class TaughtTraining(SquareTraining, GridTraining, ValFlags):
    """One of a network on photos that may have a teacher."""

    distill: DistillSpec = field(default_factory=DistillSpec)

    def __post_init__(self) -> None:
        SquareTraining.__post_init__(self)
        ValFlags.__post_init__(self)

    def following(self, model: ClassifierSpec, seed: int) -> dict[str, Any]:
        """A teacher's stored answers are to pictures of one size and seed."""
        targets = self.distill.targets
        if targets is None:
            return {}
        return {"distill": replace(self.distill, targets=targets / f"{model.size}-seed{seed}")}


@dataclass(frozen=True)
class PhotoTraining(TaughtTraining):
    """One on photos that are augmented as labelled photos are."""

    augment: LabelAugmentation = "modern"
    """tf_slim: TensorFlow's for MobileNet; mild: the paper's, few small crops; modern: crops,
    flip, RandAugment; small: for pictures of about the input's size; none."""
