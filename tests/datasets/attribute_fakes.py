"""Small sets of face attributes in the real formats, with grey squares for faces."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from scipy.io import savemat  # type: ignore[import-untyped]

from datasets.images import save_image

NAMES = ("Eyeglasses", "Smiling", "Wearing_Hat")
SIGNS = ((1, -1, -1), (-1, 1, -1), (1, 1, -1), (-1, -1, 1), (-1, -1, -1), (1, 1, 1))


def picture(file: Path, level: int, size: int = 40) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    save_image(file, np.full((size, size, 3), level, np.uint8))


def write_celeba(
    root: Path, parts: Sequence[int] | None = (0, 0, 0, 0, 1, 2), people: Sequence[int] = ()
) -> Path:
    """Six photos as CelebA lists them."""
    names = [f"{k + 1:06d}.jpg" for k in range(len(SIGNS))]
    for k, name in enumerate(names):
        picture(root / "img_align_celeba" / name, 30 * k)
    rows = [
        f"{name} {' '.join(f'{v:2d}' for v in row)}"
        for name, row in zip(names, SIGNS, strict=True)
    ]
    text = "\n".join([str(len(names)), " ".join(NAMES) + " ", *rows])
    (root / "list_attr_celeba.txt").write_text(text + "\n")
    for file, numbers in (("list_eval_partition.txt", parts), ("identity_CelebA.txt", people)):
        if numbers:
            lines = (f"{name} {number}" for name, number in zip(names, numbers, strict=True))
            (root / file).write_text("\n".join(lines) + "\n")
    return root


LFWA_FILES = tuple(
    f"Person_{person}\\Person_{person}_{k:04d}.jpg" for person in "ABCDEFGH" for k in (1, 2)
)
LFWA_LABELS = np.array([[k % 2, k // 8, k % 3 == 0] for k in range(16)], np.uint8)
LFWA_TRAIN, LFWA_TEST = np.arange(1, 13), np.arange(13, 17)


def write_lfwa(root: Path) -> Path:
    """Sixteen photos of eight people as LFWA lists them, in MATLAB's older format."""
    _draw_lfwa(root)
    cells: dict[str, Any] = {
        "AttrName": np.array([[name] for name in NAMES], dtype=object),
        "label": LFWA_LABELS,
        "name": np.array([[name] for name in LFWA_FILES], dtype=object),
    }
    savemat(root / "lfw_att_40.mat", cells)
    indices = {"indices_img_train": LFWA_TRAIN[:, None], "indices_img_test": LFWA_TEST[:, None]}
    savemat(root / "indices_train_test.mat", indices)
    return root


def write_lfwa_hdf5(root: Path) -> Path:
    """The same in MATLAB's format 7.3, as it was published."""
    _draw_lfwa(root)
    _hdf5(root / "lfw_att_40.mat", {"label": LFWA_LABELS}, {"AttrName": NAMES, "name": LFWA_FILES})
    numbers = {
        "indices_img_train": LFWA_TRAIN[:, None].astype(np.float64),
        "indices_img_test": LFWA_TEST[:, None].astype(np.float64),
    }
    _hdf5(root / "indices_train_test.mat", numbers, {})
    return root


def _hdf5(file: Path, numbers: dict[str, Any], texts: dict[str, Sequence[str]]) -> None:
    """MATLAB's header, then HDF5 with its axes turned round and cells by reference."""
    import h5py

    with h5py.File(file, "w", userblock_size=512) as opened:
        for name, value in numbers.items():
            opened[name] = value.T
        for name, words in texts.items():
            cells = []
            for k, word in enumerate(words):
                codes = np.array([[ord(letter)] for letter in word], np.uint16)
                cells.append(opened.create_dataset(f"#refs#/{name}{k}", data=codes).ref)
            opened.create_dataset(name, data=np.array([cells], dtype=h5py.ref_dtype))
    header = b"MATLAB 7.3 MAT-file".ljust(124) + bytes((0, 2)) + b"IM"
    with file.open("r+b") as raw:
        raw.write(header)


def _draw_lfwa(root: Path) -> None:
    for k, name in enumerate(LFWA_FILES):
        picture(root / "lfw" / name.replace("\\", "/"), 10 * k)
