"""Draws that bring photos of the same person together: losses over pairs need some in a batch."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from datasets.identities.augmentation import FaceTransform
from datasets.identities.structure import FaceData
from datasets.labels.torch_set import LabelledSet, collate_labels, finish_labels
from datasets.loader import Draw, EpochSampler, ResumableLoader, make_loader
from datasets.types import LabelBatch


class IdentitySampler(EpochSampler):
    """All photos of an epoch, ``together`` of each identity one after the other.

    A batch of P x K photos then holds about P identities with K photos each, which the triplets
    of FaceNet (arXiv 1503.03832, section 3.2) are made of; the last few of an identity, and
    identities with fewer photos, come in smaller groups. The order is a function of (seed, epoch).

    Args:
        labels: (N,) identity of each photo.
        together: K.
        seed: Of the order.
        rank: This process among ``world``.
        world: Number of processes; each draws a stretch of the order.
    """

    def __init__(
        self, labels: NDArray[np.int64], together: int, *, seed: int, rank: int, world: int
    ) -> None:
        super().__init__(len(labels), shuffle=True, seed=seed, rank=rank, world=world)
        self.labels, self.together = labels, together

    def order(self) -> NDArray[np.int64]:
        """(N,) the epoch's photos: groups in random order, each of one identity."""
        rng = np.random.default_rng((self.seed, self.epoch))
        shuffled = rng.permutation(self.length)
        by_identity = shuffled[np.argsort(self.labels[shuffled], kind="stable")]
        labels = self.labels[by_identity]
        first = np.searchsorted(labels, labels)  # Where each photo's identity begins.
        within = (np.arange(self.length) - first) // self.together
        is_first = (np.diff(within, prepend=0) != 0) | (np.diff(labels, prepend=-1) != 0)
        group = np.cumsum(is_first)
        places = rng.permutation(int(group.max()) + 1)
        return by_identity[np.argsort(places[group], kind="stable")]

    def __iter__(self) -> Iterator[Draw]:
        """Yield the draws of this rank from ``start`` on."""
        order = np.resize(self.order(), len(self) * self.world)
        mine = order.reshape(self.world, -1)[self.rank]
        epoch, start = self.epoch, self.start
        self.start = 0
        return iter([(epoch, int(index)) for index in mine[start:]])


def face_loader(
    data: FaceData,
    transform: FaceTransform,
    *,
    batch_size: int,
    train: bool,
    workers: int,
    together: int = 1,
    seed: int = 0,
    cache: bool = False,
    rank: int = 0,
    world: int = 1,
) -> ResumableLoader[LabelBatch]:
    """Loader of faces: shuffled and in whole batches for training, else in order.

    Args:
        data: Faces.
        transform: To the network's input.
        batch_size: Photos per batch and rank.
        train: Shuffle.
        workers: Loader processes.
        together: Photos of an identity that follow each other in training.
        seed: Of order and augmentation.
        cache: Keep decoded photos in memory.
        rank: This process among ``world``.
        world: Number of processes.
    """
    dataset = LabelledSet(data, transform, seed, cache=cache)
    sampler = EpochSampler(len(data), shuffle=train, seed=seed, rank=rank, world=world)
    if train and together > 1:
        sampler = IdentitySampler(data.labels, together, seed=seed, rank=rank, world=world)
    return make_loader(dataset, sampler, collate_labels, finish_labels, batch_size, workers)
