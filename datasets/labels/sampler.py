"""Draws that show the network rare classes more often than the data holds them."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from datasets.loader import Draw, EpochSampler

# Between the numbers of an image's repetitions within an epoch, far above any number of epochs.
_REPEATED = 1 << 32


class BalancedSampler(EpochSampler):
    """As many draws as images, in which each class has a share that is closer to the others'.

    The share of a class is its number of images to the power 1 - ``strength``. Within an epoch all
    images of a class are drawn equally often, to within one, and each repetition is augmented
    differently. The order is a function of (seed, epoch).

    Args:
        labels: (N,) class of each image, from 0.
        strength: A number from 0, which leaves the shares as they are, to 1, which makes them
            equal.
        seed: Seed of the order.
        rank: Number of this process, from 0 to ``world`` - 1.
        world: Number of processes; each draws an equal share.
    """

    def __init__(
        self, labels: NDArray[np.int64], strength: float, *, seed: int, rank: int, world: int
    ) -> None:
        super().__init__(len(labels), shuffle=True, seed=seed, rank=rank, world=world)
        counts = np.bincount(labels)
        shares = np.where(counts > 0, counts.clip(min=1) ** (1.0 - strength), 0.0)
        ends = np.cumsum(shares) / shares.sum() * self.length
        # Rounding the ends instead of the shares keeps their sum.
        self.draws = np.diff(np.round(ends).astype(np.int64), prepend=0)
        self.images = np.split(np.argsort(labels, kind="stable"), np.cumsum(counts)[:-1])

    def order(self) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """(N,) images of the epoch, and (N,) how often each was drawn before in it."""
        rng = np.random.default_rng((self.seed, self.epoch))
        images, repeats = [], []
        for own, draws in zip(self.images, self.draws.tolist(), strict=True):
            if draws:
                images.append(np.resize(rng.permutation(own), draws))
                repeats.append(np.arange(draws) // len(own))
        order = rng.permutation(self.length)
        return np.concatenate(images)[order], np.concatenate(repeats)[order]

    def __iter__(self) -> Iterator[Draw]:
        """Yield the draws of this rank from ``start`` on."""
        images, repeats = self.order()
        number = len(self) * self.world
        mine = np.resize(images, number)[self.rank :: self.world]
        again = np.resize(repeats, number)[self.rank :: self.world]
        epoch, start = self.epoch, self.start
        self.start = 0
        pairs = zip(again[start:].tolist(), mine[start:].tolist(), strict=True)
        return iter([(epoch + _REPEATED * repeat, image) for repeat, image in pairs])
