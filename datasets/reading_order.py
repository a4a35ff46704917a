"""In which order samples are drawn where many of them are read at once."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

# Bytes of groups that a process holds at a time.
HELD = 1 << 28


@dataclass(frozen=True)
class ReadTogether:
    """Samples that can only be read with others, as rows of a compressed group.

    Attributes:
        groups: (N,) int64 number of each sample's group.
        sizes: (G,) int64 bytes of each group.
        versions: Version of each file that they are in, by name; it changes when the file does.
    """

    groups: NDArray[np.int64]
    sizes: NDArray[np.int64]
    versions: Mapping[str, int] = field(default_factory=dict)

    def select(self, keep: NDArray[np.bool_]) -> ReadTogether:
        """Those of some samples, by a mask (N,)."""
        return replace(self, groups=self.groups[keep])


def shuffled(
    length: int, rng: np.random.Generator, together: ReadTogether | None = None
) -> NDArray[np.int64]:
    """A random order (N,) of samples in which no group has to be read twice.

    Groups that are drawn at random, as many as a process holds, are mixed with each other before
    the next ones; of samples that are read one by one, or that are all held, any follows any.

    Args:
        length: Number of samples, N.
        rng: Source of the order.
        together: What is read at once.
    """
    order = rng.permutation(length)
    if together is None:
        return order
    used = np.unique(together.groups)
    if together.sizes[used].sum() <= HELD:
        return order
    window, number, held = np.zeros(len(together.sizes), np.int64), 0, 0
    for group in rng.permutation(used).tolist():
        size = int(together.sizes[group])
        if held and held + size > HELD:
            number, held = number + 1, 0
        held += size
        window[group] = number
    return order[np.argsort(window[together.groups[order]], kind="stable")]
