"""Draws that put images of the same person into one batch, for losses over pairs."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from datasets.loader import Draw, EpochSampler


class IdentitySampler(EpochSampler):
    """All images of an epoch, with ``together`` images of an identity one after the other.

    A batch of P x K images then holds about P identities with K images each, from which the
    triplets of FaceNet (arXiv 1503.03832, section 3.2) are made; the last few images of an
    identity, and identities with fewer images, form smaller groups. The order is a function of
    (seed, epoch).

    Args:
        labels: (N,) identity of each image.
        together: Number K of images.
        seed: Seed of the order.
        rank: Number of this process, from 0 to ``world`` - 1.
        world: Number of processes; each draws one section of the order.
    """

    def __init__(
        self, labels: NDArray[np.int64], together: int, *, seed: int, rank: int, world: int
    ) -> None:
        super().__init__(len(labels), shuffle=True, seed=seed, rank=rank, world=world)
        self.labels, self.together = labels, together

    def order(self) -> NDArray[np.int64]:
        """(N,) the epoch's images: groups in random order, each of one identity."""
        rng = np.random.default_rng((self.seed, self.epoch))
        shuffled = rng.permutation(self.length)
        by_identity = shuffled[np.argsort(self.labels[shuffled], kind="stable")]
        labels = self.labels[by_identity]
        first = np.searchsorted(labels, labels)  # Where each image's identity begins.
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
