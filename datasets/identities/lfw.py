"""Labeled Faces in the Wild: a folder per person, and the pairs of its protocol."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from datasets.errors import InputError
from datasets.identities.structure import FaceData, assemble_faces
from datasets.images import pictures_below
from datasets.labels.folders import class_folders
from datasets.ledger import note_entries
from datasets.text import number_in, read_text
from datasets.types import FacePairs

PAIRS_NAME = "pairs.txt"
# Number of folds into which a list of a single fold is divided.
_DEALT = 10


def read_faces(root: Path) -> FaceData:
    """All images in a folder of folders; each folder is an identity.

    Args:
        root: Folder of folders.

    Raises:
        InputError: If there is no image in any folder.
    """
    files: list[str] = []
    names: list[str] = []
    for name in class_folders(root):
        found = pictures_below(root / name)
        files += found
        names += [name] * len(found)
    if not files:
        raise InputError(f"{root}: no folders with images, one per identity")
    note_entries(files)
    return assemble_faces(format="identities", root=root, files=files, identities=names)


def read_lfw(root: Path, pairs: Path | None = None) -> FaceData:
    """The images that a protocol compares, and its pairs.

    Args:
        root: Folder of ``NAME/NAME_0001.jpg`` and so on.
        pairs: List to use instead of its ``pairs.txt``.

    Raises:
        InputError: If an image of a pair is missing; the message names list, line and image. Or if
            the list does not hold what its first line states.
    """
    data = replace(read_faces(root), format="lfw")
    return _only_paired(data, read_pairs(pairs or root / PAIRS_NAME, data))


def _only_paired(data: FaceData, pairs: FacePairs) -> FaceData:
    used = np.zeros(len(data), dtype=np.bool_)
    used[pairs.first] = used[pairs.second] = True
    return replace(data, pairs=pairs).select(used)


def read_pairs(file: Path, data: FaceData) -> FacePairs:
    """Read LFW's list of pairs.

    Its first line has the number of folds, and of pairs of each kind in a fold (``10 300``). Each
    fold has the pairs of one person (name, number, number), then those of two (name, number, name,
    number). A first line with one number (``500``) is a single fold, which is divided into ten,
    pair by pair, because a threshold has to come from other pairs.

    Args:
        file: The list.
        data: The images.

    Raises:
        InputError: Under the same conditions as in :func:`read_lfw`.
    """
    rows = [(number, _words(line)) for number, line in _lines(file)]
    counts = [number_in(word) or 0 for word in rows[0][1]] if rows else []
    if len(counts) not in (1, 2) or min(counts) < 1:
        raise InputError(f"{file}: line 1: no number of folds and pairs, as '10 300'")
    num_folds, each = (1, *counts)[-2:]
    wanted = 2 * each * num_folds
    if len(rows) - 1 != wanted:
        raise InputError(
            f"{file}: holds {len(rows) - 1} pairs, but its first line states {wanted}"
        )
    places = _by_name(data)
    ends = [_photos(file, number, words, places) for number, words in rows[1:]]
    same = np.array([len(words) == 3 for _, words in rows[1:]], dtype=np.bool_)
    folds = np.repeat(np.arange(num_folds), 2 * each)
    for fold in range(num_folds):
        if int(same[folds == fold].sum()) != each:
            raise InputError(f"{file}: fold {fold + 1} has not {each} pairs of one person")
    if num_folds == 1:
        folds = _dealt(same)
    first, second = np.array(ends, dtype=np.int64).T
    return FacePairs(first, second, same, folds, tuple(np.unique(folds).tolist()))


def missing_photos(file: Path, data: FaceData) -> list[tuple[int, str]]:
    """Missing images that a list of pairs names: (line, name), each of every line.

    Args:
        file: The list.
        data: The images.

    Raises:
        InputError: If a line is not a pair; the message names list and line.
    """
    places = _by_name(data)
    named = ((number, _words(line)) for number, line in _lines(file)[1:])
    return [
        (number, stem)
        for number, words in named
        for stem in _stems(file, number, words)
        if stem not in places
    ]


def choose_fold(data: FaceData, fold: int) -> FaceData:
    """A fold (from 1) to test on, and the one before it, for the threshold.

    The protocol takes the threshold from nine folds. A network that was trained on the people of
    eight of them knows these too well for that; it has not seen the remaining two.

    Args:
        data: The images, with pairs.
        fold: Number of the fold, from 1.

    Raises:
        InputError: If there is no such fold.
    """
    old = data.pairs
    assert old is not None
    count, tested = int(old.folds.max()) + 1, fold - 1
    if not 1 <= fold <= count or count < 3:
        raise InputError(f"--fold {fold}: {data.root} has folds 1 to {count}; three are needed")
    keep = np.isin(old.folds, (tested, (tested - 1) % count))
    first, second, same, folds = old.first[keep], old.second[keep], old.same[keep], old.folds[keep]
    return _only_paired(data, FacePairs(first, second, same, folds, (tested,)))


def _lines(file: Path) -> list[tuple[int, str]]:
    lines = enumerate(read_text(file).splitlines(), start=1)
    return [(number, line) for number, line in lines if line.strip()]


def _words(line: str) -> list[str]:
    """Fields of a line; if they are separated by tabs, a name may contain spaces."""
    return [word.strip() for word in line.strip().split("\t")] if "\t" in line else line.split()


def _by_name(data: FaceData) -> dict[str, int]:
    """Index of each image by its file name without suffix."""
    return {Path(name).stem: index for index, name in enumerate(data.files.tolist())}


def _photos(file: Path, number: int, words: list[str], places: dict[str, int]) -> tuple[int, int]:
    """Indices of the two images of a line."""
    first, second = _stems(file, number, words)
    for stem in (first, second):
        if stem not in places:
            raise InputError(
                f"{file}: line {number}: its image {stem} is not there; without it the folds are "
                "not those of the protocol"
            )
    return places[first], places[second]


def _stems(file: Path, number: int, words: list[str]) -> tuple[str, str]:
    """Names of the two images of a line, without suffix."""
    numbers = [number_in(word) for word in (words[1], words[-1])] if len(words) in (3, 4) else []
    first, second = numbers or (None, None)
    if first is None or second is None:
        raise InputError(
            f"{file}: line {number}: neither name, number, number nor name, number, name, number"
        )
    other = words[-2 if len(words) == 4 else 0]
    return f"{words[0]}_{first:04d}", f"{other}_{second:04d}"


def _dealt(same: NDArray[np.bool_]) -> NDArray[np.int64]:
    """Folds of pairs, assigned in turn for each kind."""
    folds = np.empty(len(same), dtype=np.int64)
    for kind in (True, False):
        rows = np.flatnonzero(same == kind)
        folds[rows] = np.arange(len(rows)) % _DEALT
    return folds
