"""Classification: the most likely of some classes."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from tasks.application import Facts, Metric, NoOptions, PhotoApplication
from tasks.classification.answer import ClassAnswers
from tasks.classification.evaluator import MEANINGS
from tasks.classification.spec import TASK
from tasks.export.compare import share_limits
from tasks.weights.card import Card

if TYPE_CHECKING:
    from tasks.application import Network


def _network() -> Network[NoOptions]:
    from tasks.classification.network import NETWORK

    return NETWORK


def _answers(card: Card, _facts: Facts, _options: NoOptions, _path: Path) -> ClassAnswers:
    return ClassAnswers(card.classes.names)


CLASSIFICATION = PhotoApplication(
    name=TASK,
    title="Classes",
    train_tool="train_cls",
    options=NoOptions,
    outputs={"probabilities": "(C,) float32 in 0..1, summing to 1, in the order of the classes"},
    network=_network,
    answers=_answers,
    metric=Metric("top1", "top-1"),
    meanings=MEANINGS,
    limits=share_limits,
    pipeline="image-classification",
    flags=("classes", "boxes"),
    head="classes",
)
