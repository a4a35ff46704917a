"""Times of several candidates in one process, interleaved, as medians."""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable, Mapping

import cv2
import torch
from tqdm import tqdm


def pin_threads() -> int:
    """Read ``--threads``, set it for torch, and keep OpenCV out of the way."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    threads: int = parser.parse_args().threads
    torch.set_num_threads(threads)
    cv2.setNumThreads(0)
    return threads


def turns(
    candidates: Mapping[str, Callable[[], object]], rounds: int, label: str
) -> dict[str, list[float]]:
    """Processor seconds of each candidate in each round, with a progress bar.

    They are those of all threads of this process, so waiting for other programs does not count: of
    one thread on a quiet machine they are the time that passes. Every round runs each candidate,
    in turn, so that a noisy moment hits all alike: once untimed, which brings what it computes
    with back into the caches, and once timed. Every other round goes backwards, so that nobody
    always follows the same one.
    """
    times: dict[str, list[float]] = {name: [] for name in candidates}
    for number in tqdm(range(rounds), label, unit="round", mininterval=0.5):
        order = [*candidates.items()]
        for name, call in order if number % 2 else order[::-1]:
            call()
            started = time.process_time()
            call()
            times[name].append(time.process_time() - started)
    return times


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
