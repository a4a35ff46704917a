"""What a loss is divided by where several processes share a batch."""

from __future__ import annotations

import torch
import torch.distributed
from torch import Tensor


def shared_count(count: Tensor) -> Tensor:
    """What a process divides its summed loss by, so that all of them equal one process.

    Data-parallel training averages the gradients of its processes. If each divided by a count of
    its own (matched anchors, known attributes), an object would weigh more where few others are.
    Divided by the mean count, the average is that of one process with all images. torchvision
    and detectron2 do the same.

    Args:
        count: Number of entries that this process sums over.

    Returns:
        The mean count of all processes, float32; at least one entry is counted in all. Every
        process must come here in the same step.
    """
    total = count.detach().to(torch.float32)
    if not (torch.distributed.is_available() and torch.distributed.is_initialized()):
        return total.clamp(min=1)
    total = total.clone()
    torch.distributed.all_reduce(total)
    return total.clamp(min=1) / torch.distributed.get_world_size()
