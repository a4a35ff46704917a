"""A network of attributes as its application's record has it: built, run, decoded, costed."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor

from backbone.bodies import default_flavour
from datasets.types import ClassMap
from tasks.application import Network, NoOptions
from tasks.body_spec import ClassifierSpec
from tasks.classification.network import NETWORK as CLASSIFIER
from tasks.classification.network import classifier_spec, run_raw
from tasks.face_attributes.model import AttributeNet, build_attribute_net
from tasks.face_attributes.spec import TASK
from tasks.photo_view import CENTRE
from tasks.weights.card import Card

# CelebA's.
_ATTRIBUTES = 40


def _build(
    card: Card, _state: Mapping[str, Tensor], path: Path, _options: NoOptions
) -> tuple[AttributeNet, Card]:
    return build_attribute_net(classifier_spec(card, path), len(card.classes), card.flavour), card


def _decode(
    model: AttributeNet, _card: Card, raw: Tensor, _frame: Tensor | None
) -> dict[str, Tensor]:
    shares = raw.sigmoid()
    return {"probabilities": shares, "present": shares >= model.thresholds.to(shares.device)}


def _facts(model: AttributeNet) -> dict[str, Any]:
    return {"thresholds": model.thresholds.tolist()}


def _example(alpha: float, size: int, _variant: str) -> tuple[AttributeNet, Card]:
    spec = ClassifierSpec(alpha=alpha, size=size)
    names = ClassMap.from_names([f"{number}" for number in range(_ATTRIBUTES)])
    flavour = default_flavour(spec.backbone).sized(size)
    return build_attribute_net(spec, len(names)), Card(TASK, spec.to_json(), flavour, names)


NETWORK = Network(
    build=_build,
    view=CENTRE,
    run=run_raw,
    decode=_decode,
    facts=_facts,
    cost=CLASSIFIER.cost,
    example=_example,
)
