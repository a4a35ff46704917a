"""What the reports of all tasks have in common."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

from backbone.cost import Cost
from datasets.images import Image
from datasets.squares import centre_square
from tasks.weights.card import Card

Facts = Sequence[tuple[str, str]]


def model_text(card: Card) -> str:
    """The architecture that a card tells, in a line."""
    return ", ".join(f"{name} {value}" for name, value in card.model.items())


def time_text(seconds: float, count: int, device: str) -> str:
    """How long an evaluation took."""
    return f"{seconds:.1f} s for {count} photos on {device}"


def facts(card: Card, cost: Cost, own: Facts) -> list[tuple[str, str]]:
    """Rows of a report's summary: the network's, then the task's own."""
    return [("model", model_text(card)), ("cost", str(cost)), ("weights", card.source), *own]


def centre_of(card: Card) -> Callable[[Image], Image]:
    """From a photo to the square of it that a network is evaluated on, not normalised yet."""
    spec = card.flavour.input
    return partial(centre_square, size=spec.size, crop=spec.crop, interpolation=spec.interpolation)
