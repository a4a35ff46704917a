"""What an application adds to the flows: the record of its recipe, and what it opens.

The flows of training, evaluation and prediction use a :class:`Recipe`; they know no application.
"""

from __future__ import annotations

import os
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Generic, TypeVar

from torch import Tensor, nn

from configs.presets import Presets
from configs.tools import Evaluate, Predict
from datasets.errors import InputError
from datasets.images import Image
from datasets.loader import Resumable
from tasks.application import Application, Evaluator, Metric, PhotoApplication
from tasks.distillation.spec import DistillSpec
from tasks.distillation.target_source import TargetSource
from tasks.fitting.network_task import NetworkTask
from tasks.fitting.stopwatch import Stopwatch
from tasks.predictor import Model, Predictor
from tasks.reporting.skeleton import Report
from tasks.weights.card import Card
from tools import cli
from tools.flows.importing import Importer

Config = TypeVar("Config")
Data = TypeVar("Data")
Scores = TypeVar("Scores")
Notes = list[tuple[str, str]]
BUILT_IN = Path("data")


@dataclass(frozen=True)
class BuiltIn:
    """Data that the suite draws itself.

    Attributes:
        name: Name, and the beginning of its folder's name: ``shapes``.
        about: Name in a sentence: ``built-in shapes``.
        draw: Function that draws it in a folder from a seed, unless it already exists.
        stamp: File that exists when it is complete.
    """

    name: str
    about: str
    draw: Callable[..., Path]
    stamp: str

    def or_given(self, path: Path | None, seed: int) -> Path:
        """The user's data, or else this."""
        if path is not None:
            return path
        cli.say(f"no --data given: using {self.about} ({self._folder(seed)})")
        return self.drawn(seed)

    def drawn(self, seed: int) -> Path:
        """Path of this data, drawn by the first process of each machine while the others wait."""
        folder = self._folder(seed)
        if int(os.environ.get("LOCAL_RANK", 0)):
            while not (folder / self.stamp).exists():
                time.sleep(0.5)
            return folder
        return self.draw(folder, seed=seed)

    def _folder(self, seed: int) -> Path:
        return BUILT_IN / f"{self.name}-{seed}"


@dataclass(frozen=True)
class Ready(Generic[Data, Scores]):
    """A labelled part (``image(index)``, length), its loader in order, and its evaluator."""

    data: Data
    loader: Any
    evaluator: Scores


@dataclass(frozen=True)
class Loading:
    """How a part for evaluation is read: all by this process (``alone``), or a share by each."""

    batch_size: int
    workers: int
    cache: bool = False
    alone: bool = False


def loading_for(args: Evaluate) -> Loading:
    """How an evaluation with these flags reads its data."""
    return Loading(args.batch_size, cli.choose_workers(args.workers))


class Exam(ABC):
    """A labelled part, ready for evaluation.

    Attributes:
        data: Data of ``ready``, as are ``loader`` and ``evaluator``.
        image_ids: The evaluator's ids of the images, by index; None if they are the indices.
        warning: What a reader of the metrics must know first, if anything.
        title: What is evaluated, after the name of the data: ``, val``.
    """

    data: Any
    loader: Any
    evaluator: Evaluator
    image_ids: Sequence[int] | None = None
    notes: Notes
    warning: str = ""
    title: str = ""

    def __init__(self, ready: Ready[Any, Any], notes: Notes | None = None) -> None:
        self.data, self.loader, self.evaluator = ready.data, ready.loader, ready.evaluator
        self.notes = notes or []

    @property
    def files(self) -> list[str]:
        """Path of each image, for the report."""
        return [str(file) for file in self.data.files]

    @abstractmethod
    def facts(self, model: Model) -> Notes:
        """Rows of the report that describe the model and the data."""

    def write(self, folder: Path, evaluator: Any, score: Any) -> None:
        """Write the answers to all images."""
        evaluator.write(folder, self.files)

    @abstractmethod
    def report(self, model: Model, evaluator: Any, score: Any, device: str) -> Report:
        """The contents of the report."""

    def interval(self, metric: Metric, evaluator: Any, score: Any) -> tuple[float, float] | None:
        """The 95 % interval of a metric; None if there is no way to compute it."""
        ends = (score["metrics"].get(f"{metric.name}{end}") for end in ("_low", "_high"))
        low, high = ends
        return None if low is None or high is None else (float(low), float(high))

    @abstractmethod
    def text(self, score: Any, cost: str) -> str:
        """The score as text."""


class OpenedRun(ABC, Generic[Config]):
    """The examined data of a training, and all that is made from it.

    Attributes:
        application: Application of the run.
        trained_as: Lightning module that trains its networks.
        training_only: Prefixes of names of tensors that are not in the weights file.
        few_photos: Number of training images below which training from scratch achieves little; 0
            for no limit.
        least_steps: Fewest steps of a training from scratch on fewer images.
        measured_on_few: Result of such a training.
        train: Training images; they have a length.
    """

    application: ClassVar[PhotoApplication[Any]]
    trained_as: ClassVar[type[NetworkTask]] = NetworkTask
    training_only: ClassVar[tuple[str, ...]] = ()
    few_photos: int = 0
    least_steps: ClassVar[int] = 2000
    measured_on_few: ClassVar[str] = ""
    train: Any

    def __init__(self, config: Config, path: Path) -> None:
        self.config, self.path = config, path

    @property
    def teacher(self) -> DistillSpec | None:
        """Options of distillation, if there is a teacher."""
        distill: DistillSpec | None = getattr(self.config, "distill", None)
        return distill if distill is not None and distill.is_on else None

    @property
    @abstractmethod
    def subject(self) -> str:
        """Short description of the training data."""

    @property
    def reported(self) -> Metric:
        """Metric of the final figure, on held-out images; weights may be selected by another."""
        return self.application.metric

    @property
    def title(self) -> str:
        """Title of the report."""
        config: Any = self.config
        return f"{config.model.backbone} on {self.path.name}"

    @property
    def notes(self) -> Notes:
        """Rows for the report about findings in the data."""
        return []

    def options(self) -> tuple[object, ...]:
        """Options for computing answers in evaluations of the run."""
        return ()

    def target_source(self, device: str) -> TargetSource | None:
        """Source of teacher targets. Raises InputError for a teacher that would be ignored."""
        if (distill := self.teacher) is not None:
            raise InputError(
                f"--teacher {distill.teacher or distill.targets}: the training of "
                f"{self.application.name} learns from labels alone; leave it out"
            )
        return None

    def prepare(self, folder: Path, device: str, watch: Stopwatch) -> Notes:
        """Do what precedes the training proper; returns rows for the report."""
        return []

    def resumes(self, folder: Path) -> bool:
        """Whether the training continues from the folder's checkpoint."""
        config: Any = self.config
        return config.resume is not None

    @abstractmethod
    def build(self, target_source: TargetSource | None) -> tuple[nn.Module, Card]:
        """The network to train, and its card."""

    @abstractmethod
    def training_loader(self, workers: int) -> Resumable[Any]:
        """This process's share of the training batches."""

    @abstractmethod
    def exam(self, model: Model, *, workers: int, tested: bool, alone: bool) -> Exam:
        """A part to report on (``tested``) or to select weights on; with ``alone``, all of it."""

    @abstractmethod
    def keep_apart(self) -> None:
        """Select weights on other images than those that are reported on, from now on.

        If the data has no part of its own for that, a share of the training images is taken, which
        is no longer trained on. Raises InputError if there are too few.
        """

    @abstractmethod
    def train_on_share(self, share: float) -> None:
        """Train on this share of the training images from now on, chosen by their names."""

    def targets(self, model: nn.Module) -> Callable[[Any], Any]:
        """A function from a batch on the device to the targets of the network."""
        return lambda batch: batch["targets"]

    def monitor(self, exam: Exam) -> str | None:
        """Metric by which weights are selected; None keeps those of the last evaluation."""
        return self.application.metric.name

    def task(self, model: Model, exam: Exam, target_source: TargetSource | None) -> NetworkTask:
        """The Lightning module of the training."""
        config: Any = self.config
        return self.trained_as(
            model,
            config.fit,
            config.common.seed,
            exam.evaluator,
            monitor=self.monitor(exam),
            targets=self.targets(model.network),  # type: ignore[arg-type]
            target_source=target_source,
        )

    def save(self, folder: Path) -> None:
        """Write what belongs into the run folder besides the configuration."""

    def after_fit(self, model: Model, folder: Path, device: str, workers: int) -> Notes:
        """Do what follows the training, with the kept weights; returns rows for the report."""
        return []

    def after_report(self, model: Model, folder: Path, score: Any) -> None:
        """Store results of the last evaluation."""


class Collector(ABC):
    """Collects the answers to images that are compared with each other, and summarises them.

    Attributes:
        empty: Message if there is no answer.
    """

    empty: ClassVar[str] = "none of the files could be read"

    def __init__(self, args: Predict, model: Model, device: str) -> None:
        self.args, self.model, self.device = args, model, device

    def prepare(self, path: Path, image: Image) -> Image | str:
        """The part of an image that is processed; or why it cannot be."""
        return image

    @abstractmethod
    def add(self, name: str, image: Image, answer: Any) -> None:
        """Add the answer to an image."""

    def answer_others(self, predictor: Predictor) -> list[str]:
        """Process images that the others are compared with; returns a message per failure."""
        return []

    @abstractmethod
    def finish(self, folder: Path, files: dict[Path, Path]) -> tuple[dict[str, Any], str]:
        """Content of predictions.json, and the result as text; drawings go to ``files``."""


@dataclass(frozen=True)
class Recipe(Generic[Config]):
    """What an application adds to the flows.

    Attributes:
        name: Name of the recipe; that of its application if the application has only one.
        application: Application of the recipe.
        config: Configuration of a training, by which programs choose the recipe.
        built_in: Data to train on if none is given.
        sketch: Function from an architecture to a network with fresh weights and an answer of the
            smallest size, which shows whether it can be built.
        open: Function that opens and examines the data of a training.
        open_further: The same for a head whose tensors are stored, if they determine the classes.
        head: Name as a head on a common trunk; by default that of its application.
        exam: Function from flags, path and model to labelled data for evaluation.
        measures: Metrics by which the runs of a grid are compared: the first that all of them
            have.
        labelled: Like ``exam``, for data that nothing was trained on: all of it where data of one
            part would be split; None if that makes no difference.
        presets: Function from a kind of network, one of the application's ``variants``, to the
            presets of its training.
        importer: Reader of weights of other frameworks, if any can be read.
        collector: Class that collects the answers of a prediction, if images are compared.
    """

    name: str
    application: PhotoApplication[Any]
    config: type[Config]
    built_in: BuiltIn
    sketch: Callable[[Any], nn.Module]
    open: Callable[[Config, Path], OpenedRun[Any]]
    exam: Callable[[Evaluate, Path, Model], Exam]
    measures: Sequence[Metric]
    presets: Callable[[str], Presets[Any]]
    labelled: Callable[[Evaluate, Path, Model], Exam] | None = None
    importer: Importer | None = None
    collector: type[Collector] | None = None
    open_further: Callable[[Config, Path, Mapping[str, Tensor]], OpenedRun[Any]] | None = None
    head: str = ""


def recipe_for(
    application: Application, recipes: Sequence[Recipe[Any]], path: Path
) -> Recipe[Any]:
    """The recipe of an application, the first of several. Raises InputError if there is none."""
    for recipe in recipes:
        if recipe.application.name == application.name:
            return recipe
    known = ", ".join(recipe.name for recipe in recipes)
    raise InputError(f"{path}: there is no recipe for {application.name}; there are {known}")
