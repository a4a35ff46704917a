"""Short videos."""

from pathlib import Path

import cv2
import numpy as np


def write_film(file: Path, frames: int) -> Path:
    """Noise of 96x64 pixels, 12 frames a second."""
    writer = cv2.VideoWriter(str(file), cv2.VideoWriter.fourcc(*"MJPG"), 12.0, (96, 64))
    rng = np.random.default_rng(0)
    for _ in range(frames):
        writer.write(rng.integers(0, 255, (64, 96, 3), dtype=np.uint8))
    writer.release()
    return file
