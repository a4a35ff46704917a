"""Texts that a LiteRT file carries, and whether all of it is there; read without LiteRT.

The file is a FlatBuffer: a table names where its fields lie, and the model's fields are those of
TensorFlow Lite's public schema.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from pathlib import Path

from datasets.errors import InputError
from tasks.runtime.session import CARD_KEY, FACTS_KEY

_MARK = b"TFL3"
# Numbers of fields: of a model, of a buffer, and of what names a buffer of notes.
_BUFFERS, _METADATA = 4, 6
_DATA = 0
_NAME, _BUFFER = 0, 1
_OURS = (CARD_KEY, FACTS_KEY)


class _Table:
    """One table of a FlatBuffer, at a place in its bytes."""

    def __init__(self, data: bytes, place: int) -> None:
        self._data, self._place = data, place
        self._fields = place - struct.unpack_from("<i", data, place)[0]
        self._size = struct.unpack_from("<H", data, self._fields)[0]

    def _field(self, number: int) -> int | None:
        """Where a field lies; None if the table has none."""
        entry = 4 + 2 * number
        if entry >= self._size:
            return None
        offset = struct.unpack_from("<H", self._data, self._fields + entry)[0]
        return self._place + offset if offset else None

    def number(self, field: int) -> int:
        """An unsigned integer; 0 if it is not there."""
        place = self._field(field)
        return 0 if place is None else int(struct.unpack_from("<I", self._data, place)[0])

    def bytes(self, field: int) -> bytes:
        """A text or a list of bytes; empty if it is not there. Raises struct.error if cut."""
        place, length = self._list(field)
        if place + length > len(self._data):
            raise struct.error("cut short")
        return self._data[place : place + length]

    def tables(self, field: int) -> Iterator[_Table]:
        """A list of tables."""
        place, length = self._list(field)
        for entry in range(place, place + 4 * length, 4):
            yield _Table(self._data, entry + struct.unpack_from("<I", self._data, entry)[0])

    def _list(self, field: int) -> tuple[int, int]:
        """Where a list begins, and its length."""
        place = self._field(field)
        if place is None:
            return 0, 0
        place += struct.unpack_from("<I", self._data, place)[0]
        return place + 4, struct.unpack_from("<I", self._data, place)[0]


def read_notes(path: Path) -> dict[str, str]:
    """The texts of a file by name, its card among them if it is an export of this suite.

    Raises:
        InputError: If it cannot be read, is no LiteRT file, or a part of it is missing.
    """
    try:
        data = path.read_bytes()
        if data[4:8] != _MARK:
            raise InputError(f"{path}: not a LiteRT file")
        model = _model(data)
        buffers = [buffer.bytes(_DATA) for buffer in model.tables(_BUFFERS)]
        named = {
            one.bytes(_NAME).decode(): buffers[one.number(_BUFFER)]
            for one in model.tables(_METADATA)
        }
        return {name: text.decode() for name, text in named.items() if name in _OURS}
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror or error})") from error
    except (struct.error, IndexError, UnicodeDecodeError) as error:
        raise InputError(
            f"{path}: not a whole LiteRT file: a part is missing; write or copy it again"
        ) from error


def carries_card(path: Path) -> bool:
    """Whether a file names this suite's card among its notes, even if some of it is missing."""
    try:
        data = path.read_bytes()
        if data[4:8] != _MARK:
            return False
        return any(one.bytes(_NAME) == CARD_KEY.encode() for one in _model(data).tables(_METADATA))
    except (OSError, struct.error):
        return False


def _model(data: bytes) -> _Table:
    return _Table(data, struct.unpack_from("<I", data)[0])
