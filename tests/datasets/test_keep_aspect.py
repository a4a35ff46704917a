"""Photos that keep their shape: where they lie in the square, and boxes there and back."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from datasets.boxes.augmentation import DetectionTransform
from datasets.spec import Augmentation
from datasets.squares import fit_square
from datasets.types import ClassMap, DetectionTarget
from tasks.detection.model import Detector, build_detector, detector_flavour
from tasks.detection.network import NETWORK
from tasks.detection.postprocess import Detections
from tasks.detection.spec import TASK, DetectorSpec
from tasks.predictor import frame_of, rows_of
from tasks.weights.card import Card

SIZE = 96
FILL = [124, 116, 104]
TRANSFORMS = {
    (augmentation, keep_aspect): DetectionTransform(SIZE, augmentation, keep_aspect=keep_aspect)
    for augmentation in ("none", "flip")
    for keep_aspect in (False, True)
}


def detector(keep_aspect: bool) -> tuple[Detector, Card]:
    spec = DetectorSpec(alpha=0.25, size=SIZE, keep_aspect=keep_aspect)
    flavour, classes = detector_flavour("mobilenet_v1").sized(SIZE), ClassMap.from_names("abcd")
    return build_detector(spec, classes), Card(TASK, spec.to_json(), flavour, classes)


DETECTORS = {keep_aspect: detector(keep_aspect) for keep_aspect in (False, True)}


def halves(width: int, height: int) -> np.ndarray:
    """Black on the left, white on the right."""
    image = np.zeros((height, width, 3), np.uint8)
    image[:, width // 2 :] = 255
    return image


def target_of(boxes: np.ndarray) -> DetectionTarget:
    return {
        "boxes": boxes.astype(np.float32),
        "labels": np.arange(1, 1 + len(boxes)),
        "iscrowd": np.zeros(len(boxes), bool),
    }


def back(boxes: np.ndarray, width: int, height: int, keep_aspect: bool) -> np.ndarray:
    """Boxes in pixels of the square, as a detector that finds them exactly would report them."""
    count = len(boxes)
    relative = torch.from_numpy(boxes / SIZE)[None]
    found = Detections(relative, torch.ones(1, count), torch.arange(1, 1 + count)[None])
    frame = frame_of([(width, height)]).double()
    (photo,) = rows_of(NETWORK.decode(*DETECTORS[keep_aspect], found, frame))
    return photo["boxes"]


@pytest.mark.slow
@given(
    seed=st.integers(0, 2**32 - 1),
    width=st.integers(40, 400),
    height=st.integers(40, 400),
    augmentation=st.sampled_from(["none", "flip"]),
    keep_aspect=st.booleans(),
)
@settings(max_examples=150, deadline=None)
def test_boxes_come_back_to_where_they_were(
    seed: int, width: int, height: int, augmentation: Augmentation, keep_aspect: bool
) -> None:
    rng = np.random.default_rng(seed)
    low = rng.random((4, 2)) * (width - 12, height - 12)
    high = low + 10 + rng.random((4, 2)) * ((width - 10, height - 10) - low)
    boxes = np.concatenate((low, high), axis=1)
    transform = TRANSFORMS[augmentation, keep_aspect]
    image, moved = transform(halves(width, height), target_of(boxes), seed)
    inside = moved["boxes"].astype(np.float64)
    if image[0, 0].any():  # White, or filled up: it was flipped.
        inside[:, [0, 2]] = SIZE - inside[:, [2, 0]]
    # A photo is scaled to whole pixels: half a pixel of the square at most.
    pixel = 0.51 * max(width, height) / SIZE if augmentation == "flip" and keep_aspect else 0.01
    assert back(inside, width, height, keep_aspect) == pytest.approx(boxes, abs=pixel)


@pytest.mark.parametrize(("width", "height"), [(300, 100), (100, 300), (70, 70), (900, 4)])
def test_the_rest_of_the_square_is_filled_up(width: int, height: int) -> None:
    white = np.full((height, width, 3), 255, np.uint8)
    square = fit_square(white, SIZE, keep_aspect=True)
    right = max(1, round(SIZE * width / max(width, height)))
    bottom = max(1, round(SIZE * height / max(width, height)))
    assert (square[:bottom, :right] == 255).all()
    assert (square[bottom:] == FILL).all()
    assert (square[:, right:] == FILL).all()


@pytest.mark.parametrize(("width", "height"), [(200, 50), (50, 200)])
def test_training_and_evaluation_see_the_same_picture(width: int, height: int) -> None:
    image, box = halves(width, height), np.array([[5.0, 5.0, 40.0, 45.0]])
    plain = fit_square(image, SIZE, keep_aspect=True)
    assert np.array_equal(TRANSFORMS["none", True](image, target_of(box), 0)[0], plain)
    seen = {
        TRANSFORMS["flip", True](image, target_of(box), seed)[0].tobytes() for seed in range(8)
    }
    assert seen == {plain.tobytes(), np.ascontiguousarray(plain[:, ::-1]).tobytes()}


@pytest.mark.parametrize("augmentation", ["none", "flip", "tf", "ssd"])
def test_a_strip_of_a_picture_trains(augmentation: Augmentation) -> None:
    """Its shorter side comes to a fraction of a pixel."""
    transform = DetectionTransform(SIZE, augmentation, keep_aspect=True)
    for width, height in ((2000, 8), (1, 300)):
        boxes = np.array([[0.0, 0.0, width, height]])
        for seed in range(4):
            picture = np.full((height, width, 3), 9, np.uint8)
            image, moved = transform(picture, target_of(boxes), seed)
            assert image.shape == (SIZE, SIZE, 3)
            assert np.isfinite(moved["boxes"]).all()
