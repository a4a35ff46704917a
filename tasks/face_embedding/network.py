"""The functions of an embedding network for its application's record."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from torch import Tensor

from backbone.cost import Cost
from tasks.application import Bare, Facts, NoOptions, refuse_other_size
from tasks.body_network import raw_cost
from tasks.classification.network import NETWORK as CLASSIFIER
from tasks.classification.network import example_card
from tasks.face_embedding.alignment import alignment_of
from tasks.face_embedding.load import NO_CLASSES, describe_model, embedder_spec
from tasks.face_embedding.model import FaceEmbedder, unit
from tasks.face_embedding.spec import EmbedderSpec
from tasks.face_embedding.use import TASK
from tasks.weights.card import Card


def _build(
    card: Card, _state: Mapping[str, Tensor], path: Path, _options: NoOptions
) -> tuple[FaceEmbedder, Card]:
    alignment_of(card, path)
    spec = embedder_spec(card, path)
    refuse_other_size(card, spec.size, path)
    return FaceEmbedder(spec, card.flavour), card


def _decode(
    _model: FaceEmbedder, _card: Card, raw: Tensor, _frame: Tensor | None
) -> dict[str, Tensor]:
    return {"embedding": unit(raw)}


def embedder_cost(spec: EmbedderSpec) -> Cost:
    """Mult-adds and parameters for one image, counted without memory or arithmetic."""
    return raw_cost(lambda: FaceEmbedder(spec), spec.size)


def _cost(card: Card, _facts: Facts, path: Path) -> Cost:
    return embedder_cost(embedder_spec(card, path))


def _example(alpha: float, size: int, _variant: str) -> tuple[FaceEmbedder, Card]:
    spec = EmbedderSpec(alpha=alpha, size=size)
    card = replace(example_card(TASK, spec, NO_CLASSES), model=describe_model(spec, "none"))
    return FaceEmbedder(spec), card


NETWORK = replace(
    CLASSIFIER,
    build=_build,
    decode=_decode,
    cost=_cost,
    bare=lambda _model, _card: Bare(
        {"embedding": "(1, numbers): to be divided by its length; faces aligned by the card"},
        {},
    ),
    example=_example,
)
