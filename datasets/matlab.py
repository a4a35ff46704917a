"""Reads MATLAB files of version 5 within their bounds: arrays of numbers, text, cells of text.

SciPy's reader trusts the types and lengths in a file, and crashes the process if they are wrong;
so what the lists of data sets contain is read here, and anything else is refused by name.
("MAT-File Format", The MathWorks; structures, objects and sparse arrays are not read.)
"""

from __future__ import annotations

import math
import struct
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from datasets.errors import InputError
from datasets.names import shown
from datasets.text import read_content

_HEADER, _VERSION = 128, 124
_MATRIX, _COMPRESSED = 14, 15
# NumPy's type of each type of number elements, and the encoding of text elements.
_NUMBERS = {
    **{1: "i1", 2: "u1", 3: "i2", 4: "u2", 5: "i4", 6: "u4", 7: "f4"},
    **{9: "f8", 12: "i8", 13: "u8"},
}
_TEXTS = {1: "latin1", 2: "latin1", 4: "utf-16", 16: "utf-8", 17: "utf-16", 18: "utf-32"}
_CELL, _CHAR = 1, 4
_CLASSES = {6: "f8", 7: "f4", 8: "i1", 9: "u1", 10: "i2", 11: "u2", 12: "i4", 13: "u4"}
_CLASSES |= {14: "i8", 15: "u8"}
_COMPLEX = 1 << 11
# Deepest nesting of cells.
_DEEPEST = 4
# Largest size of a variable in bytes; a list of a million names takes half of it.
_MOST_INFLATED = 1 << 28


class NewerFileError(Exception):
    """The file is of version 7.3, which is HDF5."""


class _DamagedError(Exception):
    """What is wrong, and at which byte."""


class _Element(NamedTuple):
    kind: int
    data: memoryview


class _Reader:
    """Consecutive elements, in the byte order ``<`` or ``>``."""

    def __init__(self, data: memoryview, order: str) -> None:
        self.data, self.order, self.place = data, order, 0

    def __bool__(self) -> bool:
        """Whether there is more."""
        return self.place < len(self.data)

    def take(self) -> _Element:
        """The next element."""
        start = self.place
        if start + 8 > len(self.data):
            raise _DamagedError(f"an element is cut short at byte {start}")
        kind, length = struct.unpack_from(f"{self.order}II", self.data, start)
        if kind >> 16:  # Up to four bytes may stand in the place of the length.
            kind, length, begin = kind & 0xFFFF, kind >> 16, start + 4
            self.place = start + 8
        else:
            begin = start + 8
            self.place = begin + length + (0 if kind == _COMPRESSED else -length % 8)
        if begin + length > len(self.data) or (begin == start + 4 and length > 4):
            raise _DamagedError(f"byte {start} states {length} bytes, beyond the end")
        return _Element(kind, self.data[begin : begin + length])


def read_mat(file: Path, names: Sequence[str]) -> dict[str, Any]:
    """Some variables of a file: arrays without axes of length one; cells of text as lists.

    Args:
        file: File to read.
        names: Names of the variables; missing ones are left out.

    Raises:
        InputError: If it is not such a file, or damaged; the message names the file and the place.
        NewerFileError: If it is of version 7.3.
    """
    try:
        return _read(read_content(file), names)
    except (_DamagedError, zlib.error, UnicodeDecodeError, struct.error) as error:
        raise InputError(f"{shown(file)}: not a MATLAB file that can be read ({error})") from error


def _read(content: bytes, names: Sequence[str]) -> dict[str, Any]:
    order = {b"IM": "<", b"MI": ">"}.get(content[_VERSION + 2 : _HEADER])
    if order is None:
        raise _DamagedError("no header of version 5")
    (version,) = struct.unpack_from(f"{order}H", content, _VERSION)
    if version == 0x0200:
        raise NewerFileError
    if version != 0x0100:
        raise _DamagedError(f"version {version:#x}")
    found: dict[str, Any] = {}
    reader = _Reader(memoryview(content)[_HEADER:], order)
    while reader:
        element = reader.take()
        if element.kind == _COMPRESSED:
            element = _Reader(_inflate(element.data), order).take()
        if element.kind != _MATRIX:
            raise _DamagedError(f"an element of type {element.kind} where a variable should be")
        name, read = _matrix(element.data, order, names, 0)
        if name in names:
            found[name] = read
    return found


def _inflate(data: memoryview) -> memoryview:
    unpacker = zlib.decompressobj()
    out = unpacker.decompress(data, _MOST_INFLATED)
    if unpacker.unconsumed_tail:
        raise _DamagedError("a variable of over 256 MB")
    return memoryview(out)


def _matrix(
    data: memoryview, order: str, names: Sequence[str] | None, depth: int
) -> tuple[str, Any]:
    """Name and value of a variable, or of the content of a cell (``names`` is None)."""
    if not len(data):  # An empty cell.
        return "", np.zeros(0)
    reader = _Reader(data, order)
    flags = _numbers(reader.take(), order)
    if len(flags) < 1:
        raise _DamagedError("a variable without a class")
    kind, is_complex = int(flags[0]) & 0xFF, int(flags[0]) & _COMPLEX
    shape = tuple(int(side) for side in _numbers(reader.take(), order))
    name = bytes(reader.take().data).decode("latin1")
    if names is not None and name not in names:
        return name, None
    if min(shape, default=0) < 0 or len(shape) > 32:
        raise _DamagedError(f"{name or 'a cell'} has the shape {shape}")
    if kind == _CELL and depth < _DEEPEST:
        return name, _cell(reader, math.prod(shape), order, depth)
    if kind == _CHAR:
        return name, _text(reader.take(), order)
    if kind in _CLASSES and not is_complex:
        values = _numbers(reader.take(), order)
        if len(values) != math.prod(shape):
            raise _DamagedError(f"{name}: {len(values)} numbers for the shape {shape}")
        array = values.astype(_CLASSES[kind]).reshape(shape, order="F")
        return name, np.squeeze(array)
    raise _DamagedError(f"{name or 'a cell'} is of class {kind}, which is not read")


def _cell(reader: _Reader, count: int, order: str, depth: int) -> list[Any]:
    out: list[Any] = []
    for _ in range(count):  # An element takes eight bytes at least, so the data end this.
        element = reader.take()
        if element.kind != _MATRIX:
            raise _DamagedError(f"an element of type {element.kind} in a cell")
        out.append(_matrix(element.data, order, None, depth + 1)[1])
    return out


def _numbers(element: _Element, order: str) -> NDArray[Any]:
    if element.kind not in _NUMBERS:
        raise _DamagedError(f"an element of type {element.kind} where numbers should be")
    kind = np.dtype(_NUMBERS[element.kind]).newbyteorder("<" if order == "<" else ">")
    if len(element.data) % kind.itemsize:
        raise _DamagedError(f"{len(element.data)} bytes of numbers of {kind.itemsize} bytes")
    return np.frombuffer(element.data, kind)


def _text(element: _Element, order: str) -> str:
    if element.kind not in _TEXTS:
        raise _DamagedError(f"an element of type {element.kind} where text should be")
    coding = _TEXTS[element.kind]
    if coding in ("utf-16", "utf-32"):
        coding += "-le" if order == "<" else "-be"
    return bytes(element.data).decode(coding)
