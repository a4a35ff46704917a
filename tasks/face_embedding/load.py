"""Reads cards of embedding networks, and starts networks from other weights."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path

from datasets.types import ClassMap
from tasks.face_embedding.alignment import ALIGNMENT
from tasks.face_embedding.model import FaceEmbedder
from tasks.face_embedding.spec import EmbedderSpec
from tasks.face_embedding.use import TASK
from tasks.start_network import read_start, with_body_of
from tasks.weights.card import Card
from tasks.weights.file import load_into, spec_of

# Tensors that only training needs; they would reveal the people in the training set.
TRAINING_ONLY = "margin_head."
# People that a network is used on are not those that it was trained on.
NO_CLASSES = ClassMap((), ())


@dataclass(frozen=True)
class TrainedOn:
    """People that a network has seen, so that it is not evaluated on them unknowingly."""

    trained_on: str  # last name of the data, and a digest of their people; once it was a path
    left_out_fold: int | None  # its people, and those of the fold before, were left out
    people: str  # :func:`digest_of` the names, from which none can be told


_FACTS = (ALIGNMENT, *(one.name for one in fields(TrainedOn)))


def digest_of(names: Iterable[str]) -> str:
    """Sixteen digits that identify a set of people, in any order."""
    return hashlib.sha256("\n".join(sorted(names)).encode()).hexdigest()[:16]


def describe_model(
    spec: EmbedderSpec, alignment: str, trained: TrainedOn | None = None
) -> dict[str, object]:
    """The description of a network in a card: architecture, alignment, and training set."""
    return {**spec.to_json(), ALIGNMENT: alignment, **(asdict(trained) if trained else {})}


def trained_on(card: Card) -> TrainedOn | None:
    """The people that a network was trained on; None if the card does not state them."""
    told = {one.name: card.model.get(one.name) for one in fields(TrainedOn)}
    data, fold, people = told.values()
    if not isinstance(data, str) or not isinstance(people, str):
        return None
    return TrainedOn(data, fold if isinstance(fold, int) else None, people)


def embedder_spec(card: Card, path: Path) -> EmbedderSpec:
    """The architecture in a card. Raises InputError if it cannot be built."""
    model = {name: value for name, value in card.model.items() if name not in _FACTS}
    return spec_of(replace(card, model=model), EmbedderSpec, path)


def start_embedder(model: FaceEmbedder, path: Path) -> Card:
    """Fill a network from a model with the same body, for fine-tuning; returns that model's card.

    From an embedding network of the same length the last layer is used too.

    Args:
        model: Network to fill.
        path: Run folder or weights file.

    Raises:
        InputError: If body, width, variant or flavour differ; the message names both sides.
    """
    # Faces may be preprocessed differently from other images.
    state, card = read_start(model, path, any_input=True)
    fresh = model.state_dict()
    whole = card.task == TASK and card.model.get("dim") == model.spec.dim
    # Tensors that only training needs are in no file.
    load_into(model, {**fresh, **state} if whole else with_body_of(fresh, state), str(path))
    return card
