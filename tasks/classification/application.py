"""Classification: the most likely classes of an image."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from tasks.application import (
    Application,
    Metric,
    NoOptions,
    Original,
    PhotoApplication,
    network_of,
)
from tasks.classification.answer import SCHEMA, ClassAnswer, ClassAnswers
from tasks.classification.evaluator import MEANINGS
from tasks.classification.spec import BODY_TASK, TASK
from tasks.plain_rows import ranked_row

if TYPE_CHECKING:
    from torch import nn

    from tasks.weights.card import Card


def _claims(path: Path) -> bool:
    from backbone.formats.tflite import has_boxes, read_tflite

    return not has_boxes(read_tflite(path))


def _open_litert(path: Path, _options: NoOptions, labels: Path | None) -> tuple[nn.Module, Card]:
    from tasks.classification.original import open_litert

    return open_litert(path, labels)


CLASSIFICATION: PhotoApplication[NoOptions] = PhotoApplication(
    name=TASK,
    title="Classes",
    train_tool="train_cls",
    outputs={"probabilities": "(C,) float32 in 0..1, summing to 1, in the order of the classes"},
    answers=lambda card, *_: ClassAnswers(card.classes.names),
    answer=ClassAnswer,
    schema=SCHEMA,
    network=network_of(f"{__package__}.network"),
    rows=ranked_row,
    metric=Metric("top1", "top-1"),
    compared_by=Metric("top1", "top-1 %"),
    meanings=MEANINGS,
    flags=("classes", "boxes"),
    originals={".tflite": Original(_claims, _open_litert)},
    head="classes",
)

BODY = Application(
    name=BODY_TASK,
    title="Body",
    train_tool="train_cls",
    starts=("train_cls", "train_det"),
)
"""A classifier's body alone, as imported from weights without their last layer."""
