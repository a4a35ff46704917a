"""Alignment of faces by five points, and a detector of these points.

The points are moved to their positions in the 112-pixel faces on which ArcFace and most public
face networks are trained (Deng et al., arXiv 1801.07698).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from datasets.errors import InputError
from datasets.images import Image
from datasets.text import read_text

Points = NDArray[np.float64]
_TEMPLATE_SIDE = 112
# Eyes, nose and corners of the mouth in an image of 112 pixels, the left of the image first.
TEMPLATE: Points = np.array(
    [
        (38.2946, 51.6963),
        (73.5318, 51.5014),
        (56.0252, 71.7366),
        (41.5493, 92.3655),
        (70.7299, 92.2041),
    ]
)
# OpenCV's YuNet is trained on faces of at most about this many pixels.
_DETECTION_SIDE = 640
_SCORE = 0.6


def similarity(source: Points, target: Points) -> NDArray[np.float64]:
    """Rotation, scale and shift that bring points nearest to others, by least squares.

    Umeyama, "Least-squares estimation of transformation parameters between two point patterns"
    (1991), equations 40 to 43; no mirroring.

    Args:
        source: (N, 2) points that are not all the same.
        target: (N, 2) where they should be.

    Returns:
        (2, 3) matrix: target is about matrix[:, :2] @ source + matrix[:, 2].

    Raises:
        InputError: If the source points are all the same.
    """
    middle_source, middle_target = source.mean(axis=0), target.mean(axis=0)
    from_middle = source - middle_source
    variance = float((from_middle**2).sum() / len(source))
    if not variance > 0:
        raise InputError(f"points of a face are all at {middle_source.tolist()}")
    covariance = (target - middle_target).T @ from_middle / len(source)
    left, values, right = np.linalg.svd(covariance)
    signs = np.array([1.0, np.sign(np.linalg.det(left @ right))])
    rotation = left @ np.diag(signs) @ right
    scale = float((values * signs).sum()) / variance
    linear = scale * rotation
    return np.column_stack((linear, middle_target - linear @ middle_source))


def align_face(image: Image, points: Points, side: int = _TEMPLATE_SIDE) -> Image:
    """Cut out a face so that its points are at the positions in :data:`TEMPLATE`.

    Args:
        image: Image (H, W, 3).
        points: (5, 2) x, y in pixels.
        side: Side of the result, (side, side, 3), in pixels; it is black beyond the image.
    """
    target = TEMPLATE * (side / _TEMPLATE_SIDE)
    matrix = similarity(points, target)
    scale = float(np.sqrt(abs(np.linalg.det(matrix[:, :2]))))
    if scale < 0.5:  # warpAffine looks at four pixels only: shrink large images first.
        share = 2 * scale
        size = (max(round(image.shape[1] * share), 1), max(round(image.shape[0] * share), 1))
        image = np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_AREA), np.uint8)
        matrix = similarity(points * share, target)
    warped = cv2.warpAffine(image, matrix, (side, side), flags=cv2.INTER_LINEAR)
    return np.asarray(warped, np.uint8)


class PointDetector:
    """Finds the five points of the largest face in an image with OpenCV's YuNet.

    Args:
        model: File ``face_detection_yunet_2023mar.onnx`` of OpenCV's model zoo.

    Raises:
        InputError: If the file does not exist, or OpenCV cannot read it.
    """

    def __init__(self, model: Path) -> None:
        if not model.is_file():
            raise InputError(f"--detector {model}: no such file")
        self.model = model
        try:
            self._network = cv2.FaceDetectorYN.create(str(model), "", (320, 320), _SCORE)
        except cv2.error as error:
            raise InputError(
                f"--detector {model}: OpenCV cannot read it as its face detector "
                f"({error.err or 'no reason given'})"
            ) from error

    def __call__(self, image: Image) -> Points | None:
        """(5, 2) points in pixels of an image (H, W, 3) RGB, in the order of ``FaceData``."""
        share = min(1.0, _DETECTION_SIDE / max(image.shape[:2]))
        size = (max(round(image.shape[1] * share), 1), max(round(image.shape[0] * share), 1))
        small = cv2.resize(image, size, interpolation=cv2.INTER_AREA)
        self._network.setInputSize(size)
        _, faces = self._network.detect(np.ascontiguousarray(small[..., ::-1]))
        if faces is None or not len(faces):
            return None
        largest = faces[int(np.argmax(faces[:, 2] * faces[:, 3]))]
        # YuNet's order: right eye, left eye, nose, right and left corner of the mouth, from the
        # person's view.
        points: Points = np.asarray(largest[4:14], dtype=np.float64).reshape(5, 2) / share
        return points


def read_points(file: Path, names: Sequence[str]) -> Points:
    """Five points of each image from a list: CelebA's landmarks, or ``file,x1,y1,...,x5,y5``.

    Args:
        file: Text file with an image per line, separated by spaces or commas; lines before the
            first image's are headings.
        names: (N,) paths of the images as in the list; otherwise file names that appear once in
            it.

    Returns:
        (N, 5, 2) x, y in pixels.

    Raises:
        InputError: If an image has no line, or a line does not have ten numbers; the message names
            file and line.
    """
    found: dict[str, Points] = {}
    for number, line in enumerate(read_text(file).splitlines(), start=1):
        fields = line.replace(",", " ").split()
        if not fields or (not found and len(fields) != 11):
            continue
        try:
            values = np.array([float(field) for field in fields[1:]], dtype=np.float64)
        except ValueError:
            if not found:
                continue  # A heading of eleven words.
            values = np.empty(0)
        if values.size != 10 or not np.isfinite(values).all():
            raise InputError(f"{file}: line {number}: no file name and ten numbers: {line[:80]!r}")
        found[fields[0]] = values.reshape(5, 2)
    counts = Counter(Path(name).name for name in found)
    short = {Path(k).name: row for k, row in found.items() if counts[Path(k).name] == 1}
    rows = []
    for name in names:
        row = found.get(name, short.get(Path(name).name))
        if row is None:
            raise InputError(f"{file}: no points of {name}")
        rows.append(row)
    return np.array(rows).reshape(-1, 5, 2)
