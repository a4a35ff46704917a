"""The classifier's functions for its application's record: building, running, decoding, cost."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

from torch import Tensor

from backbone.bodies import default_flavour
from backbone.cost import Cost
from backbone.flavour import Flavour
from datasets.types import ClassMap
from tasks.application import Bare, Network, NoOptions, refuse_other_size
from tasks.body_network import BodyNetwork, raw_cost
from tasks.body_spec import ClassifierSpec
from tasks.classification.model import Classifier
from tasks.classification.spec import TASK
from tasks.photo_view import CENTRE
from tasks.weights.card import Card
from tasks.weights.file import spec_of

Net = TypeVar("Net", bound=BodyNetwork)
# Number of ImageNet's classes.
_CLASSES = 1000


def classifier_cost(spec: ClassifierSpec, num_outputs: int) -> Cost:
    """Mult-adds and parameters for one image, counted without memory or arithmetic."""
    return raw_cost(lambda: Classifier(spec, num_outputs), spec.size)


def classifier_spec(card: Card, path: Path) -> ClassifierSpec:
    """The architecture in a card. Raises InputError if it is incomplete or has two sizes."""
    spec = spec_of(card, ClassifierSpec, path)
    refuse_other_size(card, spec.size, path)
    return spec


def run_raw(model: Any, squares: Tensor) -> Tensor:
    """Raw outputs of a network that has one stage."""
    raw: Tensor = model.raw(squares)
    return raw


def example_card(task: str, spec: ClassifierSpec, classes: ClassMap) -> Card:
    """The card of an untrained network."""
    return Card(task, spec.to_json(), default_flavour(spec.backbone).sized(spec.size), classes)


def building(
    make: Callable[[ClassifierSpec, int, Flavour], Net],
) -> Callable[[Card, Mapping[str, Tensor], Path, NoOptions], tuple[Net, Card]]:
    """A function that builds, from a card, networks made of architecture, columns and flavour."""

    def build(
        card: Card, _state: Mapping[str, Tensor], path: Path, _options: NoOptions
    ) -> tuple[Net, Card]:
        return make(classifier_spec(card, path), len(card.classes), card.flavour), card

    return build


def sampling(
    make: Callable[[ClassifierSpec, int], Net], task: str, columns: int
) -> Callable[[float, int, str], tuple[Net, Card]]:
    """A function that makes a task's networks with a number of outputs and fresh weights."""

    def example(alpha: float, size: int, _variant: str) -> tuple[Net, Card]:
        spec = ClassifierSpec(alpha=alpha, size=size)
        classes = ClassMap.from_names([str(number) for number in range(columns)])
        return make(spec, columns), example_card(task, spec, classes)

    return example


NETWORK: Network[Any] = Network(
    build=building(Classifier),
    view=CENTRE,
    run=run_raw,
    decode=lambda _model, _card, raw, _frame: {"probabilities": raw.softmax(dim=1)},
    facts=lambda _model: {},
    cost=lambda card, _facts, path: classifier_cost(
        spec_of(card, ClassifierSpec, path), len(card.classes)
    ),
    bare=lambda _model, _card: Bare(
        {"logits": "(1, classes): their softmax is the classes' probabilities"}, {}
    ),
    example=sampling(Classifier, TASK, _CLASSES),
)
