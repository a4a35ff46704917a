"""Pictures from a generator: each is a function of seed, class and number alone."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from tqdm import tqdm

from tasks.dcgan.networks import Generator, to_bytes

Picture = NDArray[np.uint8]
_BATCH = 128


def make_latents(seed: int, labels: Sequence[int], numbers: Sequence[int], length: int) -> Tensor:
    """The random numbers of some pictures, (B, length) standard normal.

    Args:
        seed: Of the pictures.
        labels: (B,) column of each.
        numbers: (B,) which of its class.
        length: How many random numbers.
    """
    rows = [
        np.random.default_rng((seed, label, number)).standard_normal(length, dtype=np.float32)
        for label, number in zip(labels, numbers, strict=True)
    ]
    return torch.from_numpy(np.stack(rows))


def numbers_of(labels: NDArray[np.int64]) -> NDArray[np.int64]:
    """(N,) the how-manieth of its class each label is, from 0."""
    numbers = np.empty(len(labels), dtype=np.int64)
    for label in np.unique(labels):
        rows = np.flatnonzero(labels == label)
        numbers[rows] = np.arange(len(rows))
    return numbers


def generate(
    generator: Generator, labels: NDArray[np.int64], seed: int, device: str, label: str = ""
) -> Picture:
    """Pictures of given classes, (N, S, S, 3) uint8 RGB.

    Args:
        generator: In evaluation mode.
        labels: (N,) column of each picture.
        seed: Another seed is other pictures; more pictures begin with the same ones.
        device: To compute on.
        label: Of the progress bar; none where empty.
    """
    numbers = numbers_of(labels)
    generator = generator.to(device)
    parts = []
    starts = range(0, len(labels), _BATCH)
    with torch.inference_mode():
        for start in tqdm(starts, label, unit="batch", disable=not label, mininterval=0.5):
            some = labels[start : start + _BATCH]
            parts.append(
                draw_some(generator, some, numbers[start : start + _BATCH], seed, device).cpu()
            )
    return np.ascontiguousarray(torch.cat(parts).permute(0, 2, 3, 1).numpy())


def draw_some(
    generator: Generator,
    labels: NDArray[np.int64],
    numbers: NDArray[np.int64],
    seed: int,
    device: str | torch.device,
) -> Tensor:
    """One batch of pictures, (B, 3, S, S) uint8, in float32 arithmetic.

    Args:
        generator: In evaluation mode, on the device.
        labels: (B,) column of each.
        numbers: (B,) which of its class.
        seed: Of the pictures.
        device: To compute on.
    """
    assert not generator.training, "sampling needs evaluation mode"
    latents = make_latents(seed, labels.tolist(), numbers.tolist(), generator.spec.latent)
    with torch.autocast(torch.device(device).type, enabled=False):
        made = generator(latents.to(device), torch.from_numpy(labels).to(device))
    return to_bytes(made)
