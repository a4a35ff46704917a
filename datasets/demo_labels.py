"""Built-in pictures with one label each: shapes in folders, animals as Stanford Dogs."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy.io import savemat  # type: ignore[import-untyped]
from tqdm import tqdm

from datasets.breeds import BREEDS, draw_animal
from datasets.demo import SHAPES, background, clutter, outline, paint
from datasets.images import Image, save_image
from datasets.stamp import make_once

SHAPES_STAMP, BREEDS_STAMP = "shapes.json", "breeds.json"
_PARTS = ("train", "val")


def draw_shapes(
    root: Path, *, num_train: int = 300, num_val: int = 50, size: int = 64, seed: int = 0
) -> Path:
    """Draw the shapes of :mod:`datasets.demo`, one per picture, unless they are there already.

    Args:
        root: Folder to fill: ``train/circle/0000.png`` and so on.
        num_train: Training pictures of each class.
        num_val: Held-out pictures of each class.
        size: Side of the pictures in pixels.
        seed: Another seed is another set.

    Returns:
        ``root``.

    Raises:
        ValueError: If ``root`` holds something else.
    """

    def fill(folder: Path) -> None:
        def draw(key: tuple[int, ...]) -> None:
            _, part, label, index = key
            place = folder / _PARTS[part] / SHAPES[label]
            place.mkdir(parents=True, exist_ok=True)
            picture = draw_shape(np.random.default_rng(key), SHAPES[label], size)
            save_image(place / f"{index:04d}.png", picture)

        _draw_all(draw, seed, (num_train, num_val), len(SHAPES), "drawing shapes")

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
    """Draw :data:`datasets.breeds.BREEDS` in Stanford Dogs' own layout, unless they are there.

    Args:
        root: Folder to fill: ``Images/``, ``Annotation/``, ``train_list.mat``,
            ``test_list.mat``.
        num_train: Training pictures of each breed (Stanford Dogs has 100).
        num_val: Test pictures of each breed.
        size: Side of the pictures in pixels.
        seed: Another seed is another set.

    Returns:
        ``root``.

    Raises:
        ValueError: If ``root`` holds something else.
    """

    def fill(folder: Path) -> None:
        def draw(key: tuple[int, ...]) -> None:
            _, part, label, index = key
            name = _breed_file(label, part * num_train + index)
            picture, box = draw_animal(np.random.default_rng(key), BREEDS[label], size)
            for below in ("Images", "Annotation"):
                (folder / below / name).parent.mkdir(parents=True, exist_ok=True)
            save_image(folder / "Images" / f"{name}.jpg", picture)
            (folder / "Annotation" / name).write_text(_xml(name, box, size))

        _draw_all(draw, seed, (num_train, num_val), len(BREEDS), "drawing breeds")
        _write_list(folder / "train_list.mat", range(num_train))
        _write_list(folder / "test_list.mat", range(num_train, num_train + num_val))

    return make_once(root, BREEDS_STAMP, _wanted(num_train, num_val, size, seed), fill)


def _wanted(num_train: int, num_val: int, size: int, seed: int) -> dict[str, int]:
    counts = {"num_train": num_train, "num_val": num_val}
    return {"version": 1, **counts, "size": size, "seed": seed}


def _draw_all(
    draw: Callable[[tuple[int, ...]], None],
    seed: int,
    counts: tuple[int, int],
    num_classes: int,
    title: str,
) -> None:
    """Call ``draw`` with every (seed, part, label, index)."""
    keys = [
        (seed, part, label, index)
        for part, count in enumerate(counts)
        for label in range(num_classes)
        for index in range(count)
    ]
    with ThreadPoolExecutor() as pool:
        list(tqdm(pool.map(draw, keys), title, len(keys), unit="image"))


def _breed_file(label: int, number: int) -> str:
    """As Stanford Dogs names its files, without suffix; the WordNet ids are made up."""
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
    """Pixels count from 1, and the last one is included."""
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
