"""Tar shards in webdataset's format: counted and walked through.

A record is an image (``key.jpg``) and its label (``key.cls``, a number, or ``key.json`` with
``label``); the two are usually adjacent, but may be anywhere. A walk reads only the 512-byte
headers and yields the positions of records, so that records can be skipped, or left to another
process, without reading or decoding them.
"""

from __future__ import annotations

import json
import tarfile
import time
import warnings
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from datasets.errors import InputError
from datasets.fields import Fields
from datasets.images import SUFFIXES, is_passed_over
from datasets.json_files import parse_json, read_json
from datasets.ledger import ARCHIVES, note_read
from datasets.lfs import refuse_pointer
from datasets.locks import unfinished
from datasets.names import shown
from datasets.refused import BOXES_IN
from datasets.shards.finding import expand, find_shard_parts, tars_in
from datasets.spec import Split
from datasets.splitting import choose_part
from datasets.types import ClassMap

# File of the counts of all shards in a folder, so that they are walked through once.
COUNT_FILE = "shards.count.json"
CLASS_FILE = "classes.json"
_LABELS = (".cls", ".json")
_GZIP = b"\x1f\x8b"
_BLOCK = 512  # Of a tar.
# Keys of boxes in .json files.
_BOX_WORDS = (b'"bbox"', b'"boxes"', b'"annotations"', b'"objects"')
# Limits of what files may contain: outputs of a classifier, bytes of a label.
_MOST_CLASSES, _MOST_LABEL = 100_000, 1 << 20
# Largest error of file times on disks, in seconds.
_YOUNG_SECONDS = 2
NO_LABEL, NO_PICTURE = "images without a label", "labels without an image"


@dataclass(frozen=True)
class Record:
    """Positions of an image and its label."""

    shard: int
    position: int  # of the record in its shard
    name: str  # of the image's member
    picture: tuple[int, int]  # offset and length in bytes
    label: tuple[int, int]
    label_kind: str  # .cls or .json


@dataclass(frozen=True)
class ShardedData:
    """Images and labels in shards.

    Attributes:
        root: Folder of the shards.
        shards: Files, in the order that numbers the images.
        counts: (S,) int64 number of records in each.
        classes: Names and ids in the order of the classifier's outputs.
        passed_over: Number of members that are not part of a record, by what is wrong with them.
    """

    root: Path
    shards: tuple[Path, ...]
    counts: NDArray[np.int64]
    classes: ClassMap
    passed_over: Mapping[str, int] = field(default_factory=dict)

    def __len__(self) -> int:
        """Number of records."""
        return int(self.counts.sum())


def open_shards(pattern: str | Path, classes: ClassMap | None = None) -> ShardedData:
    """Find shards and count their records.

    The first time, counting requires a walk through all shards; the counts are stored beside them,
    or kept in memory if the folder is not writable.

    Args:
        pattern: ``folder/name-{000000..000123}.tar``, a folder of ``.tar`` files, or one file.
        classes: Names of the classes; by default those in ``classes.json`` beside the shards or in
            the folder above (rows of ``id`` and ``name``), or else numbers.

    Raises:
        InputError: If a shard is missing, none holds a record, or a label is out of range.
    """
    shards = expand(pattern)
    root = shards[0].parent
    counts, num_classes, passed_over = _counts(root, shards)
    if not counts.sum():
        told = "".join(f"; {count} {what}" for what, count in passed_over.items())
        raise InputError(
            f"{shown(pattern)}: no records of an image (.jpg, ...) and a label (.cls) of one "
            f"name up to its first dot{told}{_first_names(shards[0])}"
        )
    named = next((f / CLASS_FILE for f in (root, root.parent) if (f / CLASS_FILE).is_file()), None)
    if classes is None and named is not None:
        classes = _read_classes(named)
    if classes is None:
        classes = ClassMap.from_names([str(k) for k in range(num_classes)], first=0)
    if num_classes > len(classes):
        raise InputError(
            f"{pattern}: holds the label {num_classes - 1}, but there are {len(classes)} classes, "
            "which are numbered from 0"
        )
    return ShardedData(root, shards, counts, classes, passed_over)


def _first_names(shard: Path) -> str:
    """What a shard begins with, for messages."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # What is damaged has been told.
        names = [shown(name) for name, _, _ in islice(members(shard), 3)]
    return f"; {shown(shard.name)} begins with {', '.join(names)}" if names else ""


def _read_classes(file: Path) -> ClassMap:
    try:
        return ClassMap.from_json(read_json(file))  # type: ignore[arg-type]
    except InputError:
        raise
    except (ValueError, KeyError, TypeError, OverflowError) as error:
        raise InputError(f"{file}: not a list of classes with id and name ({error})") from error


def first_sample(path: Path) -> Path | None:
    """The first archive in a folder or its parts, if it begins with an image and its label.

    Otherwise it may be an archive of a data set in another format.
    """
    folders = [path, *find_shard_parts(path).values()]
    tars = [file for folder in folders for file in tars_in(folder)]
    if not tars:
        return None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Whoever reads it tells what is damaged.
        record = next(walk(tars[0]), None)
    if record is None:
        return None
    is_label = record.label_kind == ".cls" or b'"label"' in read_bytes(tars[0], record.label)
    return tars[0] if is_label else None


def open_shard_part(path: Path, split: Split, *, whole: bool = False) -> ShardedData:
    """Open a split of shards in ``train/`` and ``val/``, or shards without parts.

    Args:
        path: Folder, file or pattern.
        split: Part to open.
        whole: Whether ``val`` takes everything if there is no part for it.

    Raises:
        InputError: If there is no such part, or the shards cannot be used.
    """
    parts = find_shard_parts(path)
    part, lone = choose_part(path, split, parts) if parts else (path, True)
    if lone and (split == "test" or (split == "val" and not whole)):
        aim, flag = ("test", "--data") if split == "test" else ("validate", "--val")
        raise InputError(
            f"{path}: has no shards to {aim} on; put them in train/ and {split}/, or name others "
            f"by {flag}"
        )
    return open_shards(part)


def _counts(root: Path, shards: tuple[Path, ...]) -> tuple[NDArray[np.int64], int, dict[str, int]]:
    """Records of each shard, the largest label + 1, and members that are skipped.

    They are cached by name, length, time and the file's number on its disk. A shard that was
    written just now could be written again without a change in any of these, so it is not cached.
    """
    memory = root / COUNT_FILE
    for shard in shards:
        note_read(shard, ARCHIVES)
        refuse_pointer(shard)
    known = _remembered(memory)
    todo = [shard for shard in shards if not _is_known(known.get(shard.name), shard)]
    for shard in tqdm(todo, "counting records", unit="shard", delay=2):
        known[shard.name] = _count(shard)
    young = {shard.name for shard in todo if _is_young(known[shard.name])}
    kept = {name: row for name, row in known.items() if name not in young}
    if todo:
        with suppress(OSError):  # Read-only, as shared data should be.
            partial = memory.with_name(unfinished(memory.name))
            try:
                partial.write_text(json.dumps(kept, indent=1, sort_keys=True), encoding="utf-8")
                partial.replace(memory)
            finally:  # Of a full disk.
                partial.unlink(missing_ok=True)
    rows = [known[shard.name] for shard in shards]
    counts = np.array([row["records"] for row in rows], dtype=np.int64)
    lost = {what: sum(row[key] for row in rows) for key, what in _PASSED_OVER.items()}
    passed_over = {what: count for what, count in lost.items() if count}
    return counts, max(row["classes"] for row in rows), passed_over


_PASSED_OVER = {"unlabelled": NO_LABEL, "pictureless": NO_PICTURE}


def _remembered(memory: Path) -> dict[str, dict[str, int]]:
    """The usable content of a file of counts."""
    try:
        told = read_json(memory)
    except InputError:
        return {}
    rows = told.items() if isinstance(told, dict) else ()
    return {name: row for name, row in rows if isinstance(row, dict)}


def _count(shard: Path) -> dict[str, int]:
    passed_over = Counter[str]()
    version = _version(shard)  # Of before, for it may be written meanwhile.
    labels = [read_label(shard, record) for record in walk(shard, passed_over=passed_over)]
    return {
        **version,
        "records": len(labels),
        "classes": max(labels, default=-1) + 1,
        **{key: passed_over[what] for key, what in _PASSED_OVER.items()},
    }


def _is_known(row: dict[str, int] | None, shard: Path) -> bool:
    """Whether a cached row belongs to a shard in its present state, and is possible."""
    if row is None:
        return False
    now = _version(shard)
    members = now["bytes"] // _BLOCK
    bounds = {
        **{"records": members // 2, "classes": _MOST_CLASSES},
        **dict.fromkeys(_PASSED_OVER, members),
    }
    return all(row.get(key) == value for key, value in now.items()) and all(
        type(row.get(key)) is int and 0 <= row[key] <= most for key, most in bounds.items()
    )


def _version(shard: Path) -> dict[str, int]:
    """Values that change with a file: tars are padded, so lengths alone are not enough."""
    found = shard.stat()
    return {"bytes": found.st_size, "modified": found.st_mtime_ns, "number": found.st_ino}


def _is_young(row: Mapping[str, int]) -> bool:
    return abs(time.time_ns() - row["modified"]) < _YOUNG_SECONDS * 10**9


def walk(
    file: Path, number: int = 0, *, passed_over: Counter[str] | None = None
) -> Iterator[Record]:
    """Records of a shard in the order in which they are complete, from their headers alone.

    A truncated shard yields the records before the damage, with a warning.

    Args:
        file: Shard.
        number: Number of the shard, which is stored in the records.
        passed_over: Counter of the members that are not part of a record, by what is wrong with
            them.
    """
    open_parts: dict[tuple[str, str], dict[str, tuple[tuple[int, int], str]]] = {}
    done: tuple[str, str] | None = None
    position = 0
    for name, offset, size in members(file):
        folder, _, base = name.rpartition("/")
        key, _, suffix = base.partition(".")  # As webdataset: at the first dot.
        kind, where = f".{suffix.lower()}", (folder, key)
        role = "picture" if kind in SUFFIXES else "label" if kind in _LABELS else None
        if role is None or where == done or is_stray(name):
            continue
        parts = open_parts.setdefault(where, {})
        parts.setdefault(role, ((offset, size), name if role == "picture" else kind))
        if len(parts) == 2:
            (picture, called), (label, label_kind) = parts["picture"], parts["label"]
            yield Record(number, position, called, picture, label, label_kind)
            position += 1
            done = where
            del open_parts[where]
    if passed_over is not None:
        for parts in open_parts.values():
            passed_over[NO_LABEL if "picture" in parts else NO_PICTURE] += 1


def is_stray(name: str) -> bool:
    """Whether a member was left behind by an archiver, such as ``./._0000.jpg``."""
    return any(is_passed_over(part) for part in name.split("/") if part not in (".", ".."))


def members(file: Path) -> Iterator[tuple[str, int, int]]:
    """(name, offset of the data, length) of the files in an uncompressed tar, up to its damage."""
    length = file.stat().st_size
    try:
        if read_bytes(file, (0, len(_GZIP))) == _GZIP:
            raise tarfile.ReadError("it is compressed: unpack it by gzip -d, and call it .tar")
        with tarfile.open(file, "r:") as tar:
            while (member := tar.next()) is not None:
                tar.members = []  # type: ignore[attr-defined]  # It would keep them all.
                if not 0 <= member.size <= length - member.offset_data:
                    raise tarfile.ReadError("unexpected end of data")
                if member.isfile():
                    yield member.name, member.offset_data, member.size
            if read_bytes(file, (tar.offset, _BLOCK)) != bytes(_BLOCK):
                raise tarfile.ReadError(f"no header and no end mark at byte {tar.offset}")
    except (tarfile.TarError, ValueError, ArithmeticError, RecursionError, MemoryError) as error:
        warnings.warn(f"{file}: damaged ({error}); the rest of it is left out", stacklevel=2)


def read_bytes(file: Path, span: tuple[int, int]) -> bytes:
    """Bytes of a file by offset and length."""
    with file.open("rb") as opened:
        opened.seek(span[0])
        return opened.read(span[1])


def read_label(file: Path, record: Record) -> int:
    """Label of a record, from 0.

    Args:
        file: Shard.
        record: The record.

    Raises:
        InputError: If the label is not an integer from 0; the message names shard and member.
    """
    where = f"{file}: {record.name.rpartition('.')[0]}{record.label_kind}"
    if record.label[1] > _MOST_LABEL:
        raise InputError(f"{where}: {record.label[1]} bytes are no label")
    text = read_bytes(file, record.label)
    label: object = None
    if record.label_kind == ".json":
        label = Fields.of(where, parse_json(text, where)).values.get("label")
    else:
        with suppress(InputError):
            label = parse_json(text, where)
    if label is None and any(word in text for word in _BOX_WORDS):
        raise InputError(f"{where}: {BOXES_IN['.tar']}")
    if label is None and record.label_kind == ".json":
        raise InputError(f"{where}: has no 'label', which is a column number from 0 up")
    if type(label) is not int or label < 0:
        raise InputError(
            f"{where}: {text[:40]!r}; a label is a column number from 0 up: write numbers, and "
            f"what they are called to {CLASS_FILE}"
        )
    if label >= _MOST_CLASSES:
        raise InputError(f"{where}: {label}: labels are numbers below {_MOST_CLASSES}")
    return label
