"""The record that defines an application; every command, page and export uses it.

Training, evaluation, prediction, export, 8-bit networks, the page, the model card, the chooser and
the benchmark are written once, over these records; none of them knows the name of an application.
An image passes through these steps::

    image --view--> square --run--> raw outputs --decode--> named outputs --Answers--> the user

Up to the named outputs an exported file does the same in its own runtime, with the same
``decode``; so thresholds, floors and orders are the same everywhere. Nothing here imports torch:
an export answers without it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from importlib import import_module
from typing import TYPE_CHECKING, Any, Generic, Literal, NamedTuple, Protocol, TypeAlias, TypeVar

from datasets.errors import InputError
from tasks.export.compare import Limits, share_limits
from tasks.plain_rows import one_row

if TYPE_CHECKING:
    from pathlib import Path

    import PIL.Image
    from torch import Tensor, nn

    from backbone.cost import Cost
    from datasets.images import Image
    from tasks.photo_view import View
    from tasks.runtime.session import Answer as Outputs
    from tasks.weights.card import Card

Options = TypeVar("Options")
Answer = TypeVar("Answer")
Facts = Mapping[str, Any]
# From named outputs, number and (width, height) of a frame to its answer.
Tracker: TypeAlias = "Callable[[Outputs, int, tuple[int, int]], Any]"


class Column(NamedTuple):
    """A column of the table that the page shows.

    Its values are shown as text, as percent with a bar, or rounded.
    """

    title: str
    kind: Literal["text", "share", "number"] = "text"


class Reply(NamedTuple):
    """An answer in the form that users see.

    Attributes:
        picture: Drawn image (H, W, 3) RGB.
        summary: The answer in a few words.
        detail: Additional information; together with the summary it replaces the image where that
            cannot be seen.
        columns: Columns of the table.
        rows: Rows of the table, the most important first, with a value for each column.
    """

    picture: Image
    summary: str
    detail: str
    columns: tuple[Column, ...]
    rows: list[tuple[str | float, ...]]


class Answers(Protocol[Answer]):
    """Presents the named outputs of one model to users and to programs."""

    def read(self, outputs: Outputs) -> Answer:
        """The answer to one image."""

    def draw(self, image: Image, answer: Answer) -> Image:
        """The image (H, W, 3) RGB with the answer drawn on it or beside it."""

    def to_json(self, answer: Answer) -> dict[str, Any]:
        """The answer as plain data for programs."""

    def line(self, answer: Answer) -> str:
        """The answer in a line of text."""

    def reply(self, image: Image, answer: Answer) -> Reply:
        """The answer as the page shows it."""


class ImageAnswer(Generic[Answer]):
    """The answer to one image for programs. Each application names the parts of its own.

    Args:
        answers: Turns the model's outputs into answers.
        outputs: Named outputs for the image.
        pixels: Function that returns the image (H, W, 3) RGB to draw on; it is read when called.

    Attributes:
        outputs: The named outputs, as :attr:`PhotoApplication.outputs` describes them.
        value: What the application read from them, in its own form.
    """

    answers: Answers[Answer]

    def __init__(
        self, answers: Answers[Answer], outputs: Outputs, pixels: Callable[[], Image]
    ) -> None:
        self.answers, self.outputs, self._pixels = answers, outputs, pixels
        self.value = answers.read(outputs)

    def draw(self) -> PIL.Image.Image:
        """A copy of the image with the answer drawn on it or beside it.

        Raises:
            InputError: If it came as a path, and the file is no longer there.
        """
        import PIL.Image

        return PIL.Image.fromarray(self.answers.draw(self._pixels(), self.value))

    def to_dict(self) -> dict[str, Any]:
        """Plain numbers and strings, ready for JSON: the same as predict.py writes."""
        return self.answers.to_json(self.value)

    def __str__(self) -> str:
        return self.answers.line(self.value)

    def __repr__(self) -> str:
        return f"<{type(self).__name__}: {self}>"


class Evaluator(Protocol):
    """Collects the named outputs of images, batch by batch, and computes metrics."""

    def fresh(self) -> Evaluator:
        """An empty evaluator of the same data."""

    def update(self, image_ids: Sequence[int], outputs: Sequence[Outputs]) -> None:
        """Add the outputs of some images; an image that was added before is ignored."""

    def gather(self) -> None:
        """Collect the outputs of all processes on each process."""

    def compute(self) -> Any:
        """The score: a mapping whose ``metrics`` holds the metrics by name."""


class Metric(NamedTuple):
    """The metric by which networks of an application are compared; higher is better.

    It is one of a score's metrics, where ``_low`` and ``_high`` may give its interval; ``best`` is
    its largest possible value.
    """

    name: str
    title: str
    best: float = 1.0


class Halves(NamedTuple):
    """The two steps of a network's ``run``, for timing.

    The first goes from squares to the outputs of the layers, the second on to raw outputs. The
    note states which part of the second is done within the first, if any.
    """

    layers: Callable[[Tensor], Any]
    rest: Callable[[Any], Any]
    note: str = ""


class TensorflowForm(NamedTuple):
    """How a network is exported in the form of TensorFlow's own detectors.

    Attributes:
        end: Operator that its raw outputs end in:
            :class:`tasks.export.litert.detection_postprocess.PostProcess`.
        graph: Graph like :class:`tasks.square_graph.SquareGraph`; its ``inner`` are these outputs.
        reference: The network, answering by that operator's rules, to compare the file with.
    """

    end: Any
    graph: Callable[[PhotoApplication[Any], nn.Module, Card], Any]
    reference: nn.Module


class Bare(NamedTuple):
    """The raw outputs of a network.

    Attributes:
        outputs: Description of each raw output and of how it becomes an answer, by name, in order.
        facts: Numbers that the decoding needs, as plain data.
    """

    outputs: Mapping[str, str]
    facts: Mapping[str, Any]


@dataclass(frozen=True)
class Network(Generic[Options]):
    """What an application knows about its networks; it imports torch, so it is loaded last.

    Attributes:
        build: Function from the card and tensors of a file, its path and options to the network,
            with fresh weights, and the card, which options may change. Raises
            :class:`~datasets.errors.InputError` if the card is incomplete.
        view: How an image becomes the network's square.
        run: Function from network and square images (B, 3, S, S), RGB 0..255, to raw outputs.
        decode: Function from network, card, raw outputs and frame to named outputs, each with a
            row per image. The frame is (width, height, width, height) of the images in pixels, in
            a shape that broadcasts to boxes (B, K, 4); None if a batch does not state it.
        facts: Function from a network to the facts that are stored in an export beside its card.
        cost: Function from card, facts and path to the cost of one image, without any weights.
        bare: Function from network and card to a description of its raw outputs. Raises
            :class:`~datasets.errors.InputError` if it is not a single network from input to
            outputs.
        example: Function from width multiplier, side and variant to a network of the paper's size
            with fresh weights, and its card: for timing it is as good as a trained one.
        halves: Function from a network to the two steps of ``run``; None if nothing follows the
            layers.
        tensorflow_form: Function from a network to its export in TensorFlow's form; None if there
            is only the plain form. Raises :class:`~datasets.errors.InputError` if this network has
            no such form.
    """

    build: Callable[[Card, Mapping[str, Tensor], Path, Options], tuple[Any, Card]]
    view: View
    run: Callable[[Any, Tensor], Any]
    decode: Callable[[Any, Card, Any, Tensor | None], dict[str, Tensor]]
    facts: Callable[[Any], dict[str, Any]]
    cost: Callable[[Card, Facts, Path], Cost]
    bare: Callable[[Any, Card], Bare]
    example: Callable[[float, int, str], tuple[nn.Module, Card]]
    halves: Callable[[Any], Halves] | None = None
    tensorflow_form: Callable[[Any], TensorflowForm] | None = None


@dataclass(frozen=True, kw_only=True)
class Application:
    """Any application, whether or not it answers for images.

    Attributes:
        name: Name in cards, configurations and commands.
        title: Title on the page.
        train_tool: Command that trains it, without ``tools/`` and ``.py``.
        starts: Commands that can start training from its weights, if these give no answers
            themselves.
    """

    name: str
    title: str
    train_tool: str
    starts: tuple[str, ...] = ()


@dataclass(frozen=True)
class NoOptions:
    """Options of an application whose answers can be computed in one way only."""


@dataclass(frozen=True)
class Original(Generic[Options]):
    """Files in another format that are run directly, in their own runtime on the CPU.

    Attributes:
        claims: Function that states whether a file of that suffix belongs to this application.
        open: Function from path, options and a file of class names (or None) to a substitute for a
            network of this application, and its card.
    """

    claims: Callable[[Path], bool]
    open: Callable[[Path, Options, Path | None], tuple[nn.Module, Card]]


@dataclass(frozen=True, kw_only=True)
class PhotoApplication(Application, Generic[Options]):
    """An application that answers for images.

    Attributes:
        options: Options for computing answers: a frozen dataclass whose fields are flags.
        outputs: Description of each named output, in order.
        network: Function that returns the record of its networks.
        answers: Function from card, facts, options and path (for messages) to the object that
            produces answers.
        answer: Class of the answer to each image that programs get, with names for its parts.
        schema: JSON Schema of an answer as plain data (:meth:`ImageAnswer.to_dict`).
        for_people: Options for answers that people look at, unless others are given; None if the
            defaults are used.
        metric: Main metric of an evaluation.
        compared_by: Metric by which the paper's networks and own runs are compared; its title is
            for percent.
        variants: Kinds of networks whose times and accuracies are compared, with sides of each in
            pixels; a kind without a name is the only one.
        meanings: Meaning of each metric of an evaluation.
        limits: Function from facts, and whether images are resized, to the largest permitted
            differences of an export.
        pipeline: The Hub's name for such tasks, by which it sorts models.
        noun: Name of the classes: ``classes``, ``attributes``, ``cells``.
        classes_note: Description of the classes if their names are meaningless to people.
        card_rows: Function from card and path to additional rows of the model card.
        predict_with: Additional arguments that predict.py is usually given: ``--gallery people/``.
        flags: Flags of evaluate.py, predict.py, export.py and the page that not all applications
            take and this one does.
        fixed: Options among them that an export refuses, each with the reason for the message.
        originals: Files in other formats that are run directly, by suffix.
        head: Name as a head on a common trunk; empty if it is none.
        use_note: What it must not be used for, if anything.
        compares: Whether an answer concerns several images, which are compared.
        objects: Function from an answer as plain data to its objects in COCO's form, each with
            ``category``, ``category_id`` and ``bbox``; None if answers have no boxes.
        rows: Function from an answer as plain data, and the names of the classes, to its rows of a
            table. All rows have the same columns.
        tiled: Function from a function that finds named outputs in images, the options of tiles,
            facts, and images per pass, to one that also looks at tiles of the images; None if
            answers to tiles cannot be joined.
        tracked: Function from the object that produces answers, and options, to a function from
            the frames per second that are used of a video, and the first number to give, to what
            answers for its frames one after another with objects that keep their numbers; None
            if answers have no objects.
    """

    outputs: Mapping[str, str]
    network: Callable[[], Network[Options]]
    answers: Callable[[Card, Facts, Options, Path], Answers[Any]]
    answer: type[ImageAnswer[Any]]
    metric: Metric
    compared_by: Metric
    meanings: Mapping[str, str]
    schema: Mapping[str, Any] = field(default_factory=lambda: {"type": "object"})
    variants: Mapping[str, tuple[int, ...]] = field(
        default_factory=lambda: {"": (224, 192, 160, 128)}
    )
    options: type[Options] = NoOptions  # type: ignore[assignment]
    for_people: Options | None = None
    limits: Callable[[Facts, bool], Limits] = share_limits
    pipeline: str = "image-classification"
    noun: str = "classes"
    classes_note: str = ""
    card_rows: Callable[[Card, Path], list[tuple[str, str]]] = lambda _card, _path: []
    predict_with: str = ""
    flags: tuple[str, ...] = ()
    fixed: Mapping[str, str] = field(default_factory=dict)
    originals: Mapping[str, Original[Options]] = field(default_factory=dict)
    head: str = ""
    use_note: str = ""
    compares: bool = False
    objects: Callable[[Mapping[str, Any]], list[dict[str, Any]]] | None = None
    rows: Callable[[Mapping[str, Any], Sequence[str]], list[dict[str, Any]]] = one_row
    tiled: Callable[[Any, Any, Facts, int], Any] | None = None
    tracked: Callable[[Any, Options], Callable[[float, int], Tracker]] | None = None

    def pick(self, given: Iterable[object]) -> Options:
        """This application's options among the given ones; its defaults if there are none."""
        for one in given:
            if isinstance(one, self.options):
                return one
        return self.options()


def network_of(module: str) -> Callable[[], Network[Any]]:
    """A function that imports a module, with torch, when called, and returns its ``NETWORK``."""
    return lambda: import_module(module).NETWORK


def refuse_other_size(card: Card, size: int, path: Path) -> None:
    """Check that a card's two input sizes agree. Raises InputError if they differ."""
    if card.flavour.input.size != size:
        raise InputError(
            f"{path}: the card says size {size} in the model, but {card.flavour.input.size} in "
            "the flavour"
        )
