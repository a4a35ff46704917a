"""Outputs of an export compared with its card, before anything relies on them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from datasets.errors import InputError
from tasks.weights.card import Card

_OF_BOXES = ("boxes", "scores", "labels")


class NamedOutputs(dict[str, NDArray[Any]]):
    """Outputs of an image by name; one that is asked for and is not there is named.

    Args:
        path: Path of the export, for messages.
        found: The outputs.
    """

    def __init__(self, path: Path, found: Mapping[str, NDArray[Any]]) -> None:
        super().__init__(found)
        self._path = path

    def __missing__(self, name: str) -> NDArray[Any]:
        """Raise an InputError."""
        there = ", ".join(self) or "none"
        raise InputError(
            f"{self._path}: has no output {name!r} (it has {there}): damaged; export it again"
        )


def class_counts(card: Card) -> dict[str, int]:
    """Number of classes by the beginning of output names: empty, or a head's name and ``_``."""
    heads = card.model.get("heads")
    if not isinstance(heads, dict):
        return {"": len(card.classes)}
    rows = {name: head.get("classes") for name, head in heads.items() if isinstance(head, dict)}
    return {f"{name}_": len(found) for name, found in rows.items() if isinstance(found, list)}


def refuse_other_outputs(
    path: Path,
    outputs: Mapping[str, NDArray[Any]],
    num_images: int,
    counts: Mapping[str, int],
) -> None:
    """Check that outputs have a row per image, and the shapes and classes that the card states.

    Args:
        path: Path of the export, for messages.
        outputs: Outputs by name, as the runtime returned them.
        num_images: Number of images that it was given.
        counts: Result of :func:`class_counts`. Where there are no classes, as for places, any
            number of probabilities fits.

    Raises:
        InputError: If one differs.
    """
    for name, found in outputs.items():
        if not isinstance(found, np.ndarray) or found.shape[:1] != (num_images,):
            raise _error(path, name, np.shape(found), f"a row for each of {num_images} images")
    for start, count in counts.items():
        probabilities = outputs.get(f"{start}probabilities")
        if probabilities is not None and count and probabilities.shape != (num_images, count):
            needed = f"{count} classes for each of {num_images} images"
            raise _error(path, f"{start}probabilities", probabilities.shape, needed)
        names = [f"{start}{part}" for part in _OF_BOXES]
        if any(name in outputs for name in names):
            _refuse_other_boxes(path, outputs, names, count)


def _refuse_other_boxes(
    path: Path, outputs: Mapping[str, NDArray[Any]], names: Sequence[str], count: int
) -> None:
    for name in names:
        if name not in outputs:
            raise InputError(f"{path}: has no output {name!r}: damaged; export it again")
    boxes, scores, labels = (outputs[name] for name in names)
    if boxes.ndim != 3 or boxes.shape[2] != 4:
        raise _error(path, names[0], boxes.shape, "four numbers for each box")
    for name, found in zip(names[1:], (scores, labels), strict=True):
        if found.shape != boxes.shape[:2]:
            raise _error(path, name, found.shape, f"one for each of {boxes.shape[1]} boxes")
    if labels.size and not (labels.min() >= 0 and labels.max() <= count):
        wrong = labels.min() if labels.min() < 0 else labels.max()
        raise InputError(
            f"{path}: answers class {wrong}, but its card has {count} classes: damaged, or the "
            "card of another network; export it again"
        )


def _error(path: Path, name: str, shape: tuple[int, ...], needed: str) -> InputError:
    found = " x ".join(map(str, shape)) or "a single number"
    return InputError(
        f"{path}: its output {name!r} is {found}, not {needed}: damaged, or the card of another "
        "network; export it again"
    )
