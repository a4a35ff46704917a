"""The models that are offered: found, described, opened on first use, a few kept open."""

from __future__ import annotations

import contextlib
import threading
from collections import OrderedDict
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from configs.serve import Serve
from datasets.errors import InputError
from datasets.names import shown
from tasks.application import PhotoApplication
from tasks.applications import photo_application
from tasks.find_model import head_file
from tasks.open_model import open_model
from tasks.predictor import Model
from tasks.runtime.open import is_export, read_card
from tasks.runtime.runtimes import runtime_of
from tasks.weights.card import Card
from tasks.weights.names import WEIGHTS_NAME
from tools import cli
from tools.flows.answerer import Answerer, Refusal, Together
from tools.service.answerers import ANSWERERS

RUNS = Path("runs")
# Number of models in memory at once.
_KEPT = 8


class Offer(NamedTuple):
    """A model that is offered; ``head`` answers for an export of several heads."""

    path: Path
    card: Card
    head: str | None = None

    @property
    def application(self) -> PhotoApplication[Any]:
        """Application of the model."""
        return photo_application(self.card.task, self.path)

    @property
    def name(self) -> str:
        """Name in the list of models."""
        return shown(self.path if self.head is None else f"{self.path}, {self.head}")


class Shelf:
    """Models by number, in the order of the list. Raises InputError if one cannot be used."""

    def __init__(self, config: Serve) -> None:
        self._config, self._device = config, ""
        self._models = _named(config.models) if config.models else _found(RUNS)
        self._open: OrderedDict[int, Answerer] = OrderedDict()
        self._lock = threading.Lock()
        # So the first answer is fast, and a mistake in the given paths shows at once.
        if config.models:
            for number in range(min(len(self._models), _KEPT)):
                self.open(number)
        else:
            self._open_newest()

    def __len__(self) -> int:
        """Number of models."""
        return len(self._models)

    def _open_newest(self) -> None:
        """Open the first model that was found; models that cannot be opened are left out."""
        while True:
            try:
                self.open(0)
            except ValueError as error:
                cli.say(f"warning: left out: {error}")
                if len(self._models) == 1:
                    raise
                del self._models[0]
            else:
                return

    def describe(self) -> list[dict[str, Any]]:
        """The description of each model, for programs and for the page."""
        return [
            {
                "name": offer.name,
                "application": offer.application.name,
                "task": offer.application.title,
                "about": _about(offer),
                "note": offer.application.use_note,
                "images": self.images_for(number),
                "classes": _classes(offer),
            }
            for number, offer in enumerate(self._models)
        ]

    def find(self, name: str | None) -> int:
        """Number of a model that is given by name or number; without either the first.

        Raises:
            Refusal: If there is none.
        """
        if name is None:
            return 0
        for number, offer in enumerate(self._models):
            if name in (offer.name, str(number)):
                return number
        raise Refusal(400, f"there is no model {name[:200]!r}: GET /v1/models lists them")

    @property
    def applications(self) -> tuple[PhotoApplication[Any], ...]:
        """Applications of the models, each once."""
        found = {offer.application.name: offer.application for offer in self._models}
        return tuple(found.values())

    def offer(self, number: int) -> Offer:
        """A model by number."""
        return self._models[number]

    def images_for(self, number: int) -> int:
        """Number of images that a model needs to show an answer: two if they are compared."""
        compares = self._models[number].application.compares
        return 2 if compares and self._config.gallery is None else 1

    def open(self, number: int) -> Answerer:
        """A model ready to answer. Raises InputError if it cannot be used."""
        with self._lock:
            if number not in self._open:
                answerer = self._make_answerer(self._models[number])
                blank = np.zeros((64, 64, 3), np.uint8)
                with contextlib.suppress(Refusal):  # It shows no face.
                    answerer.look([blank] * self.images_for(number))  # The first time is slow.
                self._open[number] = answerer
                if len(self._open) > _KEPT:
                    self._open.popitem(last=False)
            self._open.move_to_end(number)
            return self._open[number]

    def holds(self, answerer: Answerer) -> bool:
        """Whether a model is still kept open."""
        return any(one is answerer for one in list(self._open.values()))

    def _make_answerer(self, offer: Offer) -> Answerer:
        """The answerer of its application, or one that processes each image separately."""
        config = self._config
        threads = config.common.threads or None
        try:
            model = open_model(offer.path, config.options, threads=threads, head=offer.head)
        except ModuleNotFoundError as error:  # Where only what exports need is installed.
            if error.name not in ("torch", "safetensors"):
                raise
            raise InputError(
                f"{offer.path}: needs PyTorch: pip install 'mobilenet-suite[train]', or serve an "
                "export"
            ) from error
        device = self._device_for(model)
        if (make := ANSWERERS.get(model.application.name)) is not None:
            return make(model, config, device)
        predictor = model.predictor(device)
        answers = predictor.answers
        return Answerer(
            predictor,
            lambda images, found: answers.reply(images[0], found[0]),
            answers.to_json,
            together=_together(model),
        )

    def _device_for(self, model: Model) -> str:
        """The device to compute on, which is chosen once a network needs one."""
        if model.place("") == "cpu":
            return "cpu"
        self._device = self._device or cli.prepare(self._config.common)
        return self._device


def _together(model: Model) -> Together:
    """What images must have in common to be computed together; None if they never are."""
    if model.export is None:
        return None if model.original else lambda _: None
    return None if model.export.single else lambda image: image.shape


def _classes(offer: Offer) -> list[dict[str, Any]]:
    """The classes by the ids that answers name them by; none for cells and the like."""
    classes = offer.card.classes
    if offer.application.noun != "classes":
        return []
    pairs = zip(classes.ids, classes.names, strict=True)
    return [{"id": one, "name": shown(name)} for one, name in pairs]


def _named(paths: tuple[Path, ...]) -> list[Offer]:
    """The given models; a folder without weights stands for all runs below it."""
    found: list[Offer] = []
    for path in paths:
        inside = _runs_below(path) if path.is_dir() else []
        files = [path] if (path / WEIGHTS_NAME).exists() or not inside else inside
        found += [offer for file in files for offer in _offers(file)]
    return found


def _offers(path: Path) -> list[Offer]:
    """The models in a path: itself, or each head. Raises InputError if it cannot be used."""
    card = read_card(path)
    if "heads" in card.model:  # Several, on one trunk.
        heads = card.model["heads"]
        if is_export(path):
            return [Offer(path, Card.from_json(heads[name]), name) for name in heads]
        files = [head_file(path, name) for name in heads]
        return [Offer(file, read_card(file)) for file in files]
    photo_application(card.task, path)
    return [Offer(path, card)]


def _found(folder: Path) -> list[Offer]:
    """All usable runs below a folder, the newest first."""
    found: list[Offer] = []
    for path in _runs_below(folder):
        try:
            found += _offers(path)
        except ValueError as error:
            cli.say(f"warning: left out: {error}")
    if not found:
        raise InputError(
            f"no model named, and none below {folder}/: train one on built-in images with "
            "tools/train_det.py (6 minutes on two cores), tools/train_geo.py or "
            "tools/train_embed.py (2 minutes), or name a run folder or weights file"
        )
    return found


def _runs_below(folder: Path) -> list[Path]:
    """Run folders and exports, the newest first."""
    files = [*folder.rglob(WEIGHTS_NAME), *(f for f in folder.rglob("*") if _may_be_export(f))]
    # Unfinished files are in hidden folders.
    files = [f for f in files if not any(p.startswith(".") for p in f.relative_to(folder).parts)]
    files.sort(key=lambda f: (-f.stat().st_mtime, str(f)))
    return [file.parent if file.name == WEIGHTS_NAME else file for file in files]


def _may_be_export(file: Path) -> bool:
    """Whether a file may be an export; of .xml files only those with a .bin beside them."""
    runtime = runtime_of(file)
    return (
        runtime is not None
        and all(part.exists() for part in runtime.files(file))
        and runtime.is_ours(file)
    )


def _about(offer: Offer) -> str:
    """Width, input and number of answers, as far as the card states them."""
    card = offer.card
    model = card.model
    body = model.get("backbone", "mobilenet_v1")
    parts = [body if body != "mobilenet_v1" else f"MobileNet {model.get('alpha', 1):g}"]
    if model.get("framework"):
        parts.insert(0, {"ssd300": "SSD"}.get(model["framework"], "Faster R-CNN"))
    parts.append(f"{card.flavour.input.size} pixels")
    if len(card.classes):
        parts.append(f"{len(card.classes)} {offer.application.noun}")
    return ", ".join(parts)
