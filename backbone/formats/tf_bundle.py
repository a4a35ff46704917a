"""Reads TensorFlow checkpoints (.index and .data files) without TensorFlow.

The index is a LevelDB table: blocks of sorted keys, each with a CRC-32C. The values are small
messages that give the position of a tensor in the data files.
"""

from __future__ import annotations

import math
import os
import struct
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from backbone.formats.wire import as_bytes, as_int, read_fields, read_varint
from datasets.errors import InputError
from datasets.lfs import refuse_pointer

_MAGIC = struct.pack("<Q", 0xDB4775248B80FB57)
# Largest number of values along an axis of a tensor.
_LONGEST = 2**31
_FOOTER, _TRAILER = 48, 5
# TensorFlow's numbers of the tensor types that are read.
_DTYPES: dict[int, np.dtype[Any]] = {1: np.dtype("<f4"), 2: np.dtype("<f8"), 19: np.dtype("<f2")}


class Entry(NamedTuple):
    """Position of a tensor, from BundleEntryProto."""

    dtype: int  # TensorFlow's number.
    shape: tuple[int, ...]
    shard: int  # Number of the data file.
    offset: int  # In it, in bytes, as the size.
    size: int
    crc: int  # Masked CRC-32C of the bytes.


def find_bundle(path: Path) -> Path | None:
    """The .index file that a prefix, one of the files, or the folder of a checkpoint stands for.

    Args:
        path: Path that the user gives.

    Raises:
        InputError: If a folder holds more than one checkpoint, or the index is a Git LFS pointer.
    """
    if path.is_dir():
        found = sorted(path.glob("*.index"))
        if len(found) > 1:
            raise InputError(f"{path}: {len(found)} checkpoints in this folder; name one of them")
        return found[0] if found else None
    stem = path.name.removesuffix(".meta").removesuffix(".index").partition(".data-")[0]
    index = path.with_name(f"{stem}.index")
    if not index.is_file():
        return None
    refuse_pointer(index)
    return index if index.read_bytes().endswith(_MAGIC) else None


def refuse_first_format(path: Path) -> None:
    """Refuse TensorFlow checkpoints of the first format, which consist of one file.

    Raises:
        InputError: If the path is one, or a folder that holds one; the message explains how to
            convert it.
    """
    for file in sorted(path.iterdir()) if path.is_dir() else [path]:
        if not file.is_file() or file.stat().st_size < len(_MAGIC):
            continue
        with file.open("rb") as content:
            content.seek(-len(_MAGIC), os.SEEK_END)
            if content.read() == _MAGIC and file.suffix != ".index":
                raise InputError(
                    f"{file}: a TensorFlow checkpoint of the first format (one file), which is "
                    "not read: restore it and save it by tf.compat.v1.train.Saver(), which writes "
                    ".index and .data files"
                )


def read_bundle(
    index: Path, is_wanted: Callable[[str], bool]
) -> tuple[dict[str, NDArray[np.float32]], list[str]]:
    """The wanted tensors of a checkpoint as float32, and the names of the others.

    Args:
        index: The .index file.
        is_wanted: Whether to read the tensor of a given name.

    Raises:
        InputError: If a file is missing, cut short or damaged, or a tensor type is unknown.
    """
    try:
        refuse_pointer(index)
        messages = _read_index(index.read_bytes())
        header = dict(read_fields(messages.pop("")))
        shards, big_endian = as_int(header.get(1, 0)), as_int(header.get(2, 0))
        entries = {name: _entry(message) for name, message in messages.items()}
    except (IndexError, KeyError, OverflowError, struct.error, UnicodeDecodeError) as error:
        raise InputError(f"{index}: damaged checkpoint index ({error})") from error
    if big_endian:
        raise InputError(f"{index}: written on a big-endian machine, which is not read")
    tensors = {
        name: _read_tensor(index, name, entry, shards)
        for name, entry in entries.items()
        if is_wanted(name)
    }
    return tensors, [name for name in entries if name not in tensors]


def _read_index(data: bytes) -> dict[str, memoryview]:
    if len(data) < _FOOTER or not data.endswith(_MAGIC):
        raise IndexError("no LevelDB table")
    view = memoryview(data)
    _, at = read_varint(view, len(data) - _FOOTER)
    _, at = read_varint(view, at)
    entries: dict[str, memoryview] = {}
    for _, handle in _entries(_block(view, view[at:])):
        for key, value in _entries(_block(view, handle)):
            entries[key.decode()] = value
    return entries


def _block(data: memoryview, handle: memoryview) -> memoryview:
    """The block that a handle (offset, size) points to."""
    offset, at = read_varint(handle, 0)
    size, _ = read_varint(handle, at)
    end = offset + size
    kind, crc = struct.unpack_from("<BI", data, end)
    if kind:
        raise IndexError("compressed blocks are not read")
    if _masked_crc(data[offset : end + 1]) != crc:
        raise IndexError(f"the checksum of the block at {offset} is wrong")
    return data[offset:end]


def _entries(block: memoryview) -> Iterator[tuple[bytes, memoryview]]:
    """Keys and values; each key repeats a part of the one before."""
    restarts = struct.unpack_from("<I", block, len(block) - 4)[0]
    end, at, key = len(block) - 4 * (1 + restarts), 0, b""
    while at < end:
        shared, at = read_varint(block, at)
        rest, at = read_varint(block, at)
        size, at = read_varint(block, at)
        key = key[:shared] + bytes(block[at : at + rest])
        at += rest
        yield key, block[at : at + size]
        at += size


def _entry(message: memoryview) -> Entry:
    found = dict(read_fields(message))
    dims = [part for number, part in read_fields(as_bytes(found.get(2, memoryview(b""))))]
    shape = tuple(as_int(dict(read_fields(as_bytes(dim))).get(1, 0)) for dim in dims)
    dtype, shard, offset, size, crc = (as_int(found.get(n, 0)) for n in (1, 3, 4, 5, 6))
    return Entry(dtype, shape, shard, offset, size, crc)


def _read_tensor(index: Path, name: str, entry: Entry, shards: int) -> NDArray[np.float32]:
    if entry.dtype not in _DTYPES:
        raise InputError(f"{index}: {name!r} is of TensorFlow's kind {entry.dtype}, no float")
    kind = _DTYPES[entry.dtype]
    fits = max(entry.shape, default=0) <= _LONGEST
    if not fits or entry.size != kind.itemsize * math.prod(entry.shape):
        raise InputError(
            f"{index}: {name!r} has {entry.size} bytes, too few or many for its shape"
        )
    file = index.with_name(f"{index.stem}.data-{entry.shard:05d}-of-{shards:05d}")
    if not file.is_file():
        raise InputError(f"{index}: its data file {file.name} is not beside it")
    refuse_pointer(file)
    if entry.offset + entry.size > file.stat().st_size:
        raise InputError(f"{file}: cut short: {name!r} ends behind the file")
    with file.open("rb") as opened:
        opened.seek(entry.offset)
        raw = opened.read(entry.size)
    if _masked_crc(memoryview(raw)) != entry.crc:
        raise InputError(f"{file}: damaged: the checksum of {name!r} is wrong")
    values: NDArray[Any] = np.frombuffer(raw, dtype=kind)
    return values.reshape(entry.shape).astype(np.float32)


def _remainder(byte: int) -> int:
    for _ in range(8):
        byte = byte >> 1 ^ (0x82F63B78 if byte & 1 else 0)
    return byte


_TABLE = tuple(map(_remainder, range(256)))


def _masked_crc(data: memoryview) -> int:
    """CRC-32C as LevelDB stores it: rotated and offset."""
    table, crc = _TABLE, 0xFFFFFFFF
    for byte in data:
        crc = table[(crc ^ byte) & 0xFF] ^ crc >> 8
    crc ^= 0xFFFFFFFF
    return ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF
