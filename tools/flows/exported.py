"""Exports where tools take weights: opened, and photos as they are in place of resized ones."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, TypeVar

from configs.tools import Evaluate, Predict
from datasets.errors import InputError
from datasets.images import Image
from datasets.raw_photos import OriginalPhotos
from tasks.runtime.exported import Exported
from tasks.runtime.open import open_export as open_file

Loader = TypeVar("Loader")


class Readable(Protocol):
    """Data whose photos can be read one by one."""

    def __len__(self) -> int:
        """Number of photos."""

    def image(self, index: int) -> Image:
        """Photo of an index."""


def loader_for(
    model: object,
    data: Readable,
    loader: Loader,
    batch_size: int | None,
    image_ids: Sequence[int] | None = None,
) -> Loader | OriginalPhotos:
    """What a model is evaluated on; an export gets photos as they are, and resizes them itself.

    Args:
        model: An export or another model.
        data: Photos.
        loader: Of the photos, resized.
        batch_size: Photos per pass.
        image_ids: What evaluators call the photos; by default their indices.
    """
    if not isinstance(model, Exported):
        return loader
    ids = range(len(data)) if image_ids is None else image_ids
    return OriginalPhotos(data.image, ids, batch_size or 1)


def open_export(args: Evaluate | Predict, task: str) -> Exported:
    """An export of a task, or that head of several, on the threads that were asked for.

    Raises:
        InputError: If it is none, of another task, or another device was asked for.
    """
    if args.common.device not in ("auto", "cpu"):
        raise InputError(f"--device {args.common.device}: exports are run on the CPU")
    exported = open_file(args.weights, args.common.threads or None, args.head)
    if exported.task != task:
        raise InputError(f"{args.weights}: this export is for {exported.task}, not for {task}")
    return exported
