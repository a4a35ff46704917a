"""The data of the classification tools: from a path to examined images of each part."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from configs.classification import TrainCls
from configs.tools import Evaluate
from datasets.errors import InputError
from datasets.labels.checking import examine_labels
from datasets.labels.opening import (
    is_sharded,
    open_labelled,
    read_wanted,
    recognise_labelled,
)
from datasets.labels.structure import LabelledData, choose_classes, cut_to_boxes
from datasets.shards.finding import find_shard_parts
from datasets.shards.photos import list_photos
from datasets.shards.tar import ShardedData, open_shard_part
from datasets.spec import Split
from datasets.splitting import tell_part
from tasks.weights.card import Card
from tools import cli
from tools.flows.photo_loaders import Data
from tools.flows.trained_on import digest_of, doubt_of, known_part, tell_data


def open_both(config: TrainCls, path: Path) -> tuple[Data, Data]:
    """Open both parts of a configuration. Raises InputError if they cannot be used."""
    whole = config.val is not None
    train = open_data(path, "train", config.classes, whole=whole, boxes=config.boxes)
    val_path = config.val or path
    val = open_data(val_path, "val", config.classes, train, whole=whole, boxes=config.boxes)
    return train, val


def open_data(
    path: Path,
    split: Split,
    wanted: Path | None,
    other: Data | None = None,
    *,
    whole: bool = False,
    boxes: bool = False,
) -> Data:
    """Open a part of any data, and report its contents and its problems.

    Args:
        path: Path of the data.
        split: Part to open.
        wanted: File that names the classes to use; None uses all.
        other: Part to compare it with; images that are in both are reported.
        whole: Whether to use all of data without parts.
        boxes: Whether to crop images to their boxes.

    Raises:
        InputError: If the data cannot be used.
    """
    if not is_sharded(path):
        beside = other if isinstance(other, LabelledData) else None
        photos = open_photos(path, split, wanted, beside, whole=whole)
        return cut_to_boxes(photos) if boxes else photos
    if boxes:
        raise InputError(f"--boxes: {path} is shards, which hold none")
    if wanted is not None:
        raise InputError(f"--classes {wanted}: shards are read with all of their classes")
    data = open_shard_part(path, split, whole=whole)
    for what, count in data.passed_over.items():
        cli.say(f"warning: {split} data: {path}: {count} {what} are passed over")
    if len(data.classes) < 2:
        raise InputError(f"{split} data: {path}: one class only; a classifier needs two or more")
    cli.say(
        f"{split} data: {len(data)} images of {len(data.classes)} classes in {len(data.shards)} "
        "shards, according to their headers; damaged images are left out when they are met"
    )
    return data


def open_photos(
    path: Path,
    split: Split,
    wanted: Path | None,
    other: LabelledData | None = None,
    *,
    whole: bool = False,
) -> LabelledData:
    """Read and examine a part of labelled images; see :func:`open_data`."""
    data = open_labelled(path, split, whole=whole)
    if wanted is not None:
        data = choose_classes(data, read_wanted(wanted))
    checkup = examine_labels(data, other)
    checkup.raise_if_refused(f"{split} data")
    if split == "train" or checkup.findings:
        cli.say(f"{split} data: {checkup.describe(5)}")
    return checkup.data


def as_photos(data: Data) -> LabelledData:
    """A part as images that can be selected individually."""
    return list_photos(data) if isinstance(data, ShardedData) else data


def has_test_part(path: Path) -> bool:
    """Whether data has a part to test on besides one to validate on."""
    parts = find_shard_parts(path) if is_sharded(path) else _parts_of(path)
    return {"train", "val", "test"} <= set(parts)


def data_text(data: LabelledData) -> str:
    """Description of the evaluated data, for a report."""
    cut = "" if data.box_margin is None else ", each cut to its box"
    return f"{data.root}: {len(data)} images ({data.format}){cut}"


def trained_on(path: Path, *, whole: bool) -> dict[str, Any]:
    """What a card stores about training data; ``whole`` if all is used. Nothing for shards."""
    if is_sharded(path):
        return {}
    lone = _is_lone(path)
    digest = _digest(path, whole=whole) if lone else None
    return tell_data(path, held_out=lone and not whole, digest=digest)


def _is_lone(path: Path) -> bool:
    return len(_parts_of(path)) == 1


def _parts_of(path: Path) -> tuple[str, ...]:
    recognised = recognise_labelled(path) if path.exists() else None
    return () if recognised is None else tuple(recognised[1])


def _digest(path: Path, *, whole: bool) -> str:
    """Digest of the training images of a data set without parts."""
    files = open_labelled(path, "train", whole=whole).files.tolist()
    return digest_of(files, path if path.is_dir() else path.parent)


def part_to_measure(args: Evaluate, path: Path, card: Card) -> tuple[bool, str]:
    """The part of labelled data to evaluate on.

    If there is a validation part, it is used. Data without parts is used whole, unless the weights
    were trained on it or on a copy of it: then the images that were held out are used.

    Args:
        args: Flags of the evaluation.
        path: Path of the data.
        card: Card of the model.

    Returns:
        Whether it is all of a data set without parts, and a description.
    """
    if is_sharded(path):
        parts = tuple(find_shard_parts(path))
        split: Split = "all" if parts in ((), ("train",)) else args.split or "val"
        return True, f"the shards of {tell_part(path, split, parts)}"
    if args.split is not None or not _is_lone(path):
        split = args.split or "val"
        return False, tell_part(path, split, _parts_of(path), hint=args.split is None)
    told = card.trained_on
    known = known_part(path, told, lambda: _digest(path, whole=not told["held_out"]), path)
    doubt = doubt_of(path, told)
    return known or (True, f"all of {path}" + (f"; {doubt}" if doubt else ""))
