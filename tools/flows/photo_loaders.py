"""Loaders of labelled photos, from folders or shards: to train, to score, and for teachers."""

from __future__ import annotations

from dataclasses import dataclass

from configs.training import PhotoTraining
from datasets.labels.augmentation import LabelTransform
from datasets.labels.structure import LabelledData
from datasets.labels.torch_set import LabelledSet, label_loader
from datasets.loader import ResumableLoader
from datasets.shards.loader import ShardLoader
from datasets.shards.photos import list_photos
from datasets.shards.tar import ShardedData
from datasets.types import LabelBatch
from tasks.classification.evaluator import LabelEvaluator, columns_in
from tasks.fitting.engine import rank_and_world
from tasks.weights.card import Card

Data = LabelledData | ShardedData
Loader = ResumableLoader[LabelBatch] | ShardLoader


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
