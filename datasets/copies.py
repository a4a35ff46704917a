"""Files with the same content, within a part of a data set and across two parts."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

from datasets.findings import Finding
from datasets.names import is_file
from datasets.parallel import in_threads


class Copies(NamedTuple):
    """Images with the same content; two of them at least."""

    mine: list[int]  # Indices into the part that is examined; one of them at least.
    theirs: list[int]  # Indices into the other part.


def find_copies(files: Sequence[str], others: Sequence[str] = ()) -> list[Copies]:
    """Groups of files with equal bytes, of the part that is examined and of another.

    Files that are not there are passed over, and only files of equal length are read.
    """
    paths = [Path(file) for file in (*files, *others)]
    lengths = [path.stat().st_size if is_file(path) else None for path in paths]
    return find_equal(lengths, lambda k: paths[k].read_bytes(), len(files))


def find_equal(
    lengths: Sequence[int | None], read: Callable[[int], bytes], num_mine: int
) -> list[Copies]:
    """As :func:`find_copies`, of images wherever they lie.

    Args:
        lengths: (N,) bytes of each; None of one that is not there.
        read: Gives the content of one by its index.
        num_mine: Number of images, from the first on, that belong to the part that is examined.
    """
    by_size: dict[int, list[int]] = {}
    for index, length in enumerate(lengths):
        if length is not None:
            by_size.setdefault(length, []).append(index)
    # In their order, as those that are stored together are read together.
    suspects = sorted(k for group in by_size.values() if len(group) > 1 for k in group)
    digests = in_threads(lambda k: digest_of(read(k)), suspects, "comparing files", unit="file")
    return group_copies(suspects, digests, num_mine)


def digest_of(content: bytes) -> bytes:
    """Of a file's content."""
    return hashlib.blake2b(content, digest_size=16).digest()


def group_copies(indices: Sequence[int], digests: Sequence[bytes], num_mine: int) -> list[Copies]:
    """Groups of equal digests (N,) that have to do with the part that is examined.

    Its images' indices (N,) are below ``num_mine``; from there on they are of the other part.
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
    """An image that stands in the other part too, which flatters the figures."""
    return Finding("copy in both splits", "kept", str(file), None, f"the same as {other}")
