"""Averaged weights, which are what a run evaluates and keeps."""

from __future__ import annotations

from typing import Any

import torch
from lightning.pytorch.callbacks import WeightAveraging
from torch import Tensor


class AveragedWeights(WeightAveraging):
    """Exponential moving average of weights and statistics, faster in the first steps.

    Args:
        decay: Per step, once the run is long enough: before, (1 + n) / (10 + n).
        device: Where the average lives: Lightning asks before it has moved the model there.
    """

    def __init__(self, decay: float, device: str = "cpu") -> None:
        def update(averages: Any, currents: Any, count: Tensor | int) -> None:
            if averages[0].is_floating_point():
                weight = 1 - min(decay, (1 + int(count)) / (10 + int(count)))
                torch._foreach_lerp_(averages, currents, weight)
            else:
                torch._foreach_copy_(averages, currents)

        super().__init__(torch.device(device), use_buffers=True, multi_avg_fn=update)
