"""The classification tools' data: from a path to examined photos or shards, and their loaders."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from configs.classification import TrainCls
from configs.training import PhotoTraining
from datasets.errors import InputError
from datasets.labels.augmentation import LabelTransform
from datasets.labels.checking import examine_labels
from datasets.labels.opening import is_sharded, open_labelled, read_wanted
from datasets.labels.structure import LabelledData, choose_classes, cut_to_boxes
from datasets.labels.torch_set import LabelledSet, label_loader
from datasets.loader import ResumableLoader
from datasets.shards.loader import ShardLoader
from datasets.shards.photos import list_photos
from datasets.shards.tar import ShardedData, open_shard_part
from datasets.spec import Split
from datasets.types import LabelBatch
from tasks.classification.evaluator import LabelEvaluator, columns_in
from tasks.fitting.engine import rank_and_world
from tasks.weights.card import Card
from tools import cli

Data = LabelledData | ShardedData
Loader = ResumableLoader[LabelBatch] | ShardLoader


def open_both(config: TrainCls, path: Path) -> tuple[Data, Data]:
    """Open what a configuration trains on and what it evaluates on.

    Raises:
        InputError: If the data cannot be used.
    """
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


@dataclass(frozen=True)
class Photos:
    """A labelled split, ready to be scored.

    Attributes:
        data: What a report looks up of a photo.
        loader: Of all of it, in order.
        evaluator: That knows the labels.
    """

    data: LabelledData
    loader: Loader
    evaluator: LabelEvaluator

    @property
    def left_out(self) -> int:
        """Damaged photos: found by the doctor, or met in shards."""
        met = len(self.loader.damaged) if isinstance(self.loader, ShardLoader) else 0
        return self.data.left_out + met


def make_photos(
    data: Data,
    card: Card,
    *,
    batch_size: int,
    workers: int,
    cache: bool = False,
    alone: bool = False,
) -> Photos:
    """Loader and evaluator of a split for a model, prepared as its card says.

    Args:
        data: Of the split.
        card: Of the model.
        batch_size: Photos per pass.
        workers: Loader processes.
        cache: Keep decoded photos in memory.
        alone: This process scores all of it, whatever others do; else it takes its share.

    Raises:
        InputError: If model and data have no class name in common.
    """
    columns = columns_in(card.classes, data.classes)
    spec = card.flavour.input
    transform = LabelTransform(spec.size, "none", crop=spec.crop, interpolation=spec.interpolation)
    loader = _make_loader(
        data,
        transform,
        batch_size=batch_size,
        train=False,
        workers=workers,
        cache=cache,
        alone=alone,
    )
    listed = list_photos(data) if isinstance(data, ShardedData) else data
    return Photos(listed, loader, LabelEvaluator(listed.labels, data.classes, columns))


def training_loader(config: PhotoTraining, data: Data, workers: int) -> Loader:
    """This process's share of the augmented pictures of each epoch, in whole batches."""
    return _make_loader(
        data,
        _augmentation(config),
        batch_size=config.fit.batch_size,
        train=True,
        workers=workers,
        seed=config.common.seed,
        cache=config.cache,
    )


def view_loader(config: PhotoTraining, data: Data, workers: int, batch_size: int) -> Loader:
    """The pictures of :func:`training_loader`, in the order of the data, all on each process."""
    return _make_loader(
        data,
        _augmentation(config),
        batch_size=batch_size,
        train=False,
        workers=workers,
        seed=config.common.seed,
        alone=True,
    )


def _augmentation(config: PhotoTraining) -> LabelTransform:
    return LabelTransform(
        config.model.size,
        config.augment,
        crop=config.crop,
        interpolation=config.interpolation,
    )


def _make_loader(
    data: Data,
    transform: LabelTransform,
    *,
    batch_size: int,
    train: bool,
    workers: int,
    seed: int = 0,
    cache: bool = False,
    alone: bool = False,
) -> Loader:
    rank, world = (0, 1) if alone else rank_and_world()
    if isinstance(data, ShardedData):
        return ShardLoader(
            data,
            transform,
            batch_size=batch_size,
            train=train,
            workers=workers,
            seed=seed,
            rank=rank,
            world=world,
        )
    return label_loader(
        LabelledSet(data, transform, seed, cache=cache),
        batch_size=batch_size,
        train=train,
        workers=workers,
        seed=seed,
        rank=rank,
        world=world,
    )


def data_text(data: LabelledData) -> str:
    """What was evaluated on, for a report."""
    cut = "" if data.box_margin is None else ", each cut to its box"
    return f"{data.root}: {len(data)} photos ({data.format}){cut}"
