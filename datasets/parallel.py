"""One function over many files, in threads and with a progress bar."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from tqdm import tqdm

Item = TypeVar("Item")
Done = TypeVar("Done")


def in_threads(
    work: Callable[[Item], Done],
    items: Sequence[Item],
    title: str,
    *,
    unit: str,
    delay: float = 2,
) -> list[Done]:
    """Results of a function for all items, in their order.

    What ``work`` does is done by OpenCV, Pillow or the disk, which leave Python's lock to others.
    The progress bar of that title counts units, and appears after ``delay`` seconds.
    """
    with ThreadPoolExecutor() as pool:
        done = pool.map(work, items)
        return list(tqdm(done, title, len(items), unit=unit, delay=delay))
