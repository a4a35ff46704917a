"""Archives of faces, written as MXNet writes them."""

import struct
from collections.abc import Sequence
from pathlib import Path

import numpy as np

_MAGIC = 0xCED7230A
_HEAD = struct.Struct("<II")
_IMAGE_HEAD = struct.Struct("<IfQQ")
_LENGTH_BITS = 29
_WHOLE, _FIRST, _MIDDLE, _LAST = range(4)


def write_records(path: Path, faces: Sequence[Sequence[bytes]]) -> None:
    """Write an archive with its index, as face archives are made.

    Args:
        path: The ``.rec``; the ``.idx`` goes beside it.
        faces: Picture files of each identity.
    """
    pictures: list[bytes] = []
    spans: list[bytes] = []
    for who, files in enumerate(faces):
        spans.append(_labelled(len(pictures) + 1, len(pictures) + 1 + len(files)))
        pictures += [
            _IMAGE_HEAD.pack(0, who, len(pictures) + k, 0) + file
            for k, file in enumerate(files, 1)
        ]
    lead = _labelled(len(pictures) + 1, len(pictures) + 1 + len(faces))
    lines = []
    with path.open("wb") as file:
        for key, record in enumerate([lead, *pictures, *spans]):
            lines.append(f"{key}\t{file.tell()}\n")
            for head, part in _parts(record):
                file.write(head + part + b"\0" * (-len(part) % 4))
    path.with_suffix(".idx").write_text("".join(lines), encoding="utf-8")


def _labelled(*labels: float) -> bytes:
    """A record of labels alone."""
    return _IMAGE_HEAD.pack(len(labels), 0, 0, 0) + struct.pack(f"<{len(labels)}f", *labels)


def _parts(record: bytes) -> list[tuple[bytes, bytes]]:
    """A record cut where the magic number stands at a multiple of four bytes, with the heads."""
    words = np.frombuffer(record[: len(record) // 4 * 4], dtype="<u4")
    cuts = np.flatnonzero(words == _MAGIC) * 4
    starts, ends = [0, *(cuts + 4).tolist()], [*cuts.tolist(), len(record)]
    parts = [record[a:b] for a, b in zip(starts, ends, strict=True)]
    last = len(parts) - 1
    kinds = [_FIRST if k == 0 else _LAST if k == last else _MIDDLE for k in range(len(parts))]
    if last == 0:
        kinds = [_WHOLE]
    return [
        (_HEAD.pack(_MAGIC, kind << _LENGTH_BITS | len(part)), part)
        for kind, part in zip(kinds, parts, strict=True)
    ]
