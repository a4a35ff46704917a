"""What another format does not hold of some boxes, found by reading them back."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from datasets.boxes.structure import DetectionData

# Pixels by which boxes may differ for the rounding of floating point numbers.
_SAME = 1e-6


def changes(
    name: str, before: DetectionData, after: DetectionData, *, shapes: bool = False
) -> list[str]:
    """What changed on the way, in words with counts; empty if nothing did.

    Args:
        name: Name of the format that was written.
        before: What was written, its files under their new names.
        after: What was read back.
        shapes: Whether outlines and keypoints are written.

    Raises:
        RuntimeError: If anything else is lost: the writer is wrong then.
    """
    order = {Path(file).name: index for index, file in enumerate(after.files.tolist())}
    places = [order.get(Path(file).name, -1) for file in before.files.tolist()]
    if len(order) != len(before) or -1 in places:
        raise RuntimeError(f"{name}: {len(before)} images were written, {len(order)} are read")
    told: list[str] = []
    kept = np.ones(len(before.boxes), np.bool_)
    if len(after.boxes) == (~before.iscrowd).sum() and before.iscrowd.any():
        kept = ~before.iscrowd
        told.append(f"{name} has no crowd flag: {(~kept).sum()} crowd boxes are left out")
    ours = before.select(np.ones(len(before), np.bool_), kept)
    rows = _rows(after, places)
    called = [np.array(["", *one.classes.names])[one.labels] for one in (ours, after)]
    if len(rows) != len(ours.boxes) or (called[0] != called[1][rows]).any():
        raise RuntimeError(f"{name}: {len(ours.boxes)} boxes were written, {len(rows)} are read")
    # What holds no sizes is read by those of the images themselves.
    resized = (ours.sizes != after.sizes[places]).any(axis=1)[ours.owners]
    if resized.any():
        told.append(
            f"{name} has no sizes: {resized.sum()} boxes of images that cannot be read, or are "
            "of another size than annotated, keep their place as shares of the image, and not "
            "in pixels"
        )
    distance = np.abs(ours.boxes - after.boxes[rows]).max(axis=1, initial=0)
    scale = np.maximum(1, np.abs(ours.boxes).max(axis=1, initial=0))
    moved = (distance > _SAME * scale) & ~resized
    if moved.any():
        told.append(
            f"{name} has whole pixels: {moved.sum()} of {len(moved)} boxes are rounded, by up to "
            f"{distance[moved].max():.3g}"
        )
    if ours.shapes and (counted := ours.shapes.counts()):
        kept_shapes = after.shapes and after.shapes.select(rows)
        if not shapes:
            told.append(f"{name} holds only boxes: {counted} are left out")
        elif kept_shapes is None or (kept_shapes.rows != ours.shapes.rows).any():
            raise RuntimeError(f"{name}: outlines or keypoints are not read as written")
    return [*told, *_other_changes(name, ours, after, rows, places, resized)]


def _rows(after: DetectionData, places: list[int]) -> NDArray[np.int64]:
    """Rows of the boxes read, in the order of the images written."""
    spans = [np.arange(after.offsets[k], after.offsets[k + 1]) for k in places]
    return np.concatenate([*spans, np.zeros(0, np.int64)]).astype(np.int64)


def _other_changes(
    name: str,
    ours: DetectionData,
    after: DetectionData,
    rows: NDArray[np.int64],
    places: list[int],
    resized: NDArray[np.bool_],
) -> list[str]:
    told = []
    boxes = np.prod(ours.boxes[:, 2:] - ours.boxes[:, :2], axis=1)
    own = ~np.isclose(ours.areas, boxes, rtol=1e-6, atol=_SAME)
    lost = own & ~np.isclose(ours.areas, after.areas[rows], rtol=1e-6, atol=_SAME) & ~resized
    if lost.any():
        told.append(f"{name} has no areas: those of {lost.sum()} outlines become their boxes'")
    if (ours.iscrowd != after.iscrowd[rows]).any():
        raise RuntimeError(f"{name}: crowds are not read as written")
    unused = [one for one in ours.classes.names if one not in after.classes.names]
    if unused:
        told.append(f"{name} lists no classes: {len(unused)} without a box are left out")
    there = [one for one in ours.classes.names if one in after.classes.names]
    if there != [one for one in after.classes.names if one in there]:
        told.append(f"{name} keeps no order of classes: they are read as {_some(after)}")
    ids = dict(zip(after.classes.names, after.classes.ids, strict=True))
    other = [
        k
        for k, one in zip(ours.classes.ids, ours.classes.names, strict=True)
        if ids.get(one, k) != k
    ]
    if other:
        told.append(f"{name} numbers classes by itself: {len(other)} get other ids")
    if ours.format == "coco" and (ours.image_ids != after.image_ids[places]).any():
        told.append(f"{name} has no ids of images")
    return told


def _some(data: DetectionData) -> str:
    names = data.classes.names
    return f"{', '.join(names[:6])}{', ...' if len(names) > 6 else ''}"
