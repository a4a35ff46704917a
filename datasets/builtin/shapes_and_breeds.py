"""Built-in images with one label each: shapes, breeds in Stanford Dogs' layout, a noisy web."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy.io import savemat  # type: ignore[import-untyped]

from datasets.builtin.breed_drawing import BREEDS, draw_animal
from datasets.builtin.make_once import make_once
from datasets.builtin.scenes import SHAPES, background, clutter, outline, paint
from datasets.images import Image, crop_to_box, save_image
from datasets.parallel import in_threads

SHAPES_STAMP, BREEDS_STAMP, WEB_STAMP = "shapes.json", "breeds.json", "web.json"
_PARTS = ("train", "val")
_TRAIN, _TEST, _WEB, _STRAY = range(4)

Key = tuple[int, int, int, int]  # Seed of an image: the set's, kind, label, index.


def draw_shapes(
    root: Path, *, num_train: int = 300, num_val: int = 50, size: int = 64, seed: int = 0
) -> Path:
    """Draw one shape per image (``train/circle/0000.png``), unless they already exist.

    Args:
        root: Folder to fill.
        num_train: Number of training images of each class.
        num_val: Number of validation images of each class.
        size: Side of the images in pixels.
        seed: Seed of all images.

    Raises:
        InputError: If ``root`` holds something else.
    """

    def fill(folder: Path) -> None:
        def draw(key: Key) -> None:
            _, part, label, index = key
            place = folder / _PARTS[part] / SHAPES[label]
            place.mkdir(parents=True, exist_ok=True)
            picture = draw_shape(np.random.default_rng(key), SHAPES[label], size)
            save_image(place / f"{index:04d}.png", picture)

        keys = _keys(seed, {_TRAIN: num_train, _TEST: num_val}, len(SHAPES))
        in_threads(draw, keys, "drawing shapes", unit="image", delay=0)

    wanted = _wanted(num_train, num_val, size, seed)
    return make_once(root, SHAPES_STAMP, wanted, fill)


def draw_shape(rng: np.random.Generator, shape: str, size: int) -> Image:
    """One shape somewhere on a cluttered background: (size, size, 3) RGB."""
    large = 2 * size  # Clutter has a fixed size in pixels; halved, it fits the shape.
    picture = background(rng, large, large)
    clutter(rng, picture)
    radius = large * rng.uniform(0.2, 0.42)
    centre = rng.uniform(0.8 * radius, large - 0.8 * radius, 2)
    paint(rng, picture, [points * radius + centre for points in outline(rng, shape)])
    small = cv2.resize(picture, (size, size), interpolation=cv2.INTER_AREA)
    noise = rng.standard_normal((size, size, 1), dtype=np.float32) * np.float32(rng.uniform(1, 7))
    return np.asarray(np.clip(small + noise, 0, 255), np.uint8)


def draw_breeds(
    root: Path, *, num_train: int = 100, num_val: int = 30, size: int = 128, seed: int = 0
) -> Path:
    """Draw built-in breeds in Stanford Dogs' own layout, unless they already exist.

    Args:
        root: Folder to fill.
        num_train: Number of training images of each breed; Stanford Dogs has 100.
        num_val: Number of test images of each breed.
        size: Side of the images in pixels.
        seed: Seed of all images.

    Raises:
        InputError: If ``root`` holds something else.
    """

    def fill(folder: Path) -> None:
        def draw(key: Key) -> None:
            _, part, label, index = key
            name = _breed_file(label, part * num_train + index)
            picture, box = draw_animal(np.random.default_rng(key), BREEDS[label], size)
            for below in ("Images", "Annotation"):
                (folder / below / name).parent.mkdir(parents=True, exist_ok=True)
            save_image(folder / "Images" / f"{name}.jpg", picture)
            (folder / "Annotation" / name).write_text(_xml(name, box, size), encoding="utf-8")

        keys = _keys(seed, {_TRAIN: num_train, _TEST: num_val}, len(BREEDS))
        in_threads(draw, keys, "drawing breeds", unit="image", delay=0)
        _write_list(folder / "train_list.mat", range(num_train))
        _write_list(folder / "test_list.mat", range(num_train, num_train + num_val))

    return make_once(root, BREEDS_STAMP, _wanted(num_train, num_val, size, seed), fill)


def draw_web(
    root: Path,
    *,
    num: int = 150,
    wrong: float = 0.25,
    copies: int = 3,
    strays: int = 10,
    size: int = 128,
    seed: int = 0,
) -> Path:
    """Draw what a web search for each breed might return, unless it already exists.

    It contains close-ups in folders with common names (``alder hound``), a known share of which
    show another breed; copies of test images of :func:`draw_breeds` with the same size and seed,
    smaller, recompressed, every other one mirrored (``seen_*.jpg``); and a folder that is not a
    breed.

    Args:
        root: Folder to fill.
        num: Number of images of each breed, without copies.
        wrong: Share of them that show another breed.
        copies: Number of copies of test images, per breed.
        strays: Number of images in the folder that is not a breed.
        size: Side in pixels at which animals are drawn; close-ups are smaller.
        seed: Seed of the breeds that this web belongs to.

    Raises:
        InputError: If ``root`` holds something else.
    """
    counts = {_TEST: copies, _WEB: num}
    keys = _keys(seed, counts, len(BREEDS))
    keys += [(seed, _STRAY, index % len(BREEDS), index) for index in range(strays)]

    def fill(folder: Path) -> None:
        draw = partial(_draw_found, folder, size=size, wrong=round(wrong * num))
        in_threads(draw, keys, "drawing a web", unit="image", delay=0)

    wanted = {"version": 1, "num": num, "wrong": wrong, "copies": copies, "strays": strays}
    return make_once(root, WEB_STAMP, {**wanted, "size": size, "seed": seed}, fill)


def _draw_found(folder: Path, key: Key, *, size: int, wrong: int) -> None:
    """One image from the web; the first ``wrong`` of a breed show another one."""
    _, kind, label, index = key
    rng = np.random.default_rng((*key, 1))
    if kind == _TEST:
        picture, name = _copied(rng, key, size), f"seen_{index:03d}.jpg"
    else:
        other = kind == _STRAY or index < wrong
        shown = (label + other * int(rng.integers(1, len(BREEDS)))) % len(BREEDS)
        whole, box = draw_animal(np.random.default_rng(key), BREEDS[shown], size)
        picture, name = crop_to_box(whole, box, rng.uniform(0, 0.25)), f"{index:04d}.jpg"
    spoken = BREEDS[label].name.replace("_", " ").lower()
    place = folder / ("mixed breeds" if kind == _STRAY else spoken)
    place.mkdir(parents=True, exist_ok=True)
    save_image(place / name, picture, quality=int(rng.integers(70, 95)))


def _copied(rng: np.random.Generator, key: Key, size: int) -> Image:
    """A copy of a test image: smaller, and every other one mirrored."""
    picture, _ = draw_animal(np.random.default_rng(key), BREEDS[key[2]], size)
    side = round(size * rng.uniform(0.7, 0.9))
    small = cv2.resize(picture, (side, side), interpolation=cv2.INTER_AREA)
    return np.ascontiguousarray(small[:, ::-1] if key[3] % 2 else small, dtype=np.uint8)


def _wanted(num_train: int, num_val: int, size: int, seed: int) -> dict[str, int]:
    counts = {"num_train": num_train, "num_val": num_val}
    return {"version": 1, **counts, "size": size, "seed": seed}


def _keys(seed: int, counts: dict[int, int], num_classes: int) -> list[Key]:
    """Keys of all images, with a number of images per kind and class."""
    return [
        (seed, kind, label, index)
        for kind, count in counts.items()
        for label in range(num_classes)
        for index in range(count)
    ]


def _breed_file(label: int, number: int) -> str:
    """Name of a file as in Stanford Dogs, without suffix; the WordNet ids are invented."""
    wnid = f"n9{label:07d}"
    return f"{wnid}-{BREEDS[label].name}/{wnid}_{number}"


def _write_list(file: Path, numbers: range) -> None:
    pairs = [(label, n) for label in range(len(BREEDS)) for n in numbers]
    names = [_breed_file(*pair) for pair in pairs]
    content = {
        "file_list": np.array([[f"{name}.jpg"] for name in names], dtype=object),
        "annotation_list": np.array([[name] for name in names], dtype=object),
        "labels": np.array([[label + 1] for label, _ in pairs], dtype=np.uint8),
    }
    savemat(str(file), content)


def _xml(name: str, box: NDArray[np.float64], size: int) -> str:
    """An annotation; pixels count from 1, and the last one is included."""
    x1, y1 = (np.floor(box[:2]) + 1).astype(int)
    x2, y2 = np.ceil(box[2:]).astype(int)
    folder, _, stem = name.partition("/")
    return (
        f"<annotation><folder>{folder[1:9]}</folder><filename>{stem}</filename>"
        f"<size><width>{size}</width><height>{size}</height><depth>3</depth></size>"
        f"<object><name>{folder.partition('-')[2]}</name><difficult>0</difficult>"
        f"<bndbox><xmin>{x1}</xmin><ymin>{y1}</ymin><xmax>{x2}</xmax><ymax>{y2}</ymax></bndbox>"
        "</object></annotation>\n"
    )
