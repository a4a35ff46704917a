"""The classification tools' data: from a path to examined photos or shards."""

from __future__ import annotations

from pathlib import Path

from configs.classification import TrainCls
from datasets.errors import InputError
from datasets.labels.checking import examine_labels
from datasets.labels.opening import is_sharded, open_labelled, read_wanted
from datasets.labels.structure import LabelledData, choose_classes, cut_to_boxes
from datasets.shards.tar import open_shard_part
from datasets.spec import Split
from tools import cli
from tools.flows.photo_loaders import Data


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
    """Open a split of any data, and say what is in it and what is wrong with it.

    Args:
        path: Data set or shards.
        split: Part of it.
        wanted: File that names the classes to take, or None for all.
        other: The other split, to tell photos that stand in both.
        whole: Take all of data that is not parted, for any split.
        boxes: Cut photos to their boxes.

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
        f"{split} data: {len(data)} photos of {len(data.classes)} classes in {len(data.shards)} "
        "shards, as their headers tell; damaged photos are left out when they are met"
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
    """Read a split of a labelled set and have the data doctor look at it; as :func:`open_data`.

    Raises:
        InputError: If the data cannot be used.
    """
    data = open_labelled(path, split, whole=whole)
    if wanted is not None:
        data = choose_classes(data, read_wanted(wanted))
    checkup = examine_labels(data, other)
    checkup.raise_if_refused(f"{split} data")
    if split == "train" or checkup.findings:
        cli.say(f"{split} data: {checkup.describe(5)}")
    return checkup.data


def data_text(data: LabelledData) -> str:
    """What was evaluated on, for a report."""
    cut = "" if data.box_margin is None else ", each cut to its box"
    return f"{data.root}: {len(data)} photos ({data.format}){cut}"
