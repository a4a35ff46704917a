"""A network of attributes as its application's record has it: built, run, decoded, costed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from torch import Tensor

from tasks.application import NoOptions
from tasks.body_spec import ClassifierSpec
from tasks.classification.network import NETWORK as CLASSIFIER
from tasks.classification.network import classifier_spec, example_card, numbered
from tasks.face_attributes.model import AttributeNet, build_attribute_net
from tasks.face_attributes.spec import TASK
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
    return build_attribute_net(spec, _ATTRIBUTES), example_card(TASK, spec, numbered(_ATTRIBUTES))


NETWORK = replace(CLASSIFIER, build=_build, decode=_decode, facts=_facts, example=_example)
