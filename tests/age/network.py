"""The network's record."""

from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor

from backbone.bodies import default_flavour
from backbone.cost import Cost, count_cost
from datasets.types import ClassMap
from tasks.application import Bare, Facts, Network, NoOptions
from tasks.body_spec import ClassifierSpec
from tasks.classification.network import classifier_spec, run_raw
from tasks.photo_view import CENTRE
from tasks.weights.card import Card
from tests.age.model import AgeNet
from tests.age.spec import SPAN, TASK


def _build(
    card: Card, _state: Mapping[str, Tensor], path: Path, _options: NoOptions
) -> tuple[AgeNet, Card]:
    return AgeNet(classifier_spec(card, path), card.flavour), card


def _decode(_model: AgeNet, _card: Card, raw: Tensor, _frame: Tensor | None) -> dict[str, Tensor]:
    return {"years": raw * SPAN}


def _cost(card: Card, _facts: Facts, path: Path) -> Cost:
    spec = classifier_spec(card, path)
    with torch.device("meta"):
        model = AgeNet(spec)
    return count_cost(model, (1, 3, spec.size, spec.size), lambda m, x: m.raw(x))


def _example(alpha: float, size: int, _variant: str) -> tuple[AgeNet, Card]:
    spec = ClassifierSpec(alpha=alpha, size=size)
    flavour = default_flavour(spec.backbone).sized(size)
    return AgeNet(spec), Card(TASK, spec.to_json(), flavour, ClassMap((), ()))


NETWORK = Network(
    build=_build,
    view=CENTRE,
    run=run_raw,
    decode=_decode,
    facts=lambda _model: {},
    cost=_cost,
    bare=lambda _model, _card: Bare({"share": "(1, 1): of the longest life"}, {"span": SPAN}),
    example=_example,
)
