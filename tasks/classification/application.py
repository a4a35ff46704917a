"""Classification: the most likely of some classes."""

from __future__ import annotations

from pathlib import Path

from tasks.application import Application, Facts, Metric, NoOptions, PhotoApplication, network_of
from tasks.classification.answer import ClassAnswers
from tasks.classification.evaluator import MEANINGS
from tasks.classification.spec import BODY_TASK, TASK
from tasks.export.compare import share_limits
from tasks.weights.card import Card


def _answers(card: Card, _facts: Facts, _options: NoOptions, _path: Path) -> ClassAnswers:
    return ClassAnswers(card.classes.names)


CLASSIFICATION = PhotoApplication(
    name=TASK,
    title="Classes",
    train_tool="train_cls",
    options=NoOptions,
    outputs={"probabilities": "(C,) float32 in 0..1, summing to 1, in the order of the classes"},
    network=network_of("tasks.classification.network"),
    answers=_answers,
    metric=Metric("top1", "top-1"),
    compared_by=Metric("top1", "top-1 %"),
    variants={"": (224, 192, 160, 128)},
    meanings=MEANINGS,
    limits=share_limits,
    pipeline="image-classification",
    flags=("classes", "boxes"),
    head="classes",
)

BODY = Application(
    name=BODY_TASK,
    title="Body",
    train_tool="train_cls",
    starts=("train_cls", "train_det"),
)
"""A classifier's body alone, as foreign weights without their last layer are."""
