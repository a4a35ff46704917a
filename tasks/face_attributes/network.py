"""The functions of a network of attributes for its application's record."""

from __future__ import annotations

from dataclasses import replace

from torch import Tensor

from tasks.application import Bare
from tasks.classification.network import NETWORK as CLASSIFIER
from tasks.classification.network import building, sampling
from tasks.face_attributes.model import AttributeNet
from tasks.face_attributes.spec import TASK
from tasks.weights.card import Card

# Number of CelebA's attributes.
_ATTRIBUTES = 40


def _decode(
    model: AttributeNet, _card: Card, raw: Tensor, _frame: Tensor | None
) -> dict[str, Tensor]:
    shares = raw.sigmoid()
    return {"probabilities": shares, "present": shares >= model.thresholds.to(shares.device)}


NETWORK = replace(
    CLASSIFIER,
    build=building(AttributeNet),
    decode=_decode,
    facts=lambda model: {"thresholds": model.thresholds.tolist()},
    bare=lambda model, _card: Bare(
        {"logits": "(1, attributes): their sigmoid is each one's probability"},
        {"thresholds": model.thresholds.tolist()},
    ),
    example=sampling(AttributeNet, TASK, _ATTRIBUTES),
)
