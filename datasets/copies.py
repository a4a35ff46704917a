"""Files with the same content, within a part of a data set and across two parts."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Hashable, Sequence
from pathlib import Path
from typing import NamedTuple

from datasets.findings import Finding
from datasets.headers import ending_of
from datasets.names import length_of
from datasets.parallel import in_threads


class Copies(NamedTuple):
    """Images with the same content, at least two of them."""

    mine: list[int]  # Indices into the part that is examined; one of them at least.
    theirs: list[int]  # Indices into the other part.


def find_copies(files: Sequence[str], others: Sequence[str] = ()) -> list[Copies]:
    """Groups of files with equal bytes, in the part that is examined and in another one.

    Missing files are skipped, and only files of equal length are read.

    Args:
        files: Paths of the part that is examined.
        others: Paths of the other part.
    """
    paths = [Path(file) for file in (*files, *others)]
    lengths = [length_of(path) for path in paths]
    return find_equal(
        lengths, lambda k: paths[k].read_bytes(), len(files), lambda k: ending_of(str(paths[k]))
    )


def find_equal(
    lengths: Sequence[int | None],
    read: Callable[[int], bytes],
    num_mine: int,
    peek: Callable[[int], object] | None = None,
) -> list[Copies]:
    """Groups of equal images, wherever they are stored; see :func:`find_copies`.

    Args:
        lengths: (N,) length of each image in bytes; None if it is missing.
        read: Function from the index of an image to its content.
        num_mine: Number of images, from the first on, that belong to the part that is examined.
        peek: Function from the index of an image to what equal images have in common, if that is
            quicker to know than its content.
    """
    there = [k for k, length in enumerate(lengths) if length is not None]
    suspects = _alike(there, [lengths[k] for k in there])
    if peek is not None:
        parts = in_threads(peek, suspects, "comparing ends of files", unit="file")
        keys = [(lengths[k], part) for k, part in zip(suspects, parts, strict=True)]
        suspects = _alike(suspects, keys)
    digests = in_threads(lambda k: digest_of(read(k)), suspects, "comparing files", unit="file")
    return group_copies(suspects, digests, num_mine)


def _alike(indices: Sequence[int], keys: Sequence[Hashable]) -> list[int]:
    """Indices whose key another one has, too.

    They stay in their order, because images that are stored together are read together.
    """
    counts = Counter(keys)
    return [index for index, key in zip(indices, keys, strict=True) if counts[key] > 1]


def digest_of(content: bytes) -> bytes:
    """Digest of a file's content."""
    return hashlib.blake2b(content, digest_size=16).digest()


def group_copies(indices: Sequence[int], digests: Sequence[bytes], num_mine: int) -> list[Copies]:
    """Groups of equal digests (N,) that involve the part that is examined.

    Args:
        indices: (N,) index of each image.
        digests: (N,) digest of each image.
        num_mine: Indices below this number belong to the part that is examined, the others to the
            other part.
    """
    groups: dict[bytes, list[int]] = {}
    for index, key in zip(indices, digests, strict=True):
        groups.setdefault(key, []).append(index)
    parted = (
        Copies([k for k in group if k < num_mine], [k - num_mine for k in group if k >= num_mine])
        for group in groups.values()
        if len(group) > 1
    )
    return [copies for copies in parted if copies.mine]


def in_both_splits(file: object, other: object) -> Finding:
    """A finding for an image that is also in the other part, which makes metrics too good."""
    return Finding("copy in both splits", "kept", str(file), None, f"the same as {other}")
