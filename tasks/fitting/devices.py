"""Devices to compute on, separate from the trainer, whose libraries take seconds to import."""

from __future__ import annotations

import torch

from datasets.errors import InputError


def choose_device(name: str) -> str:
    """Resolve ``auto``; with several GPUs each has a number, ``cuda:1``.

    Raises:
        InputError: If the device is missing; the message lists those that exist.
    """
    there = ["cpu"]
    if torch.cuda.is_available():
        there.insert(0, "cuda")
    if torch.backends.mps.is_available():
        there.insert(0, "mps")
    if name == "auto":
        return there[0]
    numbered = [f"cuda:{k}" for k in range(torch.cuda.device_count())]
    if name not in (*there, *numbered):
        raise InputError(f"--device {name}: not on this machine; there is {', '.join(there)}")
    return name
