"""Labelled images, as the doors see them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path

from datasets.findings import Examination, Finding
from datasets.kind import CheckOptions, DataKind
from datasets.labels.checking import examine_labels
from datasets.labels.opening import (
    LAYOUTS,
    READERS,
    has_labels,
    is_sharded,
    open_labelled,
    read_wanted,
    recognise_labelled,
)
from datasets.labels.structure import LabelledData, choose_classes
from datasets.labels.writing import TARGETS, open_parts, write_labels
from datasets.shards.finding import find_shard_parts
from datasets.shards.photos import list_photos
from datasets.shards.tar import open_shard_part
from datasets.spec import Split


def open_photos(path: Path, split: Split, wanted: Sequence[str] | None = None) -> LabelledData:
    """A split of a classification set as single images, also where they lie in shards.

    Args:
        path: Folder, list or shards.
        split: Part to open; for shards without parts, all.
        wanted: Names or ids of the classes to take; None takes all.

    Raises:
        InputError: If the data or the classes are not there.
    """
    if is_sharded(path):
        data: LabelledData = list_photos(open_shard_part(path, split, whole=True))
    else:
        data = open_labelled(path, split)
    return data if wanted is None else choose_classes(data, wanted)


def _find_parts(path: Path, *, named: bool) -> tuple[str, ...] | None:
    """Parts of a set; none of shards, whose parts opening them finds."""
    del named  # Any folder of images counts as classes.
    if is_sharded(path):
        return ()
    labels = recognise_labelled(path) if path.exists() else None
    return None if labels is None else tuple(labels[1])


def _open_parts(path: Path, _options: CheckOptions) -> Mapping[str, LabelledData]:
    return open_parts(path)


def _examine(
    path: Path, parts: tuple[str, ...], options: CheckOptions
) -> Examination[LabelledData]:
    split, other = options.choose(parts)
    wanted = read_wanted(options.classes) if options.classes else None
    beside = None if other is None else open_photos(path, other, wanted)
    data = open_photos(path, split, wanted)
    checkup = examine_labels(data, beside, decode=options.decode)
    lost = {} if parts else open_shard_part(path, split, whole=True).passed_over
    there = parts or tuple(find_shard_parts(path))
    taken: Split = split if parts or there not in ((), ("train",)) else "all"
    checkup = checkup.with_part(options.tell(path, taken, there), taken, other)
    return checkup.with_findings(
        Finding(what, "dropped", str(path), None, f"{count} in the shards")
        for what, count in lost.items()
    )


LABELS = DataKind(
    name="labels",
    task="classification",
    layouts=f"A classification data set holds either {LAYOUTS}.",
    find_parts=_find_parts,
    examine=_examine,
    options=frozenset({"classes"}),
    takes_patterns=True,
    is_evident=has_labels,
    formats=(*READERS, "webdataset shards"),
    open_parts=_open_parts,
    targets={name: partial(write_labels, write) for name, write in TARGETS.items()},
)
