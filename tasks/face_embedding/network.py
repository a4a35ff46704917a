"""An embedding network as its application's record has it: built, run, decoded, costed."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor

from backbone.bodies import default_flavour
from backbone.cost import Cost, count_cost
from tasks.application import Facts, Network, NoOptions, refuse_other_size
from tasks.classification.network import run_raw
from tasks.face_embedding.load import (
    NO_CLASSES,
    alignment_of,
    describe_model,
    embedder_spec,
)
from tasks.face_embedding.model import FaceEmbedder, build_embedder, unit
from tasks.face_embedding.spec import TASK, EmbedderSpec
from tasks.photo_view import CENTRE
from tasks.weights.card import Card


def _build(
    card: Card, _state: Mapping[str, Tensor], path: Path, _options: NoOptions
) -> tuple[FaceEmbedder, Card]:
    alignment_of(card, path)
    spec = embedder_spec(card, path)
    refuse_other_size(card, spec.size, path)
    return build_embedder(spec, card.flavour), card


def _decode(
    _model: FaceEmbedder, _card: Card, raw: Tensor, _frame: Tensor | None
) -> dict[str, Tensor]:
    return {"embedding": unit(raw)}


def embedder_cost(spec: EmbedderSpec) -> Cost:
    """Mult-adds and parameters for one photo, counted without memory or arithmetic."""
    with torch.device("meta"):
        model = build_embedder(spec)
    return count_cost(model, (1, 3, spec.size, spec.size), lambda m, x: m.raw(x))


def _cost(card: Card, _facts: Facts, path: Path) -> Cost:
    return embedder_cost(embedder_spec(card, path))


def _example(alpha: float, size: int, _variant: str) -> tuple[FaceEmbedder, Card]:
    spec = EmbedderSpec(alpha=alpha, size=size)
    flavour = default_flavour(spec.backbone).sized(size)
    return build_embedder(spec), Card(TASK, describe_model(spec, "none"), flavour, NO_CLASSES)


NETWORK = Network(
    build=_build,
    view=CENTRE,
    run=run_raw,
    decode=_decode,
    facts=lambda _model: {},
    cost=_cost,
    example=_example,
)
