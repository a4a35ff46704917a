"""Which part of a data set is read, and how a set without a validation part gives one up."""

from __future__ import annotations

import os
import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from datasets.errors import InputError
from datasets.spec import Split

# Share of the images that is held out when a set has no validation part of its own.
HOLD_OUT = 0.2
Part = TypeVar("Part")


def choose_part(path: Path, split: Split, found: Mapping[str, Part]) -> tuple[Part, bool]:
    """The part that a split names, and whether it must be parted because it is all there is.

    At least one is found, by ``train`` and ``val``; messages name the path.

    Raises:
        InputError: If there is no such part, or ``all`` is asked for and there are two.
    """
    if split == "all" and len(found) > 1:
        raise InputError(f"{path}: holds {' and '.join(found)}; choose one of them")
    if split == "train" and split not in found:
        raise InputError(
            f"{path}: holds nothing to train on, only images to validate on, as the names in it "
            "say; what is to be trained on is called train"
        )
    lone = len(found) == 1 and "train" in found
    name = next(iter(found)) if lone or split == "all" else split
    return found[name], lone and split != "all"


def path_shares(files: Sequence[str], root: Path) -> NDArray[np.float64]:
    """A number in 0..1 for each file (N,), which its path below the root alone decides.

    So no other file of the set, and no place where the set lies, has a say in it.
    """
    return name_shares([os.path.relpath(file, root) for file in files])


def name_shares(names: Sequence[str]) -> NDArray[np.float64]:
    """A number in 0..1 for each name (N,), which it alone decides."""
    return np.array([zlib.crc32(os.fsencode(name)) / 2**32 for name in names], dtype=np.float64)


def held_out(shares: NDArray[np.float64], share: float = HOLD_OUT) -> NDArray[np.bool_]:
    """Mask (N,) of what is held out for validation: about a ``share``, in (0, 1), of all.

    Both sides get one at least, if there are two. ``shares`` are as of :func:`name_shares`.
    """
    held = shares < share
    if len(held):
        held[shares.argmin()], held[shares.argmax()] = True, False
    return held
