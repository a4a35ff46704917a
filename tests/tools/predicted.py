"""Images to predict on, and what predict.py leaves of them."""

from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from tests.json_results import ROWS, fault_of, strict

# What an export of random weights finds in anything.
EASY = ("--score-threshold", 0.3)


def draw_album(root: Path, count: int) -> Path:
    """Small images of noise in two folders, of several sizes."""
    rng = np.random.default_rng(0)
    for number in range(count):
        folder = root / ("left" if number % 3 else "right")
        folder.mkdir(parents=True, exist_ok=True)
        blocks = rng.integers(0, 255, (4, 5, 3), dtype=np.uint8)
        pixels = blocks.repeat(8 + number % 3, 0).repeat(9, 1)
        Image.fromarray(pixels).save(folder / f"{number:03d}.png")
    return root


def lines_of(folder: Path) -> list[dict[str, Any]]:
    """The rows of predictions.jsonl, which are as their schema says."""
    text = (folder / "predictions.jsonl").read_text(encoding="utf-8")
    rows = [strict(line) for line in text.splitlines()]
    faults = [fault for row in rows if (fault := fault_of(row, ROWS))]
    assert not faults, faults
    return rows


def names_in(folder: Path) -> list[str]:
    """The files that were answered, in order."""
    return [row["file"] for row in lines_of(folder)]
