"""One batch learned by heart."""

from typing import Any

import torch
from torch import nn


def learn(model: nn.Module, batch: tuple[Any, Any], *, steps: int, rate: float) -> set[str]:
    """Fit a network to a batch at a falling rate, whose last steps are no matter of rounding.

    Returns:
        Names of its losses.
    """
    optimizer = torch.optim.AdamW(model.parameters(), rate)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    for _ in range(steps):
        optimizer.zero_grad()
        losses: dict[str, torch.Tensor] = model(*batch)
        torch.stack(list(losses.values())).sum().backward()
        optimizer.step()
        schedule.step()
    return set(losses)
