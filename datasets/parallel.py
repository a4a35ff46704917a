"""Applies a function to many files, in threads and with a progress bar."""

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

    ``work`` should spend its time in OpenCV, Pillow or on the disk, which release Python's lock.

    Args:
        work: Function to apply.
        items: Items to apply it to.
        title: Title of the progress bar.
        unit: What the progress bar counts.
        delay: Seconds after which it appears.
    """
    with ThreadPoolExecutor() as pool:
        done = pool.map(work, items)
        return list(tqdm(done, title, len(items), unit=unit, delay=delay))
