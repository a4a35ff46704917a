"""Loaders of square images, from folders or shards: for training, evaluation and teachers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from configs.training import PhotoTraining, TaughtTraining
from datasets.labels.augmentation import LabelTransform
from datasets.labels.sampler import BalancedSampler
from datasets.labels.structure import LabelledData
from datasets.labels.torch_set import (
    LabelledSet,
    Transform,
    collate_labels,
    finish_labels,
    label_loader,
)
from datasets.loader import EpochSampler, ResumableLoader
from datasets.shards.loader import ShardLoader
from datasets.shards.photos import list_photos
from datasets.shards.tar import ShardedData
from datasets.types import LabelBatch
from tasks.classification.evaluator import LabelEvaluator, columns_in
from tasks.fitting.engine import rank_and_world
from tasks.weights.card import Card
from tools import cli
from tools.flows.recipe import Loading, Ready

Data = LabelledData | ShardedData
Loader = ResumableLoader[LabelBatch] | ShardLoader
_MUCH = 500_000_000  # Bytes of memory that a user should know of.
# Made from a size and the name of an augmentation, like LabelTransform.
TransformMaker = Callable[..., Transform]


def make_photos(data: Data, card: Card, loading: Loading) -> Ready[LabelledData, LabelEvaluator]:
    """Loader and evaluator of a part. Raises InputError if no class name is in common."""
    columns = columns_in(card.classes, data.classes)
    loader = exam_loader(data, card, loading)
    listed = list_photos(data) if isinstance(data, ShardedData) else data
    return Ready(listed, loader, LabelEvaluator(listed.labels, data.classes, columns))


def exam_loader(
    data: Data, card: Card, loading: Loading, transform: TransformMaker = LabelTransform
) -> Loader:
    """The images of a part in order, preprocessed according to a model's card."""
    seen = card.flavour.input
    return _make_loader(
        data,
        transform(seen.size, "none", crop=seen.crop, interpolation=seen.interpolation),
        loading,
        train=False,
    )


def training_loader(
    config: PhotoTraining, data: Data, workers: int, resample: float = 0.0
) -> Loader:
    """This process's share of the augmented images of each epoch, in complete batches.

    With ``resample``, rare classes are drawn more often (:class:`BalancedSampler`).
    """
    loading = Loading(config.fit.batch_size, workers, cache=config.cache)
    seen, seed = augmentation(config), config.common.seed
    if not resample:
        return _make_loader(data, seen, loading, train=True, seed=seed)
    assert isinstance(data, LabelledData)
    rank, world = rank_and_world()
    sampler = BalancedSampler(data.labels, resample, seed=seed, rank=rank, world=world)
    photos = _cached(data, seen, loading, seed)
    size = loading.batch_size
    return ResumableLoader(photos, sampler, collate_labels, finish_labels, size, workers)


def view_loader(
    config: TaughtTraining,
    data: Data,
    workers: int,
    batch_size: int,
    transform: TransformMaker = LabelTransform,
) -> Loader:
    """The images of a training, in the order of the data, all on each process."""
    seen, loading = augmentation(config, transform), Loading(batch_size, workers, alone=True)
    return _make_loader(data, seen, loading, train=False, seed=config.common.seed)


def augmentation(config: Any, transform: TransformMaker = LabelTransform) -> Transform:
    """The augmentation of a configuration's training images."""
    return transform(
        config.model.size, config.augment, crop=config.crop, interpolation=config.interpolation
    )


def _make_loader(
    data: Data, transform: Transform, loading: Loading, *, train: bool, seed: int = 0
) -> Loader:
    rank, world = (0, 1) if loading.alone else rank_and_world()
    size, workers = loading.batch_size, loading.workers
    if isinstance(data, ShardedData):
        draws = EpochSampler(len(data), shuffle=train, seed=seed, rank=rank, world=world)
        return ShardLoader(data, transform, draws, batch_size=size, workers=workers)
    photos = _cached(data, transform, loading, seed)
    return label_loader(
        photos,
        batch_size=size,
        train=train,
        workers=workers,
        seed=seed,
        rank=rank,
        world=world,
    )


def _cached(data: LabelledData, transform: Transform, loading: Loading, seed: int) -> LabelledSet:
    """The set of a loader, which keeps its images in memory if they fit."""
    photos = LabelledSet(data, transform, seed, cache=loading.cache)
    if photos.num_cached > _MUCH:
        cli.say(
            f"{len(data)} decoded images are kept in memory: {photos.num_cached / 1e9:.1f} GB "
            "(--no-cache decodes them in each epoch)"
        )
    return photos
