"""Writes tar shards in webdataset's format."""

from __future__ import annotations

import io
import json
import tarfile
from pathlib import Path

import numpy as np
from tqdm import tqdm

from datasets.errors import InputError
from datasets.labels.structure import LabelledData
from datasets.reading_order import shuffled
from datasets.shards.tar import CLASS_FILE


def write_shards(data: LabelledData, folder: Path, per_shard: int = 1000) -> Path:
    """Pack a data set into shards, with image files unchanged, and ``classes.json`` beside them.

    Images are stored in an order that mixes the classes, because a reader shuffles only within a
    window.

    Args:
        data: Data set to pack.
        folder: Folder to write to; it is created if it does not exist.
        per_shard: Number of images per shard.

    Returns:
        The folder.

    Raises:
        InputError: If the folder already holds shards, or an image cannot be read.
    """
    if folder.is_dir() and any(folder.glob("*.tar")):
        raise InputError(f"{folder}: holds shards already; move them away")
    folder.mkdir(parents=True, exist_ok=True)
    order = shuffled(len(data), np.random.default_rng(0), data.read_together)
    starts = range(0, len(data), per_shard)
    for number, start in enumerate(tqdm(starts, "writing shards", unit="shard", delay=2)):
        partial = folder / f".{number:06d}.tar.part"
        with tarfile.open(partial, "w") as tar:
            for position, index in enumerate(order[start : start + per_shard], start=start):
                _add(tar, f"{position:08d}", *data.content(int(index)), int(data.labels[index]))
        partial.rename(folder / f"{number:06d}.tar")
    (folder / CLASS_FILE).write_text(json.dumps(data.classes.to_json()), encoding="utf-8")
    return folder


def _add(tar: tarfile.TarFile, key: str, photo: bytes, suffix: str, label: int) -> None:
    add_member(tar, f"{key}{suffix}", photo)
    add_member(tar, f"{key}.cls", str(label).encode())


def add_member(tar: tarfile.TarFile, name: str, data: bytes) -> None:
    """Add a file's content to an archive that is being written."""
    member = tarfile.TarInfo(name)
    member.size = len(data)
    tar.addfile(member, io.BytesIO(data))
