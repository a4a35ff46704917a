"""Photos as they are in place of resized ones, where an export is evaluated."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, TypeVar

from datasets.images import Image
from datasets.raw_photos import OriginalPhotos
from tasks.predictor import Model

Loader = TypeVar("Loader")


class Readable(Protocol):
    """Data whose photos can be read one by one."""

    def __len__(self) -> int:
        """Number of photos."""

    def image(self, index: int) -> Image:
        """Photo of an index."""


def loader_for(
    model: Model,
    data: Readable,
    loader: Loader,
    batch_size: int | None,
    image_ids: Sequence[int] | None = None,
) -> Loader | OriginalPhotos:
    """What a model is evaluated on; an export gets photos as they are, and resizes them itself.

    Args:
        model: To be evaluated.
        data: Photos.
        loader: Of the photos, resized.
        batch_size: Photos per pass.
        image_ids: What evaluators call the photos; by default their indices.
    """
    if model.export is None:
        return loader
    ids = range(len(data)) if image_ids is None else image_ids
    return OriginalPhotos(data.image, ids, batch_size or 1)
