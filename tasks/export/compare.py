"""Whether two ways to answer the same images answer the same."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from datasets.errors import InputError
from tasks.runtime.session import Answer, Image

# So that nothing is divided by zero.
_TINY = 1e-12
# What probabilities that are the same differ by.
_EQUAL = 1e-5
Predict = Callable[[Sequence[Image]], list[Answer]]


@dataclass(frozen=True)
class Limits:
    """The largest differences that rounding explains."""

    # Of a score; of a probability or a number of an embedding as a share of the image's largest.
    value: float = 1e-3
    box: float = 1e-3  # of a box's side, as a share of the image's longer one
    least: float = 0.0  # detection: score from which boxes are reported
    most: int = 1  # detection: boxes that are reported at most


# The limit for probabilities and embeddings where a resize may round otherwise: a wrong one
# changes them by several times as much.
_RESIZED = 0.05


def share_limits(_facts: Mapping[str, Any], resized: bool) -> Limits:
    """Limits for probabilities and embeddings.

    Of an antialiased resize a few pixels differ by one level of 255, which some networks notice.
    """
    return Limits(value=_RESIZED) if resized else Limits()


def compare(
    images: Sequence[Image], wanted: Sequence[Answer], found: Sequence[Answer], limits: Limits
) -> dict[str, float]:
    """Largest difference of each output, over images.

    Returns:
        By output, measured as limits are: of boxes as a share of the image's longer side.

    Raises:
        InputError: If one is larger than the limit; it names output, image and difference.
    """
    largest: dict[str, float] = {}
    for number, (image, one, other) in enumerate(zip(images, wanted, found, strict=True), start=1):
        where = f"image {number} ({image.shape[1]}x{image.shape[0]})"
        if one.keys() != other.keys():
            raise InputError(f"{where}: outputs {[*other]}, the model's are {[*one]}")
        if "boxes" in one:
            differences = _compare_boxes(one, other, max(image.shape[:2]), limits, where)
        else:
            differences = {name: _difference(one, other, name) for name in one}
        for name, value in differences.items():
            limit = limits.box if name == "boxes" else limits.value
            if not value <= limit:
                raise InputError(f"{where}: {name} differ by {value:.2g} (at most {limit:g})")
            largest[name] = max(largest.get(name, 0.0), value)
    return largest


def _difference(one: Answer, other: Answer, name: str) -> float:
    if one[name].shape != other[name].shape:
        return float("inf")
    mine, theirs = (answer[name].astype(np.float64) for answer in (one, other))
    if name == "present":  # Where probabilities differ, a threshold may lie between them.
        apart = np.abs(one["probabilities"] - other["probabilities"])
        theirs = np.where(apart > _EQUAL, mine, theirs)
    apart = float(np.abs(mine - theirs).max(initial=0.0))
    return apart / float(np.abs(mine).max(initial=_TINY))


def _compare_boxes(
    one: Answer, other: Answer, side: int, limits: Limits, where: str
) -> dict[str, float]:
    """Differences between detections and their counterparts on the other side.

    Of two that score nearly the same either may come first; so those that score as the last one
    of a full list, or as the threshold, may be found by one side alone.
    """
    scores, boxes = 0.0, 0.0
    full = [
        answer["scores"].min() for answer in (one, other) if len(answer["scores"]) >= limits.most
    ]
    floor = float(max([limits.least, *full]))
    for mine, theirs in ((one, other), (other, one)):
        for k in np.flatnonzero(mine["scores"] > floor + limits.value):
            same = theirs["labels"] == mine["labels"][k]
            apart = np.abs(theirs["boxes"] - mine["boxes"][k]).max(axis=1) / side
            off = np.abs(theirs["scores"] - mine["scores"][k])
            near = same & (apart <= limits.box) & (off <= limits.value)
            if not near.any():
                raise InputError(
                    f"{where}: boxes, scores, labels: label {mine['labels'][k]} with score "
                    f"{mine['scores'][k]:.4f} at {np.round(mine['boxes'][k], 1).tolist()} has no "
                    f"counterpart within {limits.value:g} and {limits.box * side:.2g} pixels"
                )
            best = int(np.argmin(np.where(near, apart, np.inf)))
            scores, boxes = max(scores, float(off[best])), max(boxes, float(apart[best]))
    return {"boxes": boxes, "scores": scores, "labels": 0.0}
