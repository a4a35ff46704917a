"""A model in three lines of Python, whatever its application and kind of file.

::

    from tasks import load

    model = load("runs/mine")
    answer = model("image.jpg")

Nothing here imports torch: an export answers without it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import count, islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar, overload

from backbone.formats.hub import fetch_hub
from datasets.errors import InputError
from tasks.application import ImageAnswer, PhotoApplication
from tasks.applications import APPLICATIONS
from tasks.find_model import file_of_head, find_model
from tasks.given_image import KINDS, GivenImage, is_image
from tasks.open_model import open_any
from tasks.predictor import Model
from tasks.weights.card import Card
from tasks.weights.names import WEIGHTS_NAME

if TYPE_CHECKING:
    from tasks.given_image import OneImage

One = TypeVar("One")


class LoadedModel:
    """A model that answers for images of every kind; :func:`load` opens one.

    Attributes:
        model: What was opened: application, card, network or export.
        device: Where it computes.
        batch_size: Images per pass where several are given.
    """

    def __init__(self, model: Model, device: str, batch_size: int) -> None:
        self.model, self.device, self.batch_size = model, device, batch_size
        self._predictor = model.predictor(device)

    @property
    def task(self) -> str:
        """Name of its application."""
        return self.model.application.name

    @property
    def path(self) -> Path:
        """Run folder or file that it came from."""
        return self.model.path

    @property
    def card(self) -> Card:
        """What the file states: architecture, input, classes, metrics, source."""
        return self.model.card

    @property
    def names(self) -> tuple[str, ...]:
        """Names of its classes, attributes or cells, in the order of its outputs."""
        return tuple(self.card.classes.names)

    @property
    def use_note(self) -> str:
        """What its answers must not be used for; empty if nothing needs saying."""
        return self.model.application.use_note

    def __repr__(self) -> str:
        return f"<{self.task} model of {self.path} on {self.device}>"

    # What an answer is called differs by application, and is known once the file is read.
    @overload
    def __call__(self, images: OneImage) -> Any: ...
    @overload
    def __call__(self, images: Sequence[Any]) -> list[Any]: ...
    @overload
    def __call__(self, images: Iterator[Any]) -> Iterator[Any]: ...
    @overload
    def __call__(self, images: Any) -> Any: ...

    def __call__(self, images: Any) -> Any:
        """Answer for one image or for several.

        Args:
            images: A path, the bytes of an image file, a PIL image, an array (H, W, 3) uint8 RGB
                or a tensor (3, H, W) RGB, uint8 or float in 0..1; or a list or iterator of these.
                Arrays of OpenCV are BGR: pass ``image[..., ::-1]``.

        Returns:
            For one image its answer (:class:`tasks.application.ImageAnswer` with the names of the
            application); for a list or tuple a list; for an iterator an iterator, which reads a
            batch only when its answers are asked for, so that memory does not grow with it.

        Raises:
            InputError: If an image cannot be read or is of the wrong kind; it is named.
        """
        if is_image(images):
            return self._answer([GivenImage(images)])[0]
        if isinstance(images, list | tuple):
            return list(self._answers(images))
        if isinstance(images, Iterable) and not isinstance(images, dict):
            return self._answers(images)
        raise InputError(f"{type(images).__name__}: no image; pass {KINDS}, or a list of these")

    def _answers(self, images: Iterable[Any]) -> Iterator[ImageAnswer[Any]]:
        numbered = zip(count(), images)
        for batch in _batches(numbered, self.batch_size):
            for number, one in batch:
                if not is_image(one):
                    raise InputError(
                        f"image {number}: is a {type(one).__name__}, and no image; pass {KINDS}"
                    )
            yield from self._answer([GivenImage(one, f"image {k}") for k, one in batch])

    def _answer(self, images: Sequence[GivenImage]) -> list[ImageAnswer[Any]]:
        outputs = self._predictor.outputs([image.pixels() for image in images])
        answer, answers = self.model.application.answer, self._predictor.answers
        return [
            answer(answers, one, image.pixels) for image, one in zip(images, outputs, strict=True)
        ]


def load(
    path: Path | str,
    *options: object,
    head: str | None = None,
    device: str = "auto",
    threads: int | None = None,
    batch_size: int = 8,
    labels: Path | str | None = None,
    hub: bool = False,
) -> LoadedModel:
    """Open a model of any application.

    Args:
        path: Run folder, weights file, head, or export of any kind (ONNX, OpenVINO, LiteRT,
            ExecuTorch, Core ML); TensorFlow's own .tflite file; or a folder in which one of these
            lies. With ``hub`` a model on the Hugging Face Hub, ``OWNER/NAME``.
        options: How answers are asked for, by default as on the page of tools/serve.py: such as
            ``DetectOptions(post=PostSpec(score_threshold=0.3))`` of :mod:`tasks.detection.spec`.
        head: The head that answers, where there are several on one trunk.
        device: ``auto``, ``cpu``, ``cuda``, ``cuda:1`` or ``mps``; exports compute on the CPU.
        threads: CPU threads of an export; None takes one per core.
        batch_size: Images per pass where several are given; 1 or more.
        labels: For TensorFlow's own .tflite file: text file with its classes, one per line.
        hub: Fetch the model, or take it from the hub client's cache. Nothing is fetched otherwise.

    Raises:
        InputError: If there is no model, or several; if it is damaged, answers for no images, or
            lacks its runtime; or if an argument does not fit it.
    """
    if batch_size < 1:
        raise InputError(f"batch_size={batch_size}: 1 or more are needed")
    file = _fetched(str(path)) if hub else find_model(Path(path))
    usual = [one.for_people for one in APPLICATIONS if isinstance(one, PhotoApplication)]
    given = [*options, *(one for one in usual if one is not None)]
    classes = None if labels is None else Path(labels)
    try:
        file, head = file_of_head(file, head, "head=")
        model = open_any(file, given, threads=threads, head=head, labels=classes)
        _refuse_idle(model, options, threads)
        return LoadedModel(model, _device(model, device), batch_size)
    except ModuleNotFoundError as error:  # Where only what exports need is installed.
        if error.name not in ("torch", "safetensors"):
            raise
        raise InputError(
            f"{file}: needs PyTorch to run: pip install 'mobilenet-suite[train]', or name an "
            "export of it"
        ) from error


def _fetched(name: str) -> Path:
    if Path(name).exists():
        raise InputError(f"{name}: lies on this machine; leave out hub=True")
    return fetch_hub(name, (WEIGHTS_NAME,)) / WEIGHTS_NAME


def _refuse_idle(model: Model, options: Sequence[object], threads: int | None) -> None:
    """See that everything asked for has a meaning for a model. Raises InputError if not."""
    application = model.application
    for one in options:
        if not isinstance(one, application.options):
            raise InputError(
                f"{type(one).__name__}: {model.path} is for {application.name}, whose options are "
                f"{application.options.__name__}"
            )
    if model.export is None and threads is not None:
        raise InputError(
            f"threads={threads}: {model.path} is no export; call torch.set_num_threads({threads})"
        )
    for name, reason in application.fixed.items() if model.export is not None else ():
        if getattr(model.options, name) != getattr(application.options(), name):
            raise InputError(f"{name}={getattr(model.options, name)}: not for {reason}")


def _device(model: Model, device: str) -> str:
    if model.place("") == "cpu":
        if device not in ("auto", "cpu"):
            raise InputError(f"device={device!r}: {model.path} is run on the CPU")
        return "cpu"
    from tasks.fitting.devices import choose_device

    return choose_device(device)


def _batches(rows: Iterable[One], size: int) -> Iterator[list[One]]:
    rows = iter(rows)
    while batch := list(islice(rows, size)):
        yield batch
