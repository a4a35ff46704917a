"""Detection in tiles, with a detector that sees nothing small: worked out by hand."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import cv2
import numpy as np
import pytest

from datasets.errors import InputError
from datasets.images import Image
from tasks.detection.spec import PostSpec, TileSpec
from tasks.detection.tiles import Tile, tiled, tiles_of
from tasks.runtime.session import Answer as Outputs

SPEC = TileSpec(tiles=100, overlap=0.2)


def look(images: Sequence[Image]) -> list[Outputs]:
    """Bright blobs that are at least a tenth of the view high; larger ones are surer."""
    assert len(images) <= 4
    found: list[Outputs] = []
    for image in images:
        count, _, stats, _ = cv2.connectedComponentsWithStats((image[..., 0] > 0).astype(np.uint8))
        rows = [
            (x, y, x + w, y + h, 0.5 + h / image.shape[0] / 2, 1 + int(image[y, x, 1] > 0))
            for x, y, w, h, _ in stats[1:count].tolist()
            if h >= image.shape[0] / 10
        ]
        table = np.array(rows, np.float64).reshape(-1, 6)
        found.append(
            {
                "boxes": table[:, :4].astype(np.float32),
                "scores": table[:, 4].astype(np.float32),
                "labels": table[:, 5].astype(np.int64),
            }
        )
    return found


def scene(*boxes: tuple[int, int, int, int]) -> Image:
    image = np.zeros((200, 300, 3), np.uint8)
    for x1, y1, x2, y2 in boxes:
        image[y1:y2, x1:x2] = 255
    return image


def boxes_in(found: Outputs) -> set[tuple[int, ...]]:
    assert (np.diff(found["scores"]) <= 0).all()
    return {tuple(round(side) for side in box) for box in found["boxes"].tolist()}


def test_tiles_cover_an_image() -> None:
    tiles = tiles_of(300, 200, SPEC)
    assert tiles[0] == Tile(0, 0, 100, 100)
    assert tiles[-1] == Tile(200, 100, 300, 200)
    seen = np.zeros((200, 300), np.int64)
    for one in tiles:
        seen[one.y1 : one.y2, one.x1 : one.x2] += 1
        assert (one.x2 - one.x1, one.y2 - one.y1) == (100, 100)
    assert seen.min() == 1
    for one, after in pairwise(tiles[:4]):
        assert one.x2 - after.x1 >= 20
    assert tiles_of(100, 80, SPEC) == []
    assert {one.y2 for one in tiles_of(300, 60, SPEC)} == {60}


def test_small_objects_are_found_once() -> None:
    small, crossing, large = (20, 20, 32, 32), (90, 40, 104, 54), (120, 60, 280, 190)
    image = scene(small, crossing, large)
    (alone,) = look([image])
    assert boxes_in(alone) == {large}
    (found,) = tiled(look, SPEC, PostSpec(), 4)([image])
    assert boxes_in(found) == {small, crossing, large}
    (fewer,) = tiled(look, SPEC, PostSpec(detections=2), 4)([image])
    assert len(fewer["boxes"]) == 2


def test_classes_are_kept() -> None:
    image = scene((20, 20, 32, 32))
    image[20:32, 20:32, 1] = 0
    one, other = scene((20, 20, 32, 32)), image
    results = tiled(look, SPEC, PostSpec(), 4)([one, other])
    assert [row["labels"].tolist() for row in results] == [[2], [1]]


def test_an_image_without_objects() -> None:
    (found,) = tiled(look, SPEC, PostSpec(), 4)([scene()])
    assert found["boxes"].shape == (0, 4)


@pytest.mark.parametrize(
    ("values", "why"),
    [
        ({"tiles": 16}, "--tiles 16 is too small"),
        ({"tiles": 100, "overlap": 1.0}, "--overlap 1.0"),
        ({"overlap": 0.3}, "--overlap 0.3: has no effect without --tiles"),
    ],
)
def test_tiles_that_cannot_be(values: dict[str, float], why: str) -> None:
    with pytest.raises(InputError, match=why):
        TileSpec(**values)
