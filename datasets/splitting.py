"""Chooses the part of a data set that is read, and splits data without a validation part."""

from __future__ import annotations

import os
import zlib
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from datasets.errors import InputError
from datasets.ledger import note_stand_in
from datasets.names import joined
from datasets.spec import Split

# Share of the images that is held out if a data set has no validation part of its own.
HOLD_OUT = 0.2
_TO_SELECT = 2000
Part = TypeVar("Part")


@dataclass
class Fold:
    """One of several folds of data without parts: it is held out, and the others are trained on.

    Attributes:
        number: Number of the fold, from 1 to ``count``.
        count: Number of folds.
        used: Whether any data was divided by it.
    """

    number: int
    count: int
    used: bool = False

    def held(self, shares: NDArray[np.float64]) -> NDArray[np.bool_]:
        """Mask (N,) of the rows in this fold; rows with equal numbers stay together.

        Each row is in one fold, but a single owner is in none: it is always trained on. Folds are
        of equal size as far as owners permit.

        Args:
            shares: (N,) numbers from :func:`name_shares`.
        """
        self.used = True
        values, owner, counts = np.unique(shares, return_inverse=True, return_counts=True)
        if len(values) < 2:
            return np.zeros(len(shares), dtype=np.bool_)
        centres = (np.cumsum(counts) - counts / 2) / len(shares)
        # Where there are fewer owners than folds, it depends on their names which folds get one.
        first = int(values[0] * self.count)
        folds = (np.floor(centres * self.count).astype(np.int64) + first) % self.count
        mask: NDArray[np.bool_] = (folds == self.number - 1)[owner]
        return mask


_fold: ContextVar[Fold | None] = ContextVar("fold", default=None)


@contextmanager
def folded(fold: Fold | None) -> Iterator[None]:
    """Hold out a fold, instead of a fifth, of data without parts that is opened in the block."""
    token = _fold.set(fold)
    try:
        yield
    finally:
        _fold.reset(token)


def choose_part(path: Path, split: Split, found: Mapping[str, Part]) -> tuple[Part, bool]:
    """The part that a split names, and whether it must be split because it is all there is.

    The test part serves as ``val`` if there is no other.

    Args:
        path: Path of the data set, for messages.
        split: Requested part.
        found: Parts of the data set, at least one, by ``train``, ``val`` and ``test``.

    Raises:
        InputError: If there is no such part, or ``all`` is requested and there are several.
    """
    there = joined(found)
    if split == "all" and len(found) > 1:
        raise InputError(f"{path}: holds {there}; choose one of them")
    if split == "train" and split not in found:
        raise InputError(
            f"{path}: holds nothing to train on, only images to evaluate on ({there}), as the "
            "names in it say; what is to be trained on is called train"
        )
    if split == "test" and split not in found:
        raise InputError(
            f"{path}: has no part to test on, only {there}, as the names in it say; what is to be "
            "tested on is called test"
        )
    lone = len(found) == 1 and "train" in found
    name = next(iter(found)) if lone or split == "all" else split
    if name not in found:
        name = "test"
        note_stand_in(path, name)
    return found[name], lone and split != "all"


def tell_part(
    path: Path, split: Split, found: Collection[str], *, whose: str = "", hint: bool = True
) -> str:
    """Description of the part that :func:`choose_part` returns.

    Args:
        path: Path of the data set.
        split: Requested part.
        found: Parts of the data set.
        whose: Owners of the images that a fifth is held out of: ``"the authors of "``.
        hint: Whether to mention the other parts.
    """
    if split == "all":
        return f"all of {path}"
    if [*found] == ["train"]:
        fifth = f"a fifth of {whose}{path}, as --split val asks for"
        return fifth if split == "val" else f"{path} without the fifth that --split val takes"
    name = split if split in found else "test"
    others = [one for one in found if one != name]
    more = f"; --split {' or '.join(others)} takes {'another' if others[1:] else 'the other'}"
    return f"the part {name!r} of {path}{more if others and hint else ''}"


def path_shares(files: Sequence[str], root: Path) -> NDArray[np.float64]:
    """A number in 0..1 for each file (N,), which depends only on its path below the root.

    So it is independent of other files, and of where the data set is stored.
    """
    return name_shares([os.path.relpath(file, root) for file in files])


def name_shares(names: Sequence[str]) -> NDArray[np.float64]:
    """A number in 0..1 for each name (N,), which depends only on the name."""
    return np.array([zlib.crc32(os.fsencode(name)) / 2**32 for name in names], dtype=np.float64)


def selection_share(number: int) -> float:
    """Share of a number of training images to select weights and networks on.

    A tenth, or up to a fifth where that makes 2,000: a share then has a standard error of a point.
    """
    return max(HOLD_OUT / 2, min(HOLD_OUT, _TO_SELECT / max(number, 1)))


def lowest(shares: NDArray[np.float64], share: float) -> NDArray[np.bool_]:
    """Mask (N,) of the rows whose numbers are lowest: a ``share``, in (0, 1), of all.

    Rows with equal numbers, such as those of one owner, stay together. There is at least one, and
    at least one is left out if there are two different numbers.

    Args:
        shares: (N,) numbers from :func:`name_shares`.
        share: Share of the rows.
    """
    values, counts = np.unique(shares, return_counts=True)
    enough = int(np.searchsorted(np.cumsum(counts), share * len(shares))) + 1
    enough = min(enough, max(1, len(values) - 1))
    return shares < values[enough] if enough < len(values) else np.ones(len(shares), np.bool_)


def selected(files: Sequence[str], root: Path) -> NDArray[np.bool_]:
    """Mask (N,) of training images to select weights on, chosen by their paths below a root.

    Raises:
        InputError: If there are fewer than two images.
    """
    if len(files) < 2:
        raise InputError(f"{root}: {len(files)} images to train on; none can be held out of them")
    return lowest(path_shares(files, root), selection_share(len(files)))


def held_out(
    shares: NDArray[np.float64], share: float | None = None, *, least: int = 1
) -> NDArray[np.bool_]:
    """Mask (N,) of what is held out for validation: a fifth of all, or the fold to hold out.

    Args:
        shares: (N,) numbers from :func:`name_shares`.
        share: Share to hold out, in (0, 1), whether or not there is a fold.
        least: Number of rows that must be held out; with 1, both sides get a row if there are two.
            With 0, a fold may get none.

    Raises:
        InputError: If a fold would have fewer rows than ``least``.
    """
    fold = _fold.get()
    if fold is not None and share is None:
        held = fold.held(shares)
        if held.sum() < least:
            raise InputError(
                f"--folds {fold.count}: {len(np.unique(shares))} images or owners of images "
                f"cannot be divided so that each fold has {least} of them; take fewer folds"
            )
        return held
    held = shares < (HOLD_OUT if share is None else share)
    if len(held):
        held[shares.argmin()], held[shares.argmax()] = True, False
    if held.sum() < least < len(held):
        held[np.argsort(shares)[:least]] = True
    return held
