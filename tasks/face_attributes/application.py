"""Face attributes: which of some attributes a face shows."""

from __future__ import annotations

from tasks.application import Metric, NoOptions, PhotoApplication, network_of
from tasks.face_attributes.answer import SCHEMA, AttributeAnswer, AttributeAnswers
from tasks.face_attributes.evaluator import MEANINGS
from tasks.face_attributes.spec import TASK, USE_NOTE
from tasks.plain_rows import named_row

FACE_ATTRIBUTES: PhotoApplication[NoOptions] = PhotoApplication(
    name=TASK,
    title="Face attributes",
    train_tool="train_attr",
    outputs={
        "probabilities": "(A,) float32 in 0..1, in the order of the attributes",
        "present": "(A,) bool: whether each probability reaches the attribute's threshold",
    },
    answers=lambda card, *_: AttributeAnswers(card.classes.names),
    answer=AttributeAnswer,
    schema=SCHEMA,
    network=network_of(f"{__package__}.network"),
    rows=named_row,
    metric=Metric("mean_ap", "mean AP"),
    compared_by=Metric("mean_ap", "mean AP %"),
    meanings=MEANINGS,
    noun="attributes",
    use_note=USE_NOTE,
    head="attributes",
    variants={"": (224, 128)},
)
