"""COCO's large annotation files as columns: only the fields that are used, decoded by type.

Python's own decoder builds every outline of a file as lists of numbers, which takes most of the
time and memory, and training uses none of them. A file that differs in anything from COCO's own
form is left to the reader in coco.py, which accepts more and names what is wrong.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from datasets.fields import is_clean
from datasets.text import read_content

_LARGEST_SIDE = 2**31 - 1


class _Image(msgspec.Struct, gc=False):
    id: int
    file_name: str
    width: int
    height: int


class _Box(msgspec.Struct, array_like=True, forbid_unknown_fields=True, gc=False):
    x: float
    y: float
    width: float
    height: float


class _Annotation(msgspec.Struct, gc=False):
    id: int
    image_id: int
    category_id: int
    bbox: _Box  # A tuple takes half as much memory again.
    area: float
    iscrowd: int = 0


class _File(msgspec.Struct, gc=False):
    images: list[_Image]
    annotations: list[_Annotation]
    categories: list[dict[str, Any]]


_DECODER = msgspec.json.Decoder(_File)


@dataclass(frozen=True)
class Columns:
    """A file whose fields all have the types of COCO's own files, and whose references hold.

    Attributes:
        image_ids: (N,) ids, each of them once.
        names: (N,) ``file_name`` of each image.
        sizes: (N, 2) width and height in pixels.
        ids: (M,) ids of annotations.
        owners: (M,) index of the image of each annotation.
        category_ids: (M,) category of each annotation.
        boxes: (M, 4) x, y, width and height in pixels.
        areas: (M,) in square pixels, finite.
        crowds: (M,) 0 or 1.
        categories: The rows of ``categories``, unchecked.
    """

    image_ids: NDArray[np.int64]
    names: list[str]
    sizes: NDArray[np.int64]
    ids: NDArray[np.int64]
    owners: NDArray[np.int64]
    category_ids: NDArray[np.int64]
    boxes: NDArray[np.float64]
    areas: NDArray[np.float64]
    crowds: NDArray[np.int64]
    categories: list[dict[str, Any]]


def typed_columns(file: Path) -> Columns | None:
    """Read a file by type; None if anything in it is of another type or refers to nothing.

    Raises:
        InputError: If the file cannot be read.
    """
    try:
        found = _DECODER.decode(read_content(file))
        return _columns(found)
    except (msgspec.MsgspecError, OverflowError, UnicodeDecodeError, RecursionError):
        return None


def _columns(found: _File) -> Columns | None:
    rows, images = found.annotations, found.images
    image_ids = _whole(images, lambda row: row.id)
    names = [row.file_name for row in images]
    sizes = np.stack(
        [_whole(images, lambda row: row.width), _whole(images, lambda row: row.height)]
    )
    owners = _positions(image_ids, _whole(rows, lambda row: row.image_id))
    areas = np.fromiter((row.area for row in rows), np.float64, len(rows))
    crowds = _whole(rows, lambda row: row.iscrowd)
    if owners is None or not all(map(is_clean, names)):
        return None
    if not (np.isin(crowds, (0, 1)).all() and np.isfinite(areas).all()):
        return None
    if not ((sizes >= 0).all() and (sizes <= _LARGEST_SIDE).all()):
        return None
    flat = chain.from_iterable((b.x, b.y, b.width, b.height) for b in (row.bbox for row in rows))
    return Columns(
        image_ids=image_ids,
        names=names,
        sizes=sizes.T,
        ids=_whole(rows, lambda row: row.id),
        owners=owners,
        category_ids=_whole(rows, lambda row: row.category_id),
        boxes=np.fromiter(flat, np.float64, 4 * len(rows)).reshape(-1, 4),
        areas=areas,
        crowds=crowds,
        categories=found.categories,
    )


def _whole(rows: Sequence[Any], field: Callable[[Any], int]) -> NDArray[np.int64]:
    """A column of whole numbers. Raises OverflowError if 64 bits do not hold one of them."""
    return np.fromiter(map(field, rows), np.int64, len(rows))


def _positions(keys: NDArray[np.int64], wanted: NDArray[np.int64]) -> NDArray[np.int64] | None:
    """Where each wanted key is among the keys; None if one is missing or a key is there twice."""
    order = np.argsort(keys, kind="stable")
    ordered = keys[order]
    if (ordered[1:] == ordered[:-1]).any():
        return None
    if not len(keys):
        return None if len(wanted) else wanted
    places = np.minimum(np.searchsorted(ordered, wanted), len(keys) - 1)
    return order[places] if (ordered[places] == wanted).all() else None
