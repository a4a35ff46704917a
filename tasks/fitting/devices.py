"""Devices to compute on, separate from the trainer, whose libraries take seconds to import."""

from __future__ import annotations

import torch

from datasets.errors import InputError


def choose_device(name: str) -> str:
    """Resolve ``auto``. Raises InputError listing the devices if this one is missing."""
    there = ["cpu"]
    if torch.cuda.is_available():
        there.insert(0, "cuda")
    if torch.backends.mps.is_available():
        there.insert(0, "mps")
    if name == "auto":
        return there[0]
    if name not in there:
        raise InputError(f"--device {name}: not on this machine; there is {', '.join(there)}")
    return name
