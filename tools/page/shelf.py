"""The models that the page offers: found, described, opened on first use, a few kept open."""

from __future__ import annotations

import contextlib
import threading
from collections import OrderedDict
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from configs.demo import Demo
from datasets.errors import InputError
from tasks.application import PhotoApplication
from tasks.applications import photo_application
from tasks.find_model import head_file
from tasks.open_model import open_model
from tasks.runtime.open import is_export, read_card
from tasks.runtime.runtimes import runtime_of
from tasks.weights.card import Card
from tasks.weights.names import WEIGHTS_NAME
from tools import cli
from tools.flows.answerer import Answerer, Refusal
from tools.flows.recipe import Recipe

RUNS = Path("runs")
# Number of models in memory at once.
_KEPT = 8


class Offer(NamedTuple):
    """A model that the page offers; ``head`` answers for an export of several heads."""

    path: Path
    card: Card
    head: str | None = None

    @property
    def application(self) -> PhotoApplication[Any]:
        """Application of the model."""
        return photo_application(self.card.task, self.path)

    @property
    def name(self) -> str:
        """Name in the page's list."""
        return str(self.path) if self.head is None else f"{self.path}, {self.head}"


class Shelf:
    """Models by number, as the page lists them. Raises InputError if one cannot be used."""

    def __init__(self, config: Demo, device: str, recipes: Sequence[Recipe[Any]]) -> None:
        self._config, self._device, self._recipes = config, device, recipes
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
        """The page's description of each model."""
        return [
            {
                "name": offer.name,
                "task": offer.application.title,
                "about": _about(offer),
                "note": offer.application.use_note,
                "photos": self.photos_for(number),
            }
            for number, offer in enumerate(self._models)
        ]

    def photos_for(self, number: int) -> int:
        """Number of images that a model needs for an answer: two if they are compared."""
        compares = self._models[number].application.compares
        return 2 if compares and self._config.gallery is None else 1

    def open(self, number: int) -> Answerer:
        """A model ready to answer. Raises InputError if it cannot be used."""
        with self._lock:
            if number not in self._open:
                answerer = self._make_answerer(self._models[number])
                blank = np.zeros((64, 64, 3), np.uint8)
                with contextlib.suppress(Refusal):  # It shows no face.
                    answerer.look([blank] * self.photos_for(number))  # The first time is slow.
                self._open[number] = answerer
                if len(self._open) > _KEPT:
                    self._open.popitem(last=False)
            self._open.move_to_end(number)
            return self._open[number]

    def _make_answerer(self, offer: Offer) -> Answerer:
        """The answerer of its recipe, or one that processes each image separately."""
        config = self._config
        threads = config.common.threads or None
        model = open_model(offer.path, config.options, threads=threads, head=offer.head)
        for recipe in self._recipes:
            if recipe.application.name == model.application.name and recipe.page_answerer:
                return recipe.page_answerer(model, config, self._device)
        predictor = model.predictor(self._device)
        reply = predictor.answers.reply
        return Answerer(predictor, lambda images, found: reply(images[0], found[0]))


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
