"""Times of several candidates in one process, interleaved, as medians."""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable, Mapping

import cv2
import torch


def pin_threads() -> int:
    """Read ``--threads``, set it for torch, and keep OpenCV out of the way."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    threads: int = parser.parse_args().threads
    torch.set_num_threads(threads)
    cv2.setNumThreads(0)
    return threads


def medians(
    candidates: Mapping[str, Callable[[], object]], rounds: int, warmup: int = 2
) -> dict[str, float]:
    """Median seconds per call of each candidate.

    Every round runs each candidate once, in turn, so that a noisy moment hits all alike.
    """
    times: dict[str, list[float]] = {name: [] for name in candidates}
    for number in range(warmup + rounds):
        for name, call in candidates.items():
            started = time.perf_counter()
            call()
            if number >= warmup:
                times[name].append(time.perf_counter() - started)
    return {name: statistics.median(values) for name, values in times.items()}
