"""Face embeddings: how similar the faces in two images are."""

from __future__ import annotations

from pathlib import Path

from tasks.application import Metric, NoOptions, PhotoApplication, network_of
from tasks.face_embedding.answer import SCHEMA, EmbeddingAnswer, EmbeddingAnswers
from tasks.face_embedding.evaluator import MEANINGS
from tasks.face_embedding.use import TASK, USE_NOTE
from tasks.weights.card import Card


def _card_rows(card: Card, path: Path) -> list[tuple[str, str]]:
    from tasks.face_embedding.alignment import alignment_of

    return [("faces stand", alignment_of(card, path))]


FACE_EMBEDDING: PhotoApplication[NoOptions] = PhotoApplication(
    name=TASK,
    title="Faces",
    train_tool="train_embed",
    outputs={"embedding": "(D,) float32 of length one"},
    answers=lambda card, *_: EmbeddingAnswers(card.metrics.get("threshold")),
    answer=EmbeddingAnswer,
    schema=SCHEMA,
    network=network_of(f"{__package__}.network"),
    metric=Metric("selection", "AUC"),
    compared_by=Metric("accuracy", "accuracy %"),
    variants={"": (160, 128)},
    meanings=MEANINGS,
    pipeline="image-feature-extraction",
    flags=("faces", "gallery"),
    use_note=USE_NOTE,
    compares=True,
    card_rows=_card_rows,
    predict_with="--gallery people/",
    head="embedding",
)
