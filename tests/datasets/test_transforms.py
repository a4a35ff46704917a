"""Augmentation: boxes follow their objects, and a seed is a seed."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from datasets.boxes.augmentation import A, DetectionTransform, seed_steps
from datasets.spec import Augmentation
from datasets.types import DetectionTarget

SIZE = 120
COLOURS = {1: (220, 30, 30), 2: (30, 220, 30), 3: (30, 30, 220)}
BOXES = [(10, 20, 70, 90), (90, 30, 150, 80), (40, 100, 120, 140)]


def picture() -> tuple[np.ndarray, DetectionTarget]:
    """Three bright rectangles on grey, exactly filling their boxes."""
    image = np.full((150, 170, 3), 90, np.uint8)
    for label, (x1, y1, x2, y2) in enumerate(BOXES, start=1):
        image[y1:y2, x1:x2] = COLOURS[label]
    target: DetectionTarget = {
        "boxes": np.array(BOXES, np.float32),
        "labels": np.array([1, 2, 3]),
        "iscrowd": np.array([False, False, True]),
    }
    return image, target


def extent(image: np.ndarray, label: int) -> tuple[int, int, int, int] | None:
    """Bounds of a colour in the picture."""
    channel = label - 1
    others = [c for c in range(3) if c != channel]
    strong = image[..., channel].astype(int) - image[..., others].max(axis=-1) > 60
    rows, columns = np.flatnonzero(strong.any(1)), np.flatnonzero(strong.any(0))
    if not len(rows):
        return None
    return columns[0], rows[0], columns[-1] + 1, rows[-1] + 1


@pytest.mark.parametrize("augmentation", ["none", "flip", "tf"])
@pytest.mark.parametrize("keep_aspect", [False, True])
@pytest.mark.parametrize("seed", range(12))
def test_boxes_follow_their_objects(
    augmentation: Augmentation, seed: int, keep_aspect: bool
) -> None:
    transform = DetectionTransform(SIZE, augmentation, keep_aspect=keep_aspect)
    image, target = transform(*picture(), seed)
    assert image.shape == (SIZE, SIZE, 3)
    assert image.dtype == np.uint8
    assert target["labels"].dtype == np.int64
    for box, label, crowd in zip(
        target["boxes"], target["labels"], target["iscrowd"], strict=True
    ):
        assert crowd == (label == 3)
        assert box == pytest.approx(extent(image, int(label)), abs=2.5)


@pytest.mark.slow
@given(
    seed=st.integers(0, 2**32 - 1),
    width=st.integers(8, 200),
    height=st.integers(8, 200),
    full=st.sampled_from(["warped", "padded"]),
)
@settings(max_examples=80, deadline=None)
def test_full_augmentation_keeps_every_promise(
    seed: int, width: int, height: int, full: str
) -> None:
    rng = np.random.default_rng(seed)
    low = rng.random((5, 2)) * (width - 4, height - 4)
    high = low + 2 + rng.random((5, 2)) * ((width, height) - low - 2)
    target: DetectionTarget = {
        "boxes": np.concatenate((low, high), axis=1).astype(np.float32),
        "labels": np.arange(1, 6),
        "iscrowd": np.zeros(5, bool),
    }
    picture = rng.integers(0, 256, (height, width, 3), dtype=np.uint8)
    image, moved = {"warped": FULL, "padded": PADDED}[full](picture, target, seed)
    boxes = moved["boxes"]
    assert image.shape == (SIZE, SIZE, 3)
    assert boxes.dtype == np.float32
    assert boxes.shape == (len(moved["labels"]), 4)
    assert (boxes >= 0).all()
    assert (boxes <= SIZE).all()
    assert ((boxes[:, 2:] - boxes[:, :2]) >= 1).all()
    assert set(moved["labels"].tolist()) <= {1, 2, 3, 4, 5}


FULL = DetectionTransform(SIZE, "ssd")
PADDED = DetectionTransform(SIZE, "ssd", keep_aspect=True)


def test_the_same_seed_gives_the_same_and_another_another() -> None:
    one, again, other = (FULL(*picture(), seed)[0] for seed in (5, 5, 6))
    assert np.array_equal(one, again)
    assert not np.array_equal(one, other)
    fresh = DetectionTransform(SIZE, "ssd")(*picture(), 5)[0]
    assert np.array_equal(one, fresh)


@pytest.mark.parametrize("augmentation", ["none", "flip", "tf", "ssd"])
def test_images_without_objects(augmentation: Augmentation) -> None:
    image, _ = picture()
    target: DetectionTarget = {
        "boxes": np.zeros((0, 4), np.float32),
        "labels": np.zeros(0, np.int64),
        "iscrowd": np.zeros(0, bool),
    }
    for seed in range(10):
        out, moved = DetectionTransform(SIZE, augmentation)(image, target, seed)
        assert out.shape == (SIZE, SIZE, 3)
        assert moved["boxes"].shape == (0, 4)
        assert moved["labels"].dtype == np.int64


@pytest.mark.slow
def test_flipping_happens_half_the_time() -> None:
    transform = DetectionTransform(SIZE, "flip")
    sides = [transform(*picture(), seed)[1]["boxes"][0, 0] < SIZE / 3 for seed in range(200)]
    assert 70 < sum(sides) < 130


def test_steps_draw_one_after_another() -> None:
    """Of two coins that are thrown for each picture, all four results come."""
    flips = A.Compose([A.HorizontalFlip(p=0.5), A.VerticalFlip(p=0.5)])
    corner = np.zeros((2, 2, 3), np.uint8)
    corner[0, 0] = 255
    places = []
    for seed in range(200):
        seed_steps(flips, seed)
        places.append(int(flips(image=corner)["image"][..., 0].argmax()))
    assert min(np.bincount(places, minlength=4)) > 30


@pytest.mark.slow
def test_crops_zoom_in_and_padding_zooms_out() -> None:
    def widths(augmentation: Augmentation) -> list[float]:
        transform = DetectionTransform(SIZE, augmentation)
        found: list[float] = []
        for seed in range(80):
            _, target = transform(*picture(), seed)
            box = target["boxes"][target["labels"] == 1]
            found += (box[:, 2] - box[:, 0]).tolist()
        return found

    plain: Any = 60 / 170 * SIZE
    assert max(widths("tf")) > 1.8 * plain
    assert min(widths("ssd")) < 0.5 * plain


@pytest.mark.slow
def test_a_kept_box_has_its_centre_in_the_crop() -> None:
    """So at least a quarter of every kept object is visible."""
    transform = DetectionTransform(SIZE, "tf")
    for seed in range(60):
        image, target = transform(*picture(), seed)
        for label in target["labels"].tolist():
            assert extent(image, label) is not None
