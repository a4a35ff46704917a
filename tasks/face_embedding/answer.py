"""Answers from embeddings: the distance between two faces, and the nearest faces."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from datasets.errors import InputError
from datasets.images import Image
from datasets.names import shown
from tasks.application import Column, ImageAnswer, Reply
from tasks.reporting.pictures import for_screen
from tasks.runtime.session import Answer as Outputs

Vector = NDArray[np.float32]


SCHEMA: dict[str, Any] = {
    "type": "object",
    "description": "A vector of length one, to compare with those of other images.",
    "additionalProperties": False,
    "required": ["embedding"],
    "properties": {"embedding": {"type": "array", "items": {"type": "number"}}},
}


class EmbeddingAnswers:
    """Presents an embedding network's outputs, which are only meaningful in comparison.

    Two images count as one person up to the threshold of the squared distance; it is None if it
    was never measured.
    """

    def __init__(self, threshold: float | None) -> None:
        self.threshold = threshold

    def read(self, outputs: Outputs) -> Vector:
        """The embedding (D,), of length one."""
        vector: Vector = outputs["embedding"]
        return vector

    def draw(self, image: Image, answer: Vector) -> Image:
        """The image unchanged: a single embedding shows nothing."""
        return image

    def to_json(self, answer: Vector) -> dict[str, Any]:
        """The embedding."""
        return {"embedding": answer.tolist()}

    def line(self, answer: Vector) -> str:
        """Its length."""
        return f"{len(answer)} numbers"

    def reply(self, image: Image, answer: Vector) -> Reply:
        """The image, and the embedding as a table."""
        rows: list[tuple[str | float, ...]] = [(str(k), v) for k, v in enumerate(answer.tolist())]
        return Reply(
            for_screen(image),
            self.line(answer),
            "compared with those of other images",
            (Column("place"), Column("value", "number")),
            rows,
        )


def person_and_photo(path: Path, gallery: Path | None = None) -> str:
    """An image by the person's name, which is that of its folder, and its own: ``anna/1.jpg``.

    For an image directly in the gallery, which otherwise contains a folder per person, its own
    name is used.
    """
    if gallery is not None and path.is_relative_to(gallery):
        return shown(path.relative_to(gallery).as_posix())
    return shown("/".join(path.absolute().parts[-2:]))


class Neighbour(NamedTuple):
    """An image that is near another one."""

    photo: int  # index in the gallery
    distance: float  # squared, 0..4


def nearest(
    vectors: NDArray[np.float32],
    gallery: NDArray[np.float32],
    top: int,
    *,
    itself: NDArray[np.bool_] | None = None,
) -> list[list[Neighbour]]:
    """The nearest images of a gallery for each image, nearest first.

    Args:
        vectors: (N, D) float32 of length one.
        gallery: (M, D) float32 of length one.
        top: Number of images to return; fewer if the gallery has fewer.
        itself: (N, M) which of them are the image itself, and skipped; None if none is.
    """
    distances = np.clip(2 - 2 * vectors @ gallery.T, 0, 4)
    if itself is not None:
        distances[itself] = np.inf
    order = np.argsort(distances, axis=1, kind="stable")[:, :top]
    return [
        [Neighbour(int(k), float(distances[row, k])) for k in found if distances[row, k] < np.inf]
        for row, found in enumerate(order)
    ]


class EmbeddingAnswer(ImageAnswer[Vector]):
    """The embedding of an image, to compare with those of other images."""

    answers: EmbeddingAnswers

    @property
    def embedding(self) -> Vector:
        """(D,) float32 of length one."""
        return self.value

    def distance(self, other: EmbeddingAnswer) -> float:
        """Squared distance to another embedding of the same model, 0 to 4."""
        ((neighbour,),) = nearest(self.value[None], other.value[None], 1)
        return neighbour.distance

    def same_person(self, other: EmbeddingAnswer) -> bool:
        """Whether the distance is within the model's threshold.

        Raises:
            InputError: If the threshold was never measured.
        """
        threshold = self.answers.threshold
        if threshold is None:
            raise InputError(
                "the card of these weights holds no threshold for one person: compare distance() "
                "with one of your own, or measure it with tools/evaluate.py on labelled pairs"
            )
        return self.distance(other) <= threshold
