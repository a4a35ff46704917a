"""The order in which samples are drawn if many of them are read together."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

# Bytes of groups that a process keeps in memory.
HELD = 1 << 28


@dataclass(frozen=True)
class ReadTogether:
    """Samples that can only be read with others, such as rows in a compressed group.

    Attributes:
        groups: (N,) int64 number of each sample's group.
        sizes: (G,) int64 bytes of each group.
        versions: Version of each file that they are in, by name; it changes when the file does.
    """

    groups: NDArray[np.int64]
    sizes: NDArray[np.int64]
    versions: Mapping[str, int] = field(default_factory=dict)

    def select(self, keep: NDArray[np.bool_]) -> ReadTogether:
        """The samples of a mask (N,)."""
        return replace(self, groups=self.groups[keep])


def shuffled(
    length: int, rng: np.random.Generator, together: ReadTogether | None = None
) -> NDArray[np.int64]:
    """A random order (N,) of samples in which no group has to be read twice.

    Randomly drawn groups, as many as a process keeps, are mixed with each other before the next
    ones; if samples are read individually, or all are kept, the order is entirely random.

    Args:
        length: Number of samples, N.
        rng: Source of the order.
        together: Which samples are read together.
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
