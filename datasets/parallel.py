"""Applies a function to many files, in threads and with a progress bar."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from tqdm import tqdm

Item = TypeVar("Item")
Done = TypeVar("Done")
# Items that a thread takes at once: handing over a header each takes longer than reading it.
_MOST_AT_ONCE = 64
_SHARES = 32


def in_threads(
    work: Callable[[Item], Done],
    items: Sequence[Item],
    title: str,
    *,
    unit: str,
    delay: float = 2,
) -> list[Done]:
    """Results of a function for all items, in their order.

    ``work`` should spend its time in OpenCV, Pillow or on the disk, which release Python's lock.

    Args:
        work: Function to apply.
        items: Items to apply it to.
        title: Title of the progress bar.
        unit: What the progress bar counts.
        delay: Seconds after which it appears.
    """
    step = max(1, min(_MOST_AT_ONCE, len(items) // _SHARES))

    def part(first: int) -> list[Done]:
        return [work(item) for item in items[first : first + step]]

    found: list[Done] = []
    with (
        ThreadPoolExecutor() as pool,
        tqdm(desc=title, total=len(items), unit=unit, delay=delay) as bar,
    ):
        for done in pool.map(part, range(0, len(items), step)):
            found += done
            bar.update(len(done))
    return found
