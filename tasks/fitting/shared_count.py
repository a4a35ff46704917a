"""The divisor of a loss if several processes share a batch."""

from __future__ import annotations

import torch
import torch.distributed
from torch import Tensor


def shared_count(count: Tensor) -> Tensor:
    """The divisor of a process's summed loss that makes all processes equal a single one.

    Data-parallel training averages the gradients of its processes. If each divided by its own
    count (matched anchors, known attributes), an object would have more weight where there are few
    others. Divided by the mean count, the average is that of one process with all images.
    torchvision and detectron2 do the same.

    Args:
        count: Number of entries that this process sums over.

    Returns:
        The mean count of all processes, float32, at least one entry in total. Every process must
        call this in the same step.
    """
    total = count.detach().to(torch.float32)
    if not (torch.distributed.is_available() and torch.distributed.is_initialized()):
        return total.clamp(min=1)
    total = total.clone()
    torch.distributed.all_reduce(total)
    return total.clamp(min=1) / torch.distributed.get_world_size()
