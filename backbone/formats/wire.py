"""Protocol buffers' wire format, as far as TensorFlow's and Caffe's messages need it."""

from __future__ import annotations

import struct
from collections.abc import Iterator

Value = int | memoryview


def read_varint(data: memoryview, at: int) -> tuple[int, int]:
    """A variable-length integer at a position: (value, position after it).

    Raises:
        IndexError: If the data ends within it.
    """
    value, shift = 0, 0
    while True:
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
        shift += 7
        if shift > 63:
            raise IndexError("a number of more than 64 bits")


def read_fields(data: memoryview) -> Iterator[tuple[int, Value]]:
    """All fields of a message: (number, integer or bytes).

    Fixed-width fields are returned as bytes too: 4 or 8 of them.

    Raises:
        IndexError: If the data ends within a field, or is not a message.
    """
    at = 0
    while at < len(data):
        tag, at = read_varint(data, at)
        kind = tag & 7
        if kind == 0:
            value, at = read_varint(data, at)
            yield tag >> 3, value
            continue
        if kind not in (1, 2, 5) or not tag >> 3:
            raise IndexError(f"no field of kind {kind}")
        size = 8 if kind == 1 else 4
        if kind == 2:
            size, at = read_varint(data, at)
        if at + size > len(data):
            raise IndexError("a field that ends behind the data")
        yield tag >> 3, data[at : at + size]
        at += size


def as_bytes(value: Value) -> memoryview:
    """A field that must be bytes. Raises IndexError if it is a number."""
    if isinstance(value, int):
        raise IndexError("a number where bytes belong")
    return value


def as_int(value: Value) -> int:
    """A field that must be a number; a fixed-width one is little-endian.

    Raises:
        IndexError: If it has another width.
    """
    if isinstance(value, int):
        return value
    if len(value) not in (4, 8):
        raise IndexError("bytes where a number belongs")
    return int(struct.unpack("<I" if len(value) == 4 else "<Q", value)[0])


def as_text(value: Value) -> str:
    """A field that must be text. Raises IndexError if it is a number."""
    return bytes(as_bytes(value)).decode(errors="replace")
