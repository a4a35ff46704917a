"""Tar shards as webdataset writes them: found, counted, walked through, written.

A record is a picture (``key.jpg``) and its label (``key.cls``, a number, or ``key.json`` with
``label``), which stand side by side. A walk reads the 512-byte headers alone and tells where a
record's bytes are, so records can be passed over, or left to another process, without reading
or decoding them.
"""

from __future__ import annotations

import io
import json
import os
import re
import tarfile
import warnings
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from datasets.errors import InputError
from datasets.images import SUFFIXES
from datasets.labels.structure import LabelledData
from datasets.part_names import part_folders
from datasets.spec import Split
from datasets.splitting import choose_part
from datasets.types import ClassMap

# Counts of all shards of a folder, so that they are walked through once.
COUNT_FILE = "shards.count.json"
CLASS_FILE = "classes.json"
_LABELS = (".cls", ".json")
_BLOCK = 512  # Of a tar.
_BRACES = re.compile(r"\{(\d+)\.\.(\d+)\}")


@dataclass(frozen=True)
class Record:
    """Where a photo and its label lie."""

    shard: int
    position: int  # of the record in its shard
    name: str  # of the picture's member
    picture: tuple[int, int]  # offset and length in bytes
    label: tuple[int, int]
    label_kind: str  # .cls or .json


@dataclass(frozen=True)
class ShardedData:
    """Photos and labels in shards.

    Attributes:
        root: Folder of the shards.
        shards: Files, in the order that numbers the photos.
        counts: (S,) int64 records of each.
        classes: Names and ids in the order of the columns.
    """

    root: Path
    shards: tuple[Path, ...]
    counts: NDArray[np.int64]
    classes: ClassMap

    def __len__(self) -> int:
        """Number of records."""
        return int(self.counts.sum())


def open_shards(pattern: str | Path, classes: ClassMap | None = None) -> ShardedData:
    """Find shards and count their records.

    Counting takes a walk through all shards the first time; the counts are kept beside them, or
    in memory alone where the folder cannot be written to.

    Args:
        pattern: ``folder/name-{000000..000123}.tar``, a folder of ``.tar`` files, or one.
        classes: Names of the columns; else ``classes.json`` beside the shards or in the folder
            above (rows of ``id`` and ``name``), else the numbers.

    Raises:
        InputError: If a shard is missing, none holds a record, or a label is no column.
    """
    shards = _expand(str(pattern))
    root = shards[0].parent
    counts, num_classes = _counts(root, shards)
    if not counts.sum():
        raise InputError(f"{pattern}: no records of a picture (.jpg, ...) and a label (.cls)")
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
    return ShardedData(root, shards, counts, classes)


def _read_classes(file: Path) -> ClassMap:
    try:
        return ClassMap.from_json(json.loads(file.read_text(encoding="utf-8")))
    except (ValueError, KeyError, TypeError) as error:
        raise InputError(f"{file}: not a list of classes with id and name ({error})") from error


def holds_shards(path: Path) -> bool:
    """Whether a path is a pattern of shards, one of them, or a folder of them or their parts."""
    if path.suffix == ".tar":
        return True
    return path.is_dir() and (any(path.glob("*.tar")) or bool(_find_parts(path)))


def open_shard_part(path: Path, split: Split, *, whole: bool = False) -> ShardedData:
    """Open a split of shards in ``train/`` and ``val/``, or shards that are not parted.

    Args:
        path: Folder of the two, or what :func:`open_shards` takes.
        split: Part of it.
        whole: Validate on all of it if there is no part for that.

    Raises:
        InputError: If there is no such part, or the shards cannot be used.
    """
    parts = _find_parts(path)
    part, lone = choose_part(path, split, parts) if parts else (path, True)
    if lone and split == "val" and not whole:
        raise InputError(
            f"{path}: has no shards to validate on; put them in train/ and val/, or name others "
            "by --val"
        )
    return open_shards(part)


def _find_parts(path: Path) -> dict[str, Path]:
    """Folders of shards by split."""
    found = {}
    for split, folders in part_folders(path).items():
        holding = [folder for folder in folders if any(folder.glob("*.tar"))]
        if holding:
            found[split] = holding[0]
    return found


def _expand(pattern: str) -> tuple[Path, ...]:
    braces = _BRACES.search(pattern)
    if braces:
        first, last = braces.groups()
        names = [str(k).zfill(len(first)) for k in range(int(first), int(last) + 1)]
        shards = [Path(pattern.replace(braces[0], name, 1)) for name in names]
    else:
        path = Path(pattern)
        shards = sorted(path.glob("*.tar")) if path.is_dir() else [path]
    if not shards:
        raise InputError(f"{pattern}: no .tar shards there")
    missing = [shard for shard in shards if not shard.is_file()]
    if missing:
        raise InputError(f"{missing[0]}: the shard is missing ({len(missing)} of {len(shards)})")
    return tuple(shards)


def _counts(root: Path, shards: tuple[Path, ...]) -> tuple[NDArray[np.int64], int]:
    """Records of each shard, and the largest label + 1; remembered by name, length and time."""
    memory = root / COUNT_FILE
    try:
        known: dict[str, Any] = dict(json.loads(memory.read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):
        known = {}
    fresh = {}
    todo = [shard for shard in shards if not _is_known(known.get(shard.name), shard)]
    for shard in tqdm(todo, "counting records", unit="shard", delay=2):
        labels = [read_label(shard, record) for record in walk(shard)]
        fresh[shard.name] = {
            "bytes": shard.stat().st_size,
            "modified": int(shard.stat().st_mtime),
            "records": len(labels),
            "classes": max(labels, default=-1) + 1,
        }
    known |= fresh
    if fresh:
        with suppress(OSError):  # Read-only, as shared data should be.
            partial = memory.with_name(f".{memory.name}.{os.getpid()}")
            partial.write_text(json.dumps(known, indent=1, sort_keys=True), encoding="utf-8")
            partial.rename(memory)
    rows = [known[shard.name] for shard in shards]
    counts = np.array([row["records"] for row in rows], dtype=np.int64)
    return counts, max(row["classes"] for row in rows)


def _is_known(row: dict[str, int] | None, shard: Path) -> bool:
    found = shard.stat()
    now = found.st_size, int(found.st_mtime)  # Tars are padded, so lengths alone say little.
    return row is not None and (row.get("bytes"), row.get("modified")) == now


def walk(file: Path, number: int = 0) -> Iterator[Record]:
    """Records of a shard in the order they stand there, from their headers alone.

    A shard that is cut short gives the records before the damage, with a warning.

    Args:
        file: Shard.
        number: Goes into the records.
    """
    key: tuple[str, str] | None = None
    parts: dict[str, tuple[tuple[int, int], str]] = {}
    position = 0
    for name, offset, size in _members(file):
        folder, _, base = name.rpartition("/")
        stem, _, suffix = base.partition(".")  # As webdataset: at the first dot.
        if (folder, stem) != key:
            key, parts = (folder, stem), {}
        kind = f".{suffix.lower()}"
        role = "picture" if kind in SUFFIXES else "label" if kind in _LABELS else None
        if role is None or role in parts:
            continue
        parts[role] = (offset, size), name if role == "picture" else kind
        if len(parts) == 2:
            (picture, called), (label, label_kind) = parts["picture"], parts["label"]
            yield Record(number, position, called, picture, label, label_kind)
            position += 1


def _members(file: Path) -> Iterator[tuple[str, int, int]]:
    """(name, offset of the data, length) of the files in an uncompressed tar."""
    length = file.stat().st_size
    try:
        with tarfile.open(file, "r:") as tar:
            while (member := tar.next()) is not None:
                tar.members = []  # type: ignore[attr-defined]  # It would keep them all.
                if member.offset_data + member.size > length:
                    raise tarfile.ReadError("unexpected end of data")
                if member.isfile():
                    yield member.name, member.offset_data, member.size
            if read_bytes(file, (tar.offset, _BLOCK)) != bytes(_BLOCK):
                raise tarfile.ReadError(f"no header and no end mark at byte {tar.offset}")
    except tarfile.TarError as error:
        warnings.warn(f"{file}: damaged ({error}); the rest of it is left out", stacklevel=2)


def read_bytes(file: Path, span: tuple[int, int]) -> bytes:
    """Bytes of a file by offset and length."""
    with file.open("rb") as opened:
        opened.seek(span[0])
        return opened.read(span[1])


def read_label(file: Path, record: Record) -> int:
    """Column of a record.

    Raises:
        InputError: If the label is no number from 0 up; it names shard and member.
    """
    return _parse_label(file, record, read_bytes(file, record.label))


def _parse_label(file: Path, record: Record, text: bytes) -> int:
    try:
        value = json.loads(text)
        label = value["label"] if record.label_kind == ".json" else value
    except (ValueError, KeyError, TypeError):
        label = None
    if not isinstance(label, int) or label < 0:
        where = f"{file}: {record.name.partition('.')[0]}{record.label_kind}"
        raise InputError(f"{where}: {text[:40]!r}; a label is a column number from 0 up")
    return label


def write_shards(data: LabelledData, folder: Path, per_shard: int = 1000) -> Path:
    """Pack a set into shards, each photo's file as it is, and ``classes.json`` beside them.

    Photos are dealt out in an order that mixes the classes, because a reader shuffles within a
    window only.

    Args:
        data: Photos and labels.
        folder: Made if it is not there.
        per_shard: Photos of a shard; the last has the rest.

    Returns:
        ``folder``.

    Raises:
        InputError: If the folder holds shards already, or a photo cannot be read.
    """
    if folder.is_dir() and any(folder.glob("*.tar")):
        raise InputError(f"{folder}: holds shards already; move them away")
    folder.mkdir(parents=True, exist_ok=True)
    order = np.random.default_rng(0).permutation(len(data))
    starts = range(0, len(data), per_shard)
    for number, start in enumerate(tqdm(starts, "writing shards", unit="shard", delay=2)):
        partial = folder / f".{number:06d}.tar.part"
        with tarfile.open(partial, "w") as tar:
            for position, index in enumerate(order[start : start + per_shard], start=start):
                _add(tar, f"{position:08d}", Path(data.files[index]), int(data.labels[index]))
        partial.rename(folder / f"{number:06d}.tar")
    (folder / CLASS_FILE).write_text(json.dumps(data.classes.to_json()), encoding="utf-8")
    return folder


def _add(tar: tarfile.TarFile, key: str, photo: Path, label: int) -> None:
    try:
        content = photo.read_bytes()
    except OSError as error:
        raise InputError(f"{photo}: cannot be read ({error.strerror})") from error
    parts = ((f"{key}{photo.suffix.lower()}", content), (f"{key}.cls", str(label).encode()))
    for name, data in parts:
        member = tarfile.TarInfo(name)
        member.size = len(data)
        tar.addfile(member, io.BytesIO(data))
