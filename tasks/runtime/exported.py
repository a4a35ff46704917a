"""An export in use, without torch: images in, answers out.

:func:`tasks.runtime.open.open_export` opens one. Of several heads on one trunk one call gives all
answers (``found["boxes_scores"]``), and ``exported.head("boxes")`` is that head alone.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping, Sequence
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from datasets.errors import InputError
from tasks.runtime.outputs import NamedOutputs, class_counts, refuse_other_outputs
from tasks.runtime.session import (
    BARE,
    CARD_KEY,
    FACTS_KEY,
    FORMAT,
    SQUARE,
    Answer,
    HeadSession,
    Image,
    Session,
)
from tasks.runtime.square import boxes_on_photo, squares_of
from tasks.weights.card import Card

# Facts that not every export has.
_KINDS: dict[str, type] = {"precision": str, "heads": dict, "post": dict}


class Exported:
    """An export, ready to answer.

    Attributes:
        path: Path of the file.
        card: Task, classes, input and figures of the weights.
        facts: Facts of the export: precision, what it was checked with, detection's thresholds.

    Raises:
        InputError: If the file is no export of this suite, of a newer version, or a network alone.
    """

    def __init__(self, session: Session, path: Path) -> None:
        self._session, self.path = session, path
        notes = session.notes
        if CARD_KEY not in notes or FACTS_KEY not in notes:
            raise InputError(
                f"{path}: carries no card, so it is no export of this suite: make one with "
                "tools/export.py"
            )
        try:
            self.card = Card.from_json(json.loads(notes[CARD_KEY]))
            self.facts: dict[str, Any] = json.loads(notes[FACTS_KEY])
            form = self.facts["format"]
            for name, kind in _KINDS.items():
                if not isinstance(self.facts.get(name, kind()), kind):
                    raise InputError(f"{name} is {self.facts[name]!r:.60}")
        except (AttributeError, ValueError, KeyError, TypeError, RecursionError) as error:
            raise InputError(f"{path}: the card cannot be read ({error})") from error
        if form != FORMAT:
            raise InputError(
                f"{path}: an export of format {form}; this version reads {FORMAT}: export it again"
            )
        if BARE in self.facts:
            raise InputError(
                f"{path}: is a network alone (--bare), which takes no images: name the weights, "
                "or the export without --bare"
            )
        self._squares = squares_of(self.facts, path)
        self._counts = class_counts(self.card)

    @property
    def task(self) -> str:
        """Of the model: ``classification``, ``detection``, ..."""
        return self.card.task

    @property
    def heads(self) -> tuple[str, ...]:
        """Names of the heads, where there are several on one trunk; else empty."""
        return tuple(self.facts.get("heads", ()))

    def head(self, name: str) -> Exported:
        """One of several heads, like an export of its task alone.

        Runtimes compute the whole graph whatever is asked of it: for all answers call this
        export, and for one head alone, often, export its own file.

        Raises:
            InputError: If there is none of this name.
        """
        if name not in self.heads:
            there = ", ".join(self.heads) or "none"
            raise InputError(f"{self.path}: has no head {name!r}; it has {there}")
        cards, facts = self.card.model.get("heads"), self.facts["heads"][name]
        if not isinstance(cards, dict) or not isinstance(facts, dict):
            raise InputError(f"{self.path}: the card of its head {name!r} cannot be read")
        if SQUARE in self.facts:
            facts = {**facts, SQUARE: self.facts[SQUARE]}
        notes = {CARD_KEY: json.dumps(cards.get(name)), FACTS_KEY: json.dumps(facts)}
        return Exported(HeadSession(self._session, name, notes), self.path)

    @property
    def precision(self) -> str:
        """``float32`` or ``int8``."""
        return str(self.facts.get("precision", "float32"))

    @property
    def cells(self) -> NDArray[np.int64]:
        """A geolocator's cells, as :func:`cells_of` reads them."""
        return cells_of(self.facts, self.path)

    def __call__(self, images: Sequence[Image]) -> list[Answer]:
        """Answers for images of any sizes, in their order.

        Args:
            images: Each (H, W, 3) uint8 RGB. Neighbours of one size go through at once.

        Returns:
            For each image, by output: ``probabilities`` (C,); of faces also ``present`` (A,);
            or ``embedding`` (D,); or ``boxes`` (K, 4) x1 y1 x2 y2 in its own pixels, ``scores``
            (K,) and ``labels`` (K,) from 1, best first, as many as were found. Of several heads
            all of these, each with the head's name before it: ``classes_probabilities``.

        Raises:
            InputError: If an image is of another kind, or cannot be computed.
        """
        for image in images:
            if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3 or not image.size:
                raise InputError(
                    f"an image is {image.dtype} {image.shape}, not uint8 (height, width, 3)"
                )
        found: list[Answer] = []
        for _, same in groupby(images, lambda image: image.shape):
            batch = np.stack(list(same))
            parts = [batch[k : k + 1] for k in range(len(batch))] if self.single else [batch]
            for part in parts:
                found += self._answer(part)
        return found

    @property
    def single(self) -> bool:
        """Whether the graph takes one image per call."""
        return self._session.single

    @property
    def takes_squares(self) -> bool:
        """Whether images are made squares before the graph takes them."""
        return bool(self._squares)

    def _answer(self, images: Image) -> list[Answer]:
        given = [images]
        if self._squares:  # These take one image at a time.
            given = [square(images[0])[None] for square in self._squares.values()]
        try:
            outputs = self._session.run(*given)
        except Exception as error:  # The runtime has a class for each of its codes.
            reason = str(error).splitlines()[0][:200]
            shape = "x".join(map(str, images.shape[2:0:-1]))
            raise InputError(
                f"{self.path}: cannot be run on images of {shape} pixels ({reason})"
            ) from error
        named = dict(zip(self._session.outputs, outputs, strict=True))
        refuse_other_outputs(self.path, named, len(images), self._counts)
        rows = [{name: rows[k] for name, rows in named.items()} for k in range(len(images))]
        if self._squares:
            rows = [boxes_on_photo(row, self._squares, images[0]) for row in rows]
        return [NamedOutputs(self.path, without_padding(row)) for row in rows]


def cells_of(facts: Mapping[str, Any], path: Path) -> NDArray[np.int64]:
    """The cells that a geolocator answers in.

    Returns:
        (C, 4) partition, S2 cell, leaf cell of the mean position, images.

    Raises:
        InputError: If it states none.
    """
    try:
        raw = base64.b64decode(facts["cells"], validate=True)
        return np.frombuffer(raw, dtype="<i8").reshape(-1, 4).astype(np.int64)
    except (KeyError, ValueError, TypeError) as error:
        raise InputError(f"{path}: holds no cells") from error


def without_padding(row: Answer) -> Answer:
    """Named outputs of an image: of detections those that are some, all else as it is."""
    for labels in [name for name in row if name.endswith("labels")]:
        head = labels.removesuffix("labels")
        real = row[labels] > 0
        for part in ("boxes", "scores", "labels"):
            row[head + part] = row[head + part][real]
    return row
