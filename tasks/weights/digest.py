"""Digests of tensors, which identify files and reveal damage."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor


def digest_of(state: Mapping[str, Tensor], told: str = "") -> str:
    """SHA-256 of tensors by name, with their types, shapes and values, and of a text before them.

    The order of the names does not matter.
    """
    import torch

    digest = hashlib.sha256(told.encode())
    for name in sorted(state):
        tensor = state[name].detach().cpu().contiguous()
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        digest.update(tensor.view(-1).view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()
