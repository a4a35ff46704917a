"""Label transforms: seeded, square, no more changed than said; evaluation is torchvision's."""

import pickle
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pytest
from PIL import Image as PilImage

from datasets.images import Image, read_image
from datasets.labels.augmentation import LabelTransform
from datasets.spec import LabelAugmentation
from datasets.squares import centre_square

KINDS = get_args(LabelAugmentation)


@pytest.fixture
def photo(rng: np.random.Generator) -> Image:
    coarse = rng.integers(0, 255, (9, 12, 3), dtype=np.uint8)
    return np.asarray(PilImage.fromarray(coarse).resize((120, 90), PilImage.Resampling.BICUBIC))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("shape", [(90, 120), (40, 30), (500, 20), (1, 1)])
def test_squares_of_any_photo(kind: LabelAugmentation, shape: tuple[int, int]) -> None:
    photo = np.full((*shape, 3), 90, np.uint8)
    out = LabelTransform(48, kind)(photo, 3)
    assert out.shape == (48, 48, 3)
    assert out.dtype == np.uint8


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != "none"])
def test_the_seed_decides(kind: LabelAugmentation, photo: Image) -> None:
    transform = LabelTransform(48, kind)
    first = [transform(photo, seed) for seed in range(12)]
    again = [pickle.loads(pickle.dumps(transform))(photo, seed) for seed in range(12)]
    assert all(np.array_equal(a, b) for a, b in zip(first, again, strict=True))
    assert len({image.tobytes() for image in first}) > 10
    before = photo.copy()
    transform(photo, 1)
    assert np.array_equal(before, photo)


def test_evaluation_knows_no_chance(photo: Image) -> None:
    transform = LabelTransform(48, "none")
    assert np.array_equal(transform(photo, 0), transform(photo, 1))


def torchvisions(photo: Image, size: int, method: str) -> Image:
    from torchvision.transforms import v2

    steps = v2.Compose(
        [v2.Resize(round(size / 0.875), v2.InterpolationMode(method)), v2.CenterCrop(size)]
    )
    return np.asarray(steps(PilImage.fromarray(photo)))


@pytest.mark.parametrize("method", ["bilinear", "bicubic"])
@pytest.mark.parametrize("shape", [(90, 120), (121, 90), (77, 77), (64, 333), (30, 20)])
def test_evaluation_is_torchvisions(
    rng: np.random.Generator, method: Any, shape: tuple[int, int]
) -> None:
    photo = rng.integers(0, 255, (*shape, 3), dtype=np.uint8)
    for size in (56, 49):
        out = centre_square(photo, size, interpolation=method).astype(int)
        assert np.abs(out - torchvisions(photo, size, method)).max() <= 1


@pytest.mark.slow
@pytest.mark.parametrize("folder", ["scenes", "real_data"])
def test_evaluation_is_torchvisions_on_photos(request: pytest.FixtureRequest, folder: str) -> None:
    root: Path = request.getfixturevalue(folder)
    pattern = "val/*" if folder == "scenes" else "imagenet/val/*/*"
    files = sorted(root.glob(pattern))[:20]
    assert len(files) >= 8
    for file in files:
        photo = read_image(file, upright=True)
        out = LabelTransform(224, "none")(photo, 0).astype(int)
        assert np.abs(out - torchvisions(photo, 224, "bilinear")).max() <= 1


def share_kept(kind: LabelAugmentation) -> float:
    """Smallest share of a photo's area that 300 windows show; its red channel is a ramp."""
    ramp = np.zeros((100, 100, 3), np.uint8)
    ramp[..., 0] = np.arange(100) * 2
    ramp[..., 1] = np.arange(100)[:, None] * 2
    transform = LabelTransform(100, kind)
    outs = [transform(ramp, seed) for seed in range(300)]
    spans = [[float(np.ptp(o[..., c])) / 198 for c in (0, 1)] for o in outs]
    return min(x * y for x, y in spans)


@pytest.mark.slow
def test_mild_windows_are_larger() -> None:
    assert share_kept("mild") > 0.3
    assert share_kept("modern") < 0.2


def test_flips_come_with_windows_of_any_size() -> None:
    """Each step draws for itself; once all drew the same, and only small windows were flipped."""
    ramp = np.repeat(np.arange(0, 200, 2, dtype=np.uint8)[None, :, None], 3, axis=2)
    transform = LabelTransform(100, "mild")
    outs = [transform(np.repeat(ramp, 100, axis=0), s)[0, :, 0].astype(int) for s in range(300)]
    spans = np.array([out[-1] - out[0] for out in outs]) / 198
    flipped, kept = -spans[spans < 0], spans[spans > 0]
    assert 120 < len(flipped) < 180
    assert abs(flipped.mean() - kept.mean()) < 0.06


@pytest.mark.slow
def test_small_shifts_by_an_eighth() -> None:
    grey = np.full((32, 32, 3), 100, np.uint8)
    grey[16, 16] = 255
    places = [np.argwhere(LabelTransform(32, "small")(grey, s)[..., 0] > 200) for s in range(200)]
    rows = np.concatenate(places)
    assert rows[:, 0].min() == 12
    assert rows[:, 0].max() == 20
    assert len({tuple(row) for row in rows.tolist()}) > 40


@pytest.mark.slow
def test_tf_slim_changes_brightness_and_saturation() -> None:
    photo = np.zeros((64, 64, 3), np.uint8)
    photo[:] = (150, 100, 100)
    outs = [LabelTransform(32, "tf_slim")(photo, seed)[0, 0].astype(int) for seed in range(200)]
    spread = [int(out.max() - out.min()) for out in outs]
    assert min(spread) < 32
    assert max(spread) > 68
    assert max(abs(int(out.mean()) - 116) for out in outs) in range(25, 45)
    flat = LabelTransform(32, "mild")(photo, 1)
    assert (flat == (150, 100, 100)).all()


def test_a_crop_out_of_range_is_refused() -> None:
    with pytest.raises(ValueError, match="crop 0 is"):
        LabelTransform(48, "modern", crop=0)


@pytest.mark.slow
@pytest.mark.parametrize("size", [32, 64, 100, 224])
def test_the_centre_of_photos_of_any_size(size: int) -> None:
    """Also where a side times its scale is a rounding error less than a whole number."""
    for side in range(1, 400):
        for photo in (
            np.zeros((side, side + 7, 3), np.uint8),
            np.zeros((side, side, 3), np.uint8),
        ):
            assert centre_square(photo, size, crop=1.0).shape == (size, size, 3)
