"""Embedding networks from weights files: whole, or their body as the start of another."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from datasets.types import ClassMap
from tasks.card import BODY_PREFIX, Card, load_into, load_weights, spec_of
from tasks.classification.load import refuse_other_body
from tasks.face_embedding.model import FaceEmbedder, build_embedder
from tasks.face_embedding.spec import EmbedderSpec

TASK = "face_embedding"
# Tensors that serve training alone; they would tell of the people in the training set.
TRAINING_ONLY = "margin_head."
# People that a network is used on are not those that it was trained on.
NO_CLASSES = ClassMap((), ())
_ALIGNMENT = "alignment"


def describe_model(spec: EmbedderSpec, alignment: str) -> dict[str, object]:
    """What a card says of a network: its architecture, and how faces must stand for it."""
    return {**spec.to_json(), _ALIGNMENT: alignment}


def alignment_of(card: Card, path: Path) -> str:
    """How faces must stand for a network.

    Raises:
        ValueError: If the card does not tell.
    """
    found = card.model.get(_ALIGNMENT)
    if not isinstance(found, str):
        raise ValueError(f"{path}: the card does not tell how faces must stand for these weights")
    return found


def refuse_other_alignment(card: Card, path: Path, data: str, where: Path | str) -> None:
    """Check that faces stand as a network has learnt them.

    Args:
        card: Of the network.
        path: Of its weights.
        data: How the faces of some data stand.
        where: The data.

    Raises:
        ValueError: If they stand otherwise, naming both sides.
    """
    wanted = alignment_of(card, path)
    if wanted == data:
        return
    how = {
        "five_points": "align them by --points or --detector, or say --alignment five_points "
        "if they are aligned already",
        "funneled": "say --alignment funneled if they are",
        "none": "name photos that are not aligned",
    }
    raise ValueError(
        f"{path}: trained on faces of alignment {wanted!r}, but those of {where} have {data!r}; "
        f"{how.get(wanted, 'name others')}"
    )


def embedder_spec(card: Card, path: Path) -> EmbedderSpec:
    """The architecture that a card tells.

    Args:
        card: Of the network.
        path: Of its weights.

    Raises:
        ValueError: If it cannot be built.
    """
    plain = {name: value for name, value in card.model.items() if name != _ALIGNMENT}
    return spec_of(replace(card, model=plain), EmbedderSpec, path)


def load_embedder(path: Path) -> tuple[FaceEmbedder, Card]:
    """A network with the weights of a run folder or weights file, in evaluation mode.

    Raises:
        ValueError: If the file is missing, damaged, of another task, or does not fit itself.
    """
    state, card = load_weights(path)
    if card.task != TASK:
        raise ValueError(f"{path}: these weights are for {card.task}, not for {TASK}")
    alignment_of(card, path)
    spec = embedder_spec(card, path)
    if card.flavour.input.size != spec.size:
        raise ValueError(
            f"{path}: the card says size {spec.size} in the model, but "
            f"{card.flavour.input.size} in the flavour"
        )
    model = build_embedder(spec, card.flavour)
    load_into(model, state, str(path))
    return model.eval(), card


def start_embedder(model: FaceEmbedder, path: Path) -> Card:
    """Fill a network with the weights of another model of the same body, for fine-tuning.

    From an embedding network of the same length the last layer comes too.

    Args:
        model: To be filled.
        path: Run folder or weights file of any task.

    Returns:
        The card of the weights.

    Raises:
        ValueError: If body, width, variant or flavour differ, naming both sides.
    """
    state, card = load_weights(path)
    refuse_other_body(model.spec, card, path)
    theirs, ours = card.flavour, model.body.flavour
    if replace(theirs, input=ours.input) != ours:
        raise ValueError(f"{path}: the weights have {theirs}, the model to train {ours}")
    keeps_head = card.task == TASK and card.model.get("dim") == model.spec.dim
    taken = {
        key: value for key, value in state.items() if keeps_head or key.startswith(BODY_PREFIX)
    }
    load_into(model, {**model.state_dict(), **taken}, str(path))
    return card
