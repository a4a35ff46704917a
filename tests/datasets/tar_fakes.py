"""Archives of drawn pictures."""

import io
import tarfile
from pathlib import Path

import cv2
import numpy as np


def write_tar(file: Path, members: dict[str, bytes]) -> Path:
    file.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(file, "w") as tar:
        for name, content in members.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    return file


def jpeg(value: int) -> bytes:
    """A picture of 24 x 20 pixels in one colour."""
    return bytes(cv2.imencode(".jpg", np.full((20, 24, 3), value, np.uint8))[1])
