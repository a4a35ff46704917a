"""What the configurations of trainings have in common, whatever their task."""

from __future__ import annotations

from dataclasses import Field
from pathlib import Path
from typing import Any, ClassVar, Protocol

from configs.common import Common
from datasets.spec import Interpolation, LabelAugmentation
from tasks.classification.spec import ClassifierSpec
from tasks.distillation.spec import DistillSpec
from tasks.fitting.spec import FitSpec


class Training(Protocol):
    """A frozen dataclass that tells how to train a network."""

    __dataclass_fields__: ClassVar[dict[str, Field[Any]]]

    @property
    def preset(self) -> str:
        """Recipe."""

    @property
    def resume(self) -> Path | None:
        """Run folder to go on with."""

    @property
    def command(self) -> str:
        """The command line that began the run."""

    @property
    def model(self) -> ClassifierSpec:
        """Architecture."""

    @property
    def fit(self) -> FitSpec:
        """Optimiser, schedule and engine."""

    @property
    def common(self) -> Common:
        """Flags of every tool."""


class SquareTraining(Training, Protocol):
    """One of a network that sees photos as squares."""

    @property
    def weights(self) -> Path | None:
        """Run folder or weights file to start from."""

    @property
    def interpolation(self) -> Interpolation:
        """Of the photos' resize."""

    @property
    def crop(self) -> float:
        """Share of the resized short side that the central crop keeps, where nothing augments."""


class PhotoTraining(SquareTraining, Protocol):
    """One of a network on photos."""

    @property
    def augment(self) -> LabelAugmentation:
        """Of the training photos."""

    @property
    def cache(self) -> bool:
        """Whether decoded photos are kept in memory."""

    @property
    def workers(self) -> int:
        """Loader processes."""


class TaughtTraining(Training, Protocol):
    """One that may have a teacher."""

    @property
    def distill(self) -> DistillSpec:
        """The teacher."""


class GridTraining(TaughtTraining, Protocol):
    """One that may have a teacher, and may stand for a grid of runs."""

    @property
    def grid(self) -> tuple[str, ...]:
        """What the runs of a grid differ in."""


class StudentTraining(PhotoTraining, TaughtTraining, Protocol):
    """One of a network on photos that may have a teacher."""
