"""Detection in tiles of an image: small objects in large images are shown to the network larger.

The whole image and tiles of it are answered for, and the detections are joined by non-maximum
suppression per class. Nothing here imports torch.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from datasets.images import Image
from tasks.detection.spec import PostSpec, TileSpec
from tasks.runtime.session import Answer as Outputs

Look = Callable[[Sequence[Image]], list[Outputs]]
# Pixels from an inner edge of a tile at which an object is taken to be cut by it.
_AT_EDGE = 2.0


class Tile(NamedTuple):
    """A part of an image: left, top, right and bottom in pixels."""

    x1: int
    y1: int
    x2: int
    y2: int


def tiles_of(width: int, height: int, spec: TileSpec) -> list[Tile]:
    """The tiles of an image, row by row, spread evenly; none if one would hold all of it."""
    if max(width, height) <= spec.tiles:
        return []
    spans = [_spans(side, spec) for side in (width, height)]
    return [Tile(x1, y1, x2, y2) for y1, y2 in spans[1] for x1, x2 in spans[0]]


def _spans(side: int, spec: TileSpec) -> list[tuple[int, int]]:
    """First pixel, and the one after the last, of the tiles along a side."""
    size = min(spec.tiles, side)
    step = max(spec.tiles * (1 - spec.overlap), 1)
    count = 1 + int(np.ceil((side - size) / step))
    starts = np.round(np.linspace(0, side - size, count)).astype(int).tolist()
    return [(start, start + size) for start in starts]


def tiled(look: Look, spec: TileSpec, post: PostSpec, batch_size: int) -> Look:
    """A detector that also looks at tiles.

    Args:
        look: Function from images (H, W, 3) to their named outputs.
        spec: Side and overlap of the tiles.
        post: The detector's own thresholds and numbers.
        batch_size: Number of images or tiles per pass.
    """

    def outputs(images: Sequence[Image]) -> list[Outputs]:
        return [_join(_parts(image, look, spec, batch_size), post) for image in images]

    return outputs


def _parts(image: Image, look: Look, spec: TileSpec, batch_size: int) -> Iterator[Outputs]:
    """The outputs of an image and of its tiles, in pixels of the image."""
    height, width = image.shape[:2]
    tiles = [Tile(0, 0, width, height), *tiles_of(width, height, spec)]
    for start in range(0, len(tiles), batch_size):
        some = tiles[start : start + batch_size]
        cut = [np.ascontiguousarray(image[one.y1 : one.y2, one.x1 : one.x2]) for one in some]
        for tile, found in zip(some, look(cut), strict=True):
            boxes = found["boxes"] + np.array([tile.x1, tile.y1] * 2, found["boxes"].dtype)
            whole = _whole(boxes, tile, width, height)
            yield {
                "boxes": boxes[whole],
                "scores": found["scores"][whole],
                "labels": found["labels"][whole],
            }


def _whole(boxes: NDArray[np.float32], tile: Tile, width: int, height: int) -> NDArray[np.bool_]:
    """Which boxes no inner edge of their tile cuts; another tile or the image has those whole."""
    low = np.array([tile.x1 or -np.inf, tile.y1 or -np.inf])
    high = np.array(
        [
            np.inf if tile.x2 == width else tile.x2,
            np.inf if tile.y2 == height else tile.y2,
        ]
    )
    inside = (boxes[:, :2] > low + _AT_EDGE) & (boxes[:, 2:] < high - _AT_EDGE)
    return np.asarray(inside.all(axis=1), np.bool_)


def _join(parts: Iterator[Outputs], post: PostSpec) -> Outputs:
    """Detections of all parts: of those of one class that overlap, the best."""
    rows = list(parts)
    if len(rows) == 1:  # It has been through the same already.
        return rows[0]
    names = ("boxes", "scores", "labels")
    boxes, scores, labels = (np.concatenate([row[name] for row in rows]) for name in names)
    if not len(boxes):
        return {"boxes": boxes, "scores": scores, "labels": labels}
    sides = np.concatenate((boxes[:, :2], boxes[:, 2:] - boxes[:, :2]), axis=1).astype(np.float64)
    kept = cv2.dnn.NMSBoxesBatched(
        sides.tolist(), scores.tolist(), labels.tolist(), 0.0, post.nms_iou
    )
    chosen = np.sort(np.asarray(kept, dtype=np.int64).reshape(-1))
    order = np.argsort(-scores[chosen], kind="stable")[: post.detections]
    best = chosen[order]
    return {"boxes": boxes[best], "scores": scores[best], "labels": labels[best]}
