"""Face attributes: which of some attributes a face shows."""

from __future__ import annotations

from pathlib import Path

from tasks.application import Facts, Metric, NoOptions, PhotoApplication, network_of
from tasks.export.compare import share_limits
from tasks.face_attributes.answer import AttributeAnswers
from tasks.face_attributes.evaluator import MEANINGS
from tasks.face_attributes.spec import TASK, USE_NOTE
from tasks.weights.card import Card


def _answers(card: Card, _facts: Facts, _options: NoOptions, _path: Path) -> AttributeAnswers:
    return AttributeAnswers(card.classes.names)


FACE_ATTRIBUTES = PhotoApplication(
    name=TASK,
    title="Face attributes",
    train_tool="train_attr",
    options=NoOptions,
    outputs={
        "probabilities": "(A,) float32 in 0..1, in the order of the attributes",
        "present": "(A,) bool: whether each probability reaches the attribute's threshold",
    },
    network=network_of("tasks.face_attributes.network"),
    answers=_answers,
    metric=Metric("mean_ap", "mean AP"),
    compared_by=Metric("mean_ap", "mean AP %"),
    variants={"": (224, 128)},
    meanings=MEANINGS,
    limits=share_limits,
    pipeline="image-classification",
    noun="attributes",
    use_note=USE_NOTE,
    head="attributes",
)
