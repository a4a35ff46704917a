"""Small sets of faces as photos of one grey, and the pairs to tell apart."""

import io
from pathlib import Path

import numpy as np
from PIL import Image as PilImage


def picture(value: int) -> bytes:
    """A PNG of one grey."""
    file = io.BytesIO()
    PilImage.fromarray(np.full((6, 6, 3), value, np.uint8)).save(file, "PNG")
    return file.getvalue()


def write_pairs(root: Path, head: str, *lines: str) -> None:
    (root / "pairs.txt").write_text("\n".join([head, *lines]).replace(" ", "\t") + "\n")


FOLDS = (
    "A_Person 1 2",
    "A_Person 1 B_Person 3",
    "C_Person 2 3",
    "C_Person 1 D_Person 1",
    "E_Person 3 1",
    "E_Person 2 F_Person 2",
)


def write_people(root: Path, counts: dict[str, int], first: int = 0) -> Path:
    """So many photos of each person, each of another grey."""
    for name, count in counts.items():
        folder = root / f"{name}_Person"
        folder.mkdir(parents=True)
        for k in range(1, count + 1):
            first += 1
            (folder / f"{folder.name}_{k:04d}.png").write_bytes(picture(first))
    return root
