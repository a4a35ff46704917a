"""Copies of a photo are found whatever was done to the file; different photos are not."""

from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from datasets import perceptual_hash
from datasets.builtin.places import draw_place
from datasets.images import Image, read_image, save_image
from datasets.perceptual_hash import hash_files, hash_picture, near
from datasets.spec import COPY_BITS


def resized(image: Image, short: int) -> Image:
    scale = short / min(image.shape[:2])
    size = round(image.shape[1] * scale), round(image.shape[0] * scale)
    return np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_AREA), np.uint8)


def recompressed(image: Image, quality: int) -> Image:
    _, data = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, quality])
    return np.asarray(cv2.imdecode(data, cv2.IMREAD_COLOR), np.uint8)


def cropped(image: Image, top: float, left: float, bottom: float, right: float) -> Image:
    height, width = image.shape[:2]
    rows = slice(int(height * top), height - int(height * bottom))
    return image[rows, int(width * left) : width - int(width * right)]


def mirrored(image: Image) -> Image:
    return np.ascontiguousarray(image[:, ::-1])


VERSIONS: dict[str, Callable[[Image], Image]] = {
    "the same": lambda photo: photo,
    "half as large": lambda photo: resized(photo, 128),
    "thumbnail": lambda photo: resized(photo, 80),
    "larger": lambda photo: resized(photo, 400),
    "square": lambda photo: np.asarray(cv2.resize(photo, (224, 224)), np.uint8),
    "recompressed": lambda photo: recompressed(photo, 25),
    "mirrored": mirrored,
    "brighter": lambda photo: np.clip(photo * 1.2 + 10, 0, 255).astype(np.uint8),
    "grey": lambda photo: np.repeat(photo.mean(2, keepdims=True), 3, 2).astype(np.uint8),
    "cropped by 4 %": lambda photo: cropped(photo, 0.04, 0.04, 0.04, 0.04),
    "all at once": lambda photo: recompressed(
        mirrored(resized(cropped(photo, 0.03, 0.03, 0.03, 0.03), 120)), 50
    ),
}


@pytest.fixture(scope="module", params=["drawn", "real"])
def photos(request: pytest.FixtureRequest) -> list[Image]:
    """Real photos of anything, or drawn views of places in all parts of the world."""
    if request.param == "drawn":
        return [drawn_view(seed) for seed in range(40)]
    root: Path = request.getfixturevalue("real_data")
    files = sorted((root / "imagenet/val").rglob("*.*"))[::5]
    assert len(files) == 100
    return [resized(read_image(file, upright=True), 192) for file in files]


def drawn_view(seed: int) -> Image:
    """Of a place, a camera and a moment of its own."""
    rng, camera = np.random.default_rng(seed), np.random.default_rng([seed, 1])
    lat, lng = rng.uniform(-60, 70), rng.uniform(-180, 180)
    return draw_place(rng, camera, lat, lng, 192)


def hashes_of(pictures: list[Image]) -> NDArray[np.uint64]:
    return np.stack([hash_picture(picture) for picture in pictures])


@pytest.fixture(scope="module")
def hashes(photos: list[Image]) -> NDArray[np.uint64]:
    return hashes_of(photos)


@pytest.mark.slow
@pytest.mark.parametrize("version", VERSIONS)
def test_copies_of_photos_are_found(
    photos: list[Image], hashes: NDArray[np.uint64], version: str
) -> None:
    """All of them, and nothing else: pair k is (k, k)."""
    pairs = near(hashes_of([VERSIONS[version](photo) for photo in photos]), hashes)
    assert pairs.tolist() == [[k, k] for k in range(len(photos))]


@pytest.mark.slow
def test_most_crops_of_one_side_are_found(photos: list[Image], hashes: NDArray[np.uint64]) -> None:
    pairs = near(hashes_of([cropped(photo, 0.03, 0.0, 0.02, 0.03) for photo in photos]), hashes)
    assert (pairs[:, 0] == pairs[:, 1]).all()
    assert len(pairs) >= 0.95 * len(photos)


def test_different_photos_are_far_apart(hashes: NDArray[np.uint64]) -> None:
    """A margin above the threshold, over all pairs."""
    pairs = near(hashes, hashes, COPY_BITS + 2)
    assert (pairs[:, 0] == pairs[:, 1]).all()


@pytest.fixture
def three() -> NDArray[np.uint64]:
    return np.array([[0b0000], [0b0111], [0b1111]], dtype=np.uint64)


@pytest.mark.parametrize(
    ("distance", "pairs"),
    [(0, [[2, 0]]), (1, [[1, 0], [2, 0]]), (3, [[1, 0], [2, 0]]), (4, [[0, 0], [1, 0], [2, 0]])],
)
def test_pairs_by_hand(three: NDArray[np.uint64], distance: int, pairs: list[list[int]]) -> None:
    assert near(three, np.array([[0b1111]], dtype=np.uint64), distance).tolist() == pairs


def test_any_look_will_do_and_a_pair_comes_once() -> None:
    ours = np.array([[0, 2**40 - 1], [2**20 - 1, 2**20 - 1]], dtype=np.uint64)
    theirs = np.array([[2**40 - 1, 0], [2**40 - 2, 2**63]], dtype=np.uint64)
    assert near(ours, theirs, 1).tolist() == [[0, 0], [0, 1]]


def test_a_mirrored_picture_has_every_other_bit_turned(rng: np.random.Generator) -> None:
    picture = rng.integers(0, 256, (96, 64, 3), dtype=np.uint8)
    turned = int(hash_picture(picture)[0] ^ hash_picture(mirrored(picture))[0])
    assert turned == int(perceptual_hash._MIRRORED)
    assert turned.bit_count() == 32


def test_blocks_change_nothing(rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch) -> None:
    one, two = (rng.integers(0, 2**64, (n, 2), dtype=np.uint64) for n in (70, 30))
    whole = near(one, two, 22).tolist()
    assert whole == sorted(whole)
    assert 10 < len(whole) < 2000
    monkeypatch.setattr(perceptual_hash, "_BLOCK", 90)
    assert near(one, two, 22).tolist() == whole


@pytest.mark.parametrize("shape", [(0, 5), (5, 0)])
def test_nothing_is_near_nothing(shape: tuple[int, int]) -> None:
    one, two = (np.zeros((n, 2), dtype=np.uint64) for n in shape)
    assert near(one, two).shape == (0, 2)


def test_files(tmp_path: Path, rng: np.random.Generator) -> None:
    """Turned as EXIF says; what cannot be read is told, and hashed as nothing."""
    from PIL import Image as PilImage

    coarse = rng.integers(0, 256, (6, 8, 3), dtype=np.uint8)
    picture = np.asarray(cv2.resize(coarse, (160, 120), interpolation=cv2.INTER_CUBIC), np.uint8)
    save_image(tmp_path / "a.png", picture)
    (tmp_path / "b.jpg").write_bytes((tmp_path / "a.png").read_bytes()[:300])
    tag = PilImage.Exif()
    tag[0x0112] = 6  # Stored lying on its side.
    stored = PilImage.fromarray(np.ascontiguousarray(np.rot90(picture)))
    stored.save(tmp_path / "c.jpg", exif=tag, quality=90)
    found, read = hash_files([str(tmp_path / name) for name in ("a.png", "b.jpg", "c.jpg")])
    assert read.tolist() == [True, False, True]
    assert found[0].tolist() == hash_picture(picture).tolist()
    assert found[1].tolist() == [0, 0]
    assert near(found[2:], found[:1]).tolist() == [[0, 0]]


@pytest.mark.parametrize("shape", [(1, 1), (3, 200), (500, 2)])
def test_odd_shapes_have_hashes(shape: tuple[int, int]) -> None:
    assert hash_picture(np.full((*shape, 3), 90, np.uint8)).shape == (2,)
