"""What an application adds to the flows: the record of its recipe, and what it opens.

The flows of training, evaluation and prediction ask a :class:`Recipe`; they know no application.
"""

from __future__ import annotations

import os
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Generic, TypeVar

from torch import Tensor, nn

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

if TYPE_CHECKING:
    from configs.demo import Demo
    from tools.flows.answerer import Answerer

Config = TypeVar("Config")
Data = TypeVar("Data")
Scores = TypeVar("Scores")
Notes = list[tuple[str, str]]
BUILT_IN = Path("data")
# Images whose answers are told in the terminal.
_SHOWN = 20


@dataclass(frozen=True)
class BuiltIn:
    """Data that the suite draws itself.

    Attributes:
        name: What it is, and the beginning of its folder's name: ``shapes``.
        about: The same in a sentence: ``built-in shapes``.
        draw: Draws it in a folder from a seed, unless it is there already.
        stamp: File that is there when it is whole.
    """

    name: str
    about: str
    draw: Callable[..., Path]
    stamp: str

    def or_given(self, path: Path | None, seed: int) -> Path:
        """The user's data; or this."""
        if path is not None:
            return path
        cli.say(f"no --data given: using {self.about} ({self._folder(seed)})")
        return self.drawn(seed)

    def drawn(self, seed: int) -> Path:
        """This, drawn by the first process of each machine while the others wait."""
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
    """A labelled part (``image(index)``, length), loaded in order, and its evaluator."""

    data: Data
    loader: Any
    evaluator: Scores


@dataclass(frozen=True)
class Loading:
    """How a part that is scored is read: ``alone`` by this process, else a share by each."""

    batch_size: int
    workers: int
    cache: bool = False
    alone: bool = False


def loading_for(args: Evaluate) -> Loading:
    """How an evaluation with these flags reads its data."""
    return Loading(args.batch_size, cli.choose_workers(args.workers))


class Exam(ABC):
    """A labelled part, ready to be scored.

    Attributes:
        data: Data of ``ready``, as are ``loader`` and ``evaluator``.
        image_ids: What the evaluator calls the images, by index; None where it is the index.
        warning: What a reader of the figures must know first, if anything.
        title: What was measured, behind the name of the data: ``, val``.
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
        """Name of each image, for the report."""
        return [Path(file).name for file in self.data.files]

    @abstractmethod
    def facts(self, model: Model) -> Notes:
        """Rows of the report that say what was measured on what."""

    def write(self, folder: Path, evaluator: Any, score: Any) -> None:
        """Write what was answered to every image."""
        evaluator.write(folder, [str(file) for file in self.data.files])

    @abstractmethod
    def report(self, model: Model, evaluator: Any, score: Any, device: str) -> Report:
        """What the report shows of a score."""

    @abstractmethod
    def text(self, score: Any, cost: str) -> str:
        """The score for people."""


class OpenedRun(ABC, Generic[Config]):
    """The examined data of a training, and all that is made from them.

    Attributes:
        application: What it is for.
        trained_as: How Lightning trains its networks.
        training_only: Beginnings of the names of tensors that stay out of the weights file.
        few_photos: Fewer images to train on teach little from scratch; 0 where none are too few.
        least_steps: Fewest steps of a training from scratch on fewer.
        measured_on_few: What came of one.
        train: Images to train on; it has a length.
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
        """What names a teacher, if one is named."""
        distill: DistillSpec | None = getattr(self.config, "distill", None)
        return distill if distill is not None and distill.is_on else None

    @property
    @abstractmethod
    def subject(self) -> str:
        """What it is trained on, in a few words."""

    @property
    def title(self) -> str:
        """Title of the report."""
        config: Any = self.config
        return f"{config.model.backbone} on {self.path.name}"

    @property
    def notes(self) -> Notes:
        """Rows for the report on what was found in the data."""
        return []

    def options(self) -> tuple[object, ...]:
        """How answers are asked for in evaluations of the run."""
        return ()

    def target_source(self, device: str) -> TargetSource | None:
        """What is learnt from besides labels. Raises InputError on a teacher that it ignores."""
        if (distill := self.teacher) is not None:
            raise InputError(
                f"--teacher {distill.teacher or distill.targets}: the training of "
                f"{self.application.name} learns from labels alone; leave it out"
            )
        return None

    def prepare(self, folder: Path, device: str, watch: Stopwatch) -> Notes:
        """Do what comes before the training proper; rows for the report."""
        return []

    def resumes(self, folder: Path) -> bool:
        """Whether the training goes on from the folder's checkpoint."""
        config: Any = self.config
        return config.resume is not None

    @abstractmethod
    def build(self, target_source: TargetSource | None) -> tuple[nn.Module, Card]:
        """The network to train, and the card of what it will be."""

    @abstractmethod
    def training_loader(self, workers: int) -> Resumable[Any]:
        """This process's share of the training batches."""

    @abstractmethod
    def exam(self, model: Model, *, workers: int, tested: bool, alone: bool) -> Exam:
        """A part to report on (``tested``) or choose weights by; ``alone``, all of it."""

    def targets(self, model: nn.Module) -> Callable[[Any], Any]:
        """From a batch on the device to what the network learns from it."""
        return lambda batch: batch["targets"]

    def monitor(self, exam: Exam) -> str | None:
        """Metric by which weights are chosen; None keeps those of the last evaluation."""
        return self.application.metric.name

    def task(self, model: Model, exam: Exam, target_source: TargetSource | None) -> NetworkTask:
        """What Lightning trains."""
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
        """Do what follows the training, with the weights that it kept; rows for the report."""
        return []

    def after_report(self, model: Model, folder: Path, score: Any) -> None:
        """Keep what the last evaluation has told."""


class Collector(ABC):
    """Gathers the answers to images, of ``videos`` to frames, and says what was found.

    It ``draws`` each as soon as it is known, and says ``empty`` where there is none.
    """

    draws: ClassVar[bool] = True
    videos: ClassVar[bool] = False
    empty: ClassVar[str] = "none of the files could be read"

    def __init__(self, args: Predict, model: Model, device: str) -> None:
        self.args, self.model, self.device = args, model, device

    def prepare(self, path: Path, image: Image) -> Image | str:
        """What of an image is looked at; or why it cannot be."""
        return image

    @abstractmethod
    def add(self, name: str, image: Image, answer: Any) -> None:
        """Take up the answer to an image or frame."""

    def answer_others(self, predictor: Predictor) -> list[str]:
        """Answer for images that the others are compared with; a message for each that failed."""
        return []

    @abstractmethod
    def finish(self, folder: Path, files: dict[Path, Path]) -> tuple[dict[str, Any], str]:
        """What predictions.json holds, and the same for people; drawings go to ``files``."""


class PhotoRows(Collector):
    """One row for each image, as its application tells it."""

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self._answers = self.model.answers
        self._rows: list[dict[str, Any]] = []
        self._lines: list[str] = []

    def add(self, name: str, image: Image, answer: Any) -> None:
        """Take up the answer to an image."""
        self._rows.append(self._row(name, image, answer))
        if len(self._lines) < _SHOWN:
            self._lines.append(f"  {name}: {self._answers.line(answer)}")

    def _row(self, name: str, image: Image, answer: Any) -> dict[str, Any]:
        return {"file": name, **self._answers.to_json(answer)}

    def _told(self, total: str) -> str:
        """A line for each of the first images, and the sum."""
        more = len(self._rows) - len(self._lines)
        return "\n".join([*self._lines, *([f"  ... and {more} more"] if more else []), total])

    def finish(self, folder: Path, files: dict[Path, Path]) -> tuple[dict[str, Any], str]:
        """Rows, and lines."""
        return {"photos": self._rows}, self._told(f"{len(self._rows)} photos: {folder}")


@dataclass(frozen=True)
class Recipe(Generic[Config]):
    """What an application adds to the flows.

    Attributes:
        name: Name of the recipe; that of its application if the application has only one.
        application: What it is for.
        config: Configuration of a training, by which programs choose the recipe.
        built_in: What it trains on where no data are named.
        sketch: Function from an architecture to a network with fresh weights and an answer of the
            smallest size, which shows whether it can be built.
        open: Opens and examines the data of a training.
        open_further: The same for a head whose tensors are stored, where they decide what the
            classes are.
        head: What it is called as a head on a common trunk; else as its application is.
        exam: Opens labelled data to measure a model on: from flags, path and model.
        collector: Gathers the answers of a prediction.
        measures: What the runs of a grid are compared by: the first that all of them have.
        labelled: The same, of data that nothing was trained on: all of it where a set of one part
            would give up some; None where that makes no difference.
        importer: Reads weights of other frameworks, if any can be read.
        page_answerer: Function from model, flags of the page and device to the page's answerer, if
            an answer concerns more than one image.
    """

    name: str
    application: PhotoApplication[Any]
    config: type[Config]
    built_in: BuiltIn
    sketch: Callable[[Any], nn.Module]
    open: Callable[[Config, Path], OpenedRun[Any]]
    exam: Callable[[Evaluate, Path, Model], Exam]
    collector: type[Collector]
    measures: Sequence[Metric]
    labelled: Callable[[Evaluate, Path, Model], Exam] | None = None
    importer: Importer | None = None
    page_answerer: Callable[[Model, Demo, str], Answerer] | None = None
    open_further: Callable[[Config, Path, Mapping[str, Tensor]], OpenedRun[Any]] | None = None
    head: str = ""


def recipe_for(
    application: Application, recipes: Sequence[Recipe[Any]], path: Path
) -> Recipe[Any]:
    """The recipe of an application: of several the first. Raises InputError if there is none."""
    for recipe in recipes:
        if recipe.application.name == application.name:
            return recipe
    known = ", ".join(recipe.name for recipe in recipes)
    raise InputError(f"{path}: there is no recipe for {application.name}; there are {known}")
