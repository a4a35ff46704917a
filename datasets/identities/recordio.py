"""Reads RecordIO archives of faces (``train.rec`` with ``train.idx``) from MXNet, without mxnet.

A ``.rec`` is a sequence of records: a magic number; a word whose upper three bits state whether
the record is whole (0) or the first (1), a middle (2) or the last (3) part of one, and whose lower
29 bits are the length; the data; and zeros up to a multiple of four bytes. A record is split where
its data contains the magic number, which is omitted there. Data begins with a header: flag, label,
two numbers; a flag above 0 is the number of float labels that follow. Everything is little-endian.
"""

from __future__ import annotations

import math
import os
import struct
from bisect import bisect_left
from dataclasses import dataclass
from pathlib import Path

from tqdm import tqdm

from datasets.errors import InputError
from datasets.identities.structure import FaceData, assemble_faces
from datasets.ledger import ARCHIVES, note_read
from datasets.lfs import refuse_pointer
from datasets.text import number_in, read_text

_MAGIC = 0xCED7230A
_MAGIC_BYTES = struct.pack("<I", _MAGIC)
_HEAD = struct.Struct("<II")
_IMAGE_HEAD = struct.Struct("<IfQQ")
_LENGTH_BITS = 29
_WHOLE, _FIRST, _LAST = 0, 1, 3


@dataclass(frozen=True)
class RecordFile:
    """Records of a ``.rec``, and the position of each by its key in the ``.idx``."""

    path: Path
    offsets: dict[int, int]

    @classmethod
    def open(cls, path: Path) -> RecordFile:
        """Read the index beside a ``.rec``.

        Args:
            path: The ``.rec`` file.

        Raises:
            InputError: If file or index do not exist, or the index is not one.
        """
        index = path.with_suffix(".idx")
        if not path.is_file():
            raise InputError(f"{path}: no such file")
        if not index.is_file():
            raise InputError(f"{path}: its index {index.name} is not beside it")
        note_read(path, ARCHIVES)
        refuse_pointer(path)
        offsets = {}
        length = path.stat().st_size
        for number, line in enumerate(read_text(index).splitlines(), start=1):
            fields = [number_in(field) for field in line.split()]
            if len(fields) != 2 or fields[0] is None or fields[1] is None:
                raise InputError(f"{index}: line {number}: no key and offset: {line[:40]!r}")
            if fields[1] >= length:
                raise InputError(
                    f"{index}: line {number}: offset {fields[1]}, but {path.name} ends at {length}"
                )
            offsets[fields[0]] = fields[1]
        if not offsets:
            raise InputError(f"{index}: lists no record")
        return cls(path, offsets)

    def read(self, key: int) -> tuple[tuple[float, ...], bytes]:
        """Labels of a record, and what follows them.

        Args:
            key: Key of the record.

        Raises:
            InputError: If there is no complete record; the message names file and key.
        """
        data = self._chain(key)
        if len(data) < _IMAGE_HEAD.size:
            raise self._damaged(key, "is shorter than its header")
        count, label, _, _ = _IMAGE_HEAD.unpack_from(data)
        start = _IMAGE_HEAD.size
        if len(data) < start + 4 * count:
            raise self._damaged(key, f"has not the {count} labels that it states")
        labels = struct.unpack_from(f"<{count}f", data, start) if count else (label,)
        if not all(map(math.isfinite, labels)):
            raise self._damaged(key, f"has labels {labels}")
        return labels, data[start + 4 * count :]

    def picture(self, record: int) -> bytes:
        """The image file of a record, by its key."""
        return self.read(record)[1]

    def _chain(self, key: int) -> bytes:
        """The data of a record, with its parts joined."""
        parts: list[bytes] = []
        with self.path.open("rb") as file:
            size = os.fstat(file.fileno()).st_size
            try:
                file.seek(self.offsets[key])
            except (OSError, OverflowError, ValueError) as error:
                raise self._damaged(key, f"is at no place in it ({error})") from error
            while True:
                head = file.read(_HEAD.size)
                magic, word = _HEAD.unpack(head) if len(head) == _HEAD.size else (0, 0)
                if magic != _MAGIC:
                    raise self._damaged(key, "does not begin where the index says")
                kind, length = word >> _LENGTH_BITS, word & ((1 << _LENGTH_BITS) - 1)
                if (kind in (_WHOLE, _FIRST)) != (not parts):
                    raise self._damaged(key, "has parts in a wrong order")
                if file.tell() + length > size:
                    raise self._damaged(key, "is cut short")
                data = file.read(length)
                file.seek(-length % 4, 1)
                parts.append(data)
                if kind in (_WHOLE, _LAST):
                    return _MAGIC_BYTES.join(parts)

    def _damaged(self, key: int, what: str) -> InputError:
        return InputError(f"{self.path}: record {key} {what}; the archive is damaged")


def read_records(path: Path) -> FaceData:
    """List the faces in an archive; its labels are the identities.

    Record 0 of a face archive has no image, but two labels: the first key of the identities'
    records, and the key after the last. These records have two labels too: the first key of the
    identity's images, and the key after the last. Without record 0 every record is an image, and
    its label the identity.

    Args:
        path: The ``.rec`` file.

    Raises:
        InputError: If archive or index cannot be read.
    """
    archive = RecordFile.open(path)
    keys, names = _by_ranges(archive)
    if not keys:
        keys = sorted(archive.offsets)
        numbers = (archive.read(k)[0][0] for k in tqdm(keys, "listing", unit="face", delay=2))
        names = [f"{int(number):07d}" for number in numbers]
    return assemble_faces(
        format="recordio",
        root=path,
        files=[f"{path}#{key}" for key in keys],
        identities=names,
        alignment="five_points",
        archive=archive,
        records=keys,
    )


def _by_ranges(archive: RecordFile) -> tuple[list[int], list[str]]:
    """Keys and identities of all images, without reading images; none without record 0."""
    lead, rest = archive.read(0) if 0 in archive.offsets else ((), b"picture")
    keys: list[int] = []
    names: list[str] = []
    if rest or len(lead) < 2:
        return keys, names
    known = sorted(archive.offsets)
    for number, key in enumerate(range(int(lead[0]), int(lead[1]))):
        if key not in archive.offsets:
            raise InputError(f"{archive.path}: identity record {key} is not in its index")
        span = archive.read(key)[0]
        first, end = int(span[0]), int(span[-1])
        if not 0 <= first <= end <= known[-1] + 1:
            raise InputError(
                f"{archive.path}: record {key} states images from {first:.6g} to {end:.6g}, "
                f"but the index ends at {known[-1]}; the archive is damaged"
            )
        found = known[bisect_left(known, first) : bisect_left(known, end)]
        keys += found
        names += [f"{number:07d}"] * len(found)
        if len(keys) > len(known):
            raise InputError(
                f"{archive.path}: record {key} has images that belong to others, too; the "
                "archive is damaged"
            )
    return keys, names
