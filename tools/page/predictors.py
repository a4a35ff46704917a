"""Exports in the place of networks: the same answers as each task's own predictor gives."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from datasets.images import Image
from tasks.classification.answer import Answer
from tasks.detection.evaluator import ImageResult
from tasks.face_attributes.answer import Traits
from tasks.geolocation.answer import Located, locate
from tasks.geolocation.atlas import Atlas, atlas_of
from tasks.geolocation.spec import DecodeSpec
from tasks.runtime.exported import Exported

# Of a probability that was rounded to zero, for its logarithm.
_TINY = 1e-30


def class_predictor(exported: Exported, top: int = 5) -> Callable[[Sequence[Image]], list[Answer]]:
    """As :class:`tasks.classification.answer.LabelPredictor`.

    Args:
        exported: Of a classifier.
        top: How many classes; fewer where the model knows fewer.
    """
    names = exported.card.classes.names

    def predict(images: Sequence[Image]) -> list[Answer]:
        answers = []
        for row in exported(images):
            best = np.argsort(-row["probabilities"], kind="stable")[:top]
            shares = row["probabilities"][best].tolist()
            answers.append(Answer([names[k] for k in best.tolist()], shares))
        return answers

    return predict


def trait_predictor(exported: Exported) -> Callable[[Sequence[Image]], list[Traits]]:
    """As :class:`tasks.face_attributes.answer.AttributePredictor`."""
    names = exported.card.classes.names

    def predict(images: Sequence[Image]) -> list[Traits]:
        found = []
        for row in exported(images):
            order = np.argsort(-row["probabilities"], kind="stable")
            shares, present = row["probabilities"][order], row["present"][order]
            found.append(
                Traits([names[k] for k in order.tolist()], shares.tolist(), present.tolist())
            )
        return found

    return predict


def object_predictor(
    exported: Exported, least: float
) -> Callable[[Sequence[Image]], list[ImageResult]]:
    """As :class:`tasks.detection.answer.Predictor`.

    Args:
        exported: Of a detector.
        least: Score from which an object counts; the file itself may ask for more.
    """

    def predict(images: Sequence[Image]) -> list[ImageResult]:
        found: list[ImageResult] = []
        for number, row in enumerate(exported(images)):
            sure = row["scores"] >= least
            found.append(
                {
                    "image_id": number,
                    "boxes": row["boxes"][sure].astype(np.float64),
                    "scores": row["scores"][sure].astype(np.float64),
                    "labels": row["labels"][sure],
                }
            )
        return found

    return predict


def vector_predictor(
    exported: Exported,
) -> Callable[[Sequence[Image]], list[NDArray[np.float32]]]:
    """As :class:`tasks.face_embedding.answer.FacePredictor`."""
    return lambda images: [row["embedding"] for row in exported(images)]


def place_predictor(
    exported: Exported, spec: DecodeSpec
) -> tuple[Callable[[Sequence[Image]], list[Located]], Atlas]:
    """As :class:`tasks.geolocation.answer.GeoPredictor`, and the cells.

    Args:
        exported: Of a geolocator; its probabilities come after the temperature.
        spec: How it answers.
    """
    atlas = atlas_of(torch.from_numpy(exported.cells))

    def predict(images: Sequence[Image]) -> list[Located]:
        if not images:
            return []
        shares = np.stack([row["probabilities"] for row in exported(images)])
        return locate(np.log(np.maximum(shares, _TINY)), atlas.fine, spec)

    return predict, atlas
