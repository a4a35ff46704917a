"""The flags that all training tools share, and the combinations that are refused."""

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

# TensorFlow's optimiser settings for MobileNets; each paper preset adds its rate and length.
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
    """A single data set to train on."""

    data: Path | None = None
    """Data set to train on; without it, built-in synthetic images are used."""


@dataclass(frozen=True)
class ValFlags(DataFlags):
    """A data set to train on, and another one to evaluate on."""

    val: Path | None = None
    """Data set to evaluate on, in any format that --data accepts; all of --data is then used for
    training."""

    def __post_init__(self) -> None:
        if self.val is not None and self.data is None:
            raise InputError(f"--val {self.val}: goes with --data")


@dataclass(frozen=True)
class Training:
    """A run of any training tool: what it starts from, and where it computes."""

    preset: str = "auto"
    """Named set of default values for all flags."""
    config: Path | None = None
    """File of settings: config.json of a run, to repeat it, or a YAML or JSON file with some of
    its fields. Other flags override it, and the preset supplies the rest."""
    weights: Path | None = None
    """Run folder or weights file to start from."""
    resume: Path | None = None
    """Run folder of an interrupted training to continue, with the configuration stored in it."""
    command: tyro.conf.Suppress[str] = ""
    """Command line that started the run."""
    workers: int = -1
    """Number of processes that load data; -1 uses half the cores, at most 8; 0 loads in the
    training process itself."""
    common: Common = field(default_factory=Common)


@dataclass(frozen=True)
class FitTraining(Training):
    """The training of a network by a single optimiser."""

    fit: FitSpec = field(default_factory=FitSpec)


@dataclass(frozen=True)
class GridTraining(FitTraining, DataFlags):
    """A training on one data set, which may be repeated over a grid of settings."""

    resume: Path | None = None
    """Run folder (or grid folder) of an interrupted training to continue, with the configuration
    stored in it."""
    grid: tuple[str, ...] = ()
    """Train one run for each combination of values, as in alpha=1,.5 size=64,48. A + begins
    another group: alpha=1,.5 + size=48 trains three runs. Keys are the flags of the network
    (alpha, size, backbone and others) and of the training (lr, epochs and others), and seed."""
    find_lr: bool = False
    """Find the learning rate first, by Lightning's range test, and train with it in place of --lr;
    learning_rate.png in the run folder shows the test."""
    find_batch_size: bool = False
    """Find the batch size first: the largest power of two that memory holds and that leaves 20
    steps in an epoch, from 8 to 1024. With --find-lr, the rate is found for it."""
    folds: int = 0
    """Cross-validation: divide data without parts into this many folds, train once without each of
    them, and report on the images that were left out; 0 trains once."""
    held_fold: tyro.conf.Suppress[tyro.conf.Fixed[int]] = 0
    """Number of the fold that this run leaves out, from 1; 0 if it has none."""

    def varied(self, model: Mapping[str, Any], fit: Mapping[str, Any], seed: int) -> Self:
        """One run of the grid. Raises InputError if the values cannot be combined."""
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
        """Other fields that change with the model and the seed of a grid run, by field name."""
        return {}


@dataclass(frozen=True)
class SquareTraining(FitTraining):
    """The training of a network whose input is a square image."""

    model: ClassifierSpec = field(default_factory=ClassifierSpec)
    interpolation: Interpolation = "bilinear"
    """How images are resized, during and after training."""
    crop: float = 0.875
    """Evaluation crops the centre of the resized image: share of its short side to keep, above 0
    and up to 1; 1 keeps the whole side."""
    cache: bool = True
    """Keep decoded images in memory if they take less than two fifths of what is free."""

    def __post_init__(self) -> None:
        require_within(self, "(0, 1]", "crop")


@dataclass(frozen=True)
class TaughtTraining(SquareTraining, GridTraining, ValFlags):
    """The training of a network on images, with or without a teacher."""

    distill: DistillSpec = field(default_factory=DistillSpec)

    def __post_init__(self) -> None:
        SquareTraining.__post_init__(self)
        ValFlags.__post_init__(self)

    def following(self, model: ClassifierSpec, seed: int) -> dict[str, Any]:
        """Stored teacher targets depend on image size and seed, so each run has its own folder."""
        targets = self.distill.targets
        if targets is None:
            return {}
        return {"distill": replace(self.distill, targets=targets / f"{model.size}-seed{seed}")}


@dataclass(frozen=True)
class PhotoTraining(TaughtTraining):
    """A training that augments images the way classification does."""

    augment: LabelAugmentation = "modern"
    """Augmentation of training images. tf_slim: TensorFlow's for MobileNet. mild: the paper's,
    with few small crops. modern: crops, flips and RandAugment. small: shifts and flips, for images
    of about the input's size. none: no augmentation."""
