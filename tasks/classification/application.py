"""Classification: the most likely of some classes."""

from __future__ import annotations

from tasks.application import Application, Metric, NoOptions, PhotoApplication, network_of
from tasks.classification.answer import ClassAnswers
from tasks.classification.evaluator import MEANINGS
from tasks.classification.spec import BODY_TASK, TASK

CLASSIFICATION: PhotoApplication[NoOptions] = PhotoApplication(
    name=TASK,
    title="Classes",
    train_tool="train_cls",
    outputs={"probabilities": "(C,) float32 in 0..1, summing to 1, in the order of the classes"},
    answers=lambda card, *_: ClassAnswers(card.classes.names),
    network=network_of("tasks.classification.network"),
    metric=Metric("top1", "top-1"),
    compared_by=Metric("top1", "top-1 %"),
    meanings=MEANINGS,
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
