"""Networks of every application, and several heads on one trunk, opened to be exported."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch

from backbone.cost import Cost
from configs.deploy import Export
from datasets.errors import InputError
from datasets.images import Image
from tasks.application import PhotoApplication, TensorflowForm
from tasks.applications import photo_application
from tasks.bare_graph import BareGraph
from tasks.export.compare import Limits, compare
from tasks.export.resize import Antialias
from tasks.multitask.bare_graph import MultiBare
from tasks.multitask.cost import pass_costs
from tasks.multitask.graph import MultiGraph
from tasks.multitask.load import load_multi
from tasks.multitask.model import MultiTaskNet
from tasks.multitask.spec import TASK as MULTITASK
from tasks.multitask.square_graph import MultiSquare
from tasks.open_model import open_model
from tasks.photo_graph import PhotoGraph
from tasks.predictor import network_outputs
from tasks.runtime.open import is_export, read_card
from tasks.runtime.session import FORMAT, Answer
from tasks.square_graph import SquareGraph
from tasks.weights.card import Card
from tasks.weights.names import HEADS_FOLDER
from tools import cli

# Share of the pixels by which two ways to round a resize differ, at most.
_NOISY = 0.05


def to_short_side(photo: Image, short: int) -> Image:
    """An image (H, W, 3) made so small that nothing is left to resize."""
    shape = (round(side * short / min(photo.shape[:2])) for side in photo.shape[:2])
    return np.asarray(cv2.resize(photo, tuple(shape)[::-1]), np.uint8)


@dataclass(frozen=True)
class Source:
    """A network to be exported, in evaluation mode, on the CPU; its card and file.

    Attributes:
        form: How its export ends, where that is TensorFlow's form.
    """

    model: Any
    card: Card
    file: Path
    form: TensorflowForm | None = None

    @property
    def application(self) -> PhotoApplication[Any]:
        """What it is for."""
        return photo_application(self.card.task, self.file)

    @property
    def task(self) -> str:
        """Its application's name."""
        return self.card.task

    @property
    def short_side(self) -> int | None:
        """Short side in pixels of images that are only cut, not resized; None if there is none."""
        return self.application.network().view.short_side(self.card)

    def limits(self, *, resized: bool) -> Limits:
        """What an export may differ by on images that are, or are not, of :attr:`short_side`."""
        return self.application.limits(self.facts(), resized)

    def facts(self) -> dict[str, Any]:
        """What a float export states about itself beside the card."""
        return {**common_facts(), **self.application.network().facts(self.model)}

    def cost(self) -> Cost:
        """Of one image, by the card."""
        return self.application.network().cost(self.card, self.facts(), self.file)

    def predict(self) -> Callable[[Sequence[Image]], list[Answer]]:
        """The suite's own way from images to named outputs."""
        return network_outputs(self.application, self.model, self.card, "cpu")

    def graph(self, antialias: Antialias = "operator") -> PhotoGraph:
        """The model as one graph; :mod:`tasks.export.resize` describes the forms of its resize."""
        return PhotoGraph(self.application, self.model, self.card, antialias=antialias)

    def bare(self) -> BareGraph:
        """The network alone. Raises InputError if it is not one from input to outputs."""
        return BareGraph(self.application, self.model, self.card)

    def square_graph(self) -> SquareGraph:
        """The model as one graph that takes a ready square."""
        graph = SquareGraph if self.form is None else self.form.graph
        found: SquareGraph = graph(self.application, self.model, self.card)
        return found

    def reference(self) -> Source:
        """What an export of its form is compared with: it, or it by other rules of suppression."""
        return self if self.form is None else replace(self, model=self.form.reference, form=None)

    def differences(
        self,
        photos: Sequence[Image],
        found: Sequence[Answer],
        *,
        resized: bool,
        ready: bool = False,
    ) -> dict[str, float]:
        """How far an export's answers are from the model's, by output.

        With ``ready`` it took squares, which are the model's own: nothing was resized in it.

        Raises:
            InputError: If one is too far, naming output, image and difference.
        """
        limits, wanted = self.limits(resized=resized and not ready), self.predict()(photos)
        try:
            return compare(photos, wanted, found, limits)
        except InputError:
            if self.short_side is None or not resized or ready:
                raise
            noise = self._unrest(photos)
            if noise <= limits.value:
                raise
        warnings.warn(
            f"{self.file}: its own answers change by {noise:.2g} where {_NOISY:.0%} of the pixels "
            "change by one level of 255, as those of networks do that were trained for a few "
            "steps: so much is allowed to its export on images that are resized",
            stacklevel=2,
        )
        return compare(photos, wanted, found, replace(limits, value=noise))

    def _unrest(self, photos: Sequence[Image]) -> float:
        """Largest change of the model's own answers under noise like that of rounding.

        Of an antialiased resize, two ways to round differ in a few pixels by one level.
        """
        assert self.short_side is not None
        rng, noisy = np.random.default_rng(0), []
        plain = [to_short_side(photo, self.short_side) for photo in photos]
        for image in plain:
            change = (rng.random(image.shape) < _NOISY).astype(np.uint8)
            noisy.append(np.where(image < 255, image + change, image - change))
        predict = self.predict()
        answers = predict(plain), predict(noisy)
        return max(compare(plain, *answers, Limits(value=np.inf)).values(), default=0.0)


@dataclass(frozen=True)
class MultiSource:
    """A trunk to be exported, its card, and its heads, each as a model of its task alone."""

    net: MultiTaskNet
    card: Card
    file: Path
    heads: dict[str, Source]
    form: None = None

    @property
    def task(self) -> str:
        """Of the file."""
        return self.card.task

    @property
    def short_side(self) -> int | None:
        """Of images that are not resized, only cut, in pixels; None for boxes alone."""
        sides = [one.short_side for one in self.heads.values() if one.short_side is not None]
        return sides[0] if sides else None  # A graph's heads see images alike.

    def facts(self) -> dict[str, Any]:
        """What a float export states about itself beside the card."""
        return {
            **common_facts(),
            "mult_adds": sum(one.together for one in pass_costs(self.net, measure=False)),
            "heads": {name: one.facts() for name, one in self.heads.items()},
        }

    def graph(self, antialias: Antialias) -> MultiGraph:
        """All heads as one graph. Raises InputError if they see images differently."""
        cards = {name: one.card for name, one in self.heads.items()}
        return MultiGraph(self.net, cards, antialias=antialias)

    def bare(self) -> MultiBare:
        """The networks alone. Raises InputError if a head is not one from input to outputs."""
        return MultiBare(self.net, {name: one.card for name, one in self.heads.items()})

    def square_graph(self) -> MultiSquare:
        """All heads as one graph that takes ready squares. Raises InputError as :meth:`graph`."""
        return MultiSquare(self.net, {name: one.card for name, one in self.heads.items()})

    def reference(self) -> MultiSource:
        """What an export is compared with."""
        return self

    def differences(
        self,
        photos: Sequence[Image],
        found: Sequence[Answer],
        *,
        resized: bool,
        ready: bool = False,
    ) -> dict[str, float]:
        """As :meth:`Source.differences`, by ``HEAD_OUTPUT``; boxes only where ``resized``."""
        told: dict[str, float] = {}
        for name, source in self.heads.items():
            if source.short_side is None and not resized:
                continue
            before = f"{name}_"
            given = [
                {out.removeprefix(before): row[out] for out in row if out.startswith(before)}
                for row in found
            ]
            try:
                differences = source.differences(photos, given, resized=resized, ready=ready)
            except ValueError as error:
                raise InputError(f"head {name}: {error}") from error
            told |= {f"{before}{out}": value for out, value in differences.items()}
        return told


def common_facts() -> dict[str, Any]:
    """What every float export states about itself."""
    return {"format": FORMAT, "precision": "float32", "torch": torch.__version__}


def open_source(args: Export) -> Source:
    """Load a network to export. Raises InputError if it is none that can be."""
    cli.prepare(args.common)
    task = task_to_export(args.weights)
    if task == MULTITASK:
        reason = "one is wanted here"
        if args.int8:
            reason = "--int8 adapts a network's weights to the answers of one"
        raise InputError(
            f"{args.weights}: has several heads, and {reason}: name its file, "
            f"{HEADS_FOLDER}/NAME.safetensors of the run"
        )
    application = photo_application(task, args.weights)
    args.refuse_unless(application.flags, task)
    model = open_model(args.weights, args.options)
    form = None
    if args.postprocess == "tensorflow":
        make_form = application.network().tensorflow_form
        assert make_form is not None, f"{task} takes --postprocess, but has no such form"
        form = make_form(model.network)
    return Source(model.network, model.card, args.weights, form)


def task_to_export(weights: Path) -> str:
    """Task of a run folder or weights file. Raises InputError on an export."""
    if is_export(weights):
        raise InputError(f"{weights}: is an export already; name the weights it came from")
    return read_card(weights).task


def open_any_source(args: Export) -> Source | MultiSource:
    """Load one task or several to export. Raises InputError if they cannot be."""
    if task_to_export(args.weights) != MULTITASK:
        return open_source(args)
    cli.prepare(args.common)
    net, cards = load_multi(args.weights, args.options)
    if not cards:
        raise InputError(f"{args.weights}: a trunk without heads answers nothing")
    if args.postprocess == "tensorflow":
        raise InputError(
            f"--postprocess tensorflow: is for a detector alone, and {args.weights} has several "
            f"heads; name the file of one, {HEADS_FOLDER}/NAME.safetensors of the run"
        )
    takes = {f for name in cards for f in photo_application(cards[name].task, name).flags}
    args.refuse_unless(takes, f"{', '.join(cards)}, and no boxes")
    heads = {name: Source(net.head(name), one, args.weights) for name, one in cards.items()}
    return MultiSource(net, read_card(args.weights), args.weights, heads)
