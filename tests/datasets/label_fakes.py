"""Small labelled sets in the real formats, written to a folder."""

import os
from pathlib import Path

import cv2
import numpy as np
from scipy.io import savemat  # type: ignore[import-untyped]

from datasets.images import save_image
from tests.datasets.fakes import Box, voc_xml


def save_photos(folder: Path, names: list[str], width: int = 24, height: int = 20) -> None:
    """Each photo differs from all others."""
    folder.mkdir(parents=True, exist_ok=True)
    for name in names:
        rng = np.random.default_rng(list(f"{folder}/{name}".encode()))
        save_image(folder / name, rng.integers(0, 255, (height, width, 3), np.uint8))


def write_folders(root: Path, counts: dict[str, int]) -> Path:
    """``a/b`` -> number of photos in that folder."""
    for place, count in counts.items():
        save_photos(root / place, [f"{k}.png" for k in range(count)])
        (root / place).mkdir(parents=True, exist_ok=True)
    return root


def write_picture(file: Path) -> None:
    """Each differs from all others, as a JPEG whatever its suffix."""
    file.parent.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(list(os.fsencode(file)))
    data = cv2.imencode(".jpg", rng.integers(0, 255, (20, 24, 3), np.uint8))[1]
    file.write_bytes(data.tobytes())


TINY = ("n00000002", "n00000001")


def write_tiny(root: Path) -> Path:
    for wnid in TINY:
        save_photos(root / "train" / wnid / "images", [f"{wnid}_{k}.JPEG" for k in range(3)])
    save_photos(root / "val/images", ["val_0.JPEG", "val_1.JPEG"])
    rows = [f"val_{k}.JPEG\t{wnid}\t0\t0\t9\t9\n" for k, wnid in enumerate(TINY)]
    (root / "val/val_annotations.txt").write_text("".join(rows))
    (root / "wnids.txt").write_text("\n".join(TINY))
    (root / "words.txt").write_text("n00000001\tcrane\nn00000002\tgoldfish, Carassius auratus\n")
    return root


DOGS: dict[str, list[Box]] = {
    "n02085620-Chihuahua/n02085620_7": [(3, 4, 10, 12), (5, 2, 20, 9)],
    "n02085620-Chihuahua/n02085620_8": [(1, 1, 24, 20)],
    "n02085782-Japanese_spaniel/n02085782_2": [(2, 2, 9, 9)],
    "n02085782-Japanese_spaniel/n02085782_1": [],
}


def write_dogs(root: Path) -> Path:
    for name, boxes in DOGS.items():
        photo = root / "Images" / f"{name}.jpg"
        save_photos(photo.parent, [photo.name])
        xml = root / "Annotation" / name
        xml.parent.mkdir(parents=True, exist_ok=True)
        if boxes:
            xml.write_text(voc_xml([("dog", box, False) for box in boxes]))
    names = [f"{name}.jpg" for name in DOGS]
    for file, rows in (("train_list.mat", names[:3]), ("test_list.mat", names[3:])):
        savemat(root / file, {"file_list": np.array([[row] for row in rows], dtype=object)})
    return root


def write_pets(root: Path) -> Path:
    stems = ["pug_7", "Bengal_1", "pug_8", "Bengal_cat_2"]
    save_photos(root / "images", [f"{stem}.jpg" for stem in stems])
    (root / "annotations").mkdir()
    (root / "annotations/trainval.txt").write_text("# note\npug_7 29 2 20\nBengal_1 6 1 2\n")
    (root / "annotations/test.txt").write_text("pug_8 29 2 20\n")
    return root
