"""Weights of the tasks' losses in their sum."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn


class Balance(nn.Module):
    """Losses of several tasks, brought to one scale.

    Each is divided by its first value, so that cross-entropy over a thousand classes and a hinge
    on cosines start equal, and multiplied by a fixed weight; or by a learnt one: exp(-s) times the
    loss plus s / 2, where s is the log variance of the task's noise (Kendall et al., arXiv
    1705.07115, section 3.2).

    Args:
        weights: Weight of each task, by name.
        learnt: Whether the weights are learnt; the given ones then multiply the whole term.
    """

    # (T,) first loss of each task, 0 before there was one; it is stored in checkpoints.
    first: Tensor

    def __init__(self, weights: Mapping[str, float], *, learnt: bool) -> None:
        super().__init__()
        self.weights = dict(weights)
        self._places = {name: place for place, name in enumerate(weights)}
        self.register_buffer("first", torch.zeros(len(weights)))
        self.log_variances = nn.Parameter(torch.zeros(len(weights))) if learnt else None

    def forward(self, losses: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Balanced losses of the tasks that a step has, by name; each is a number above 0."""
        balanced = {}
        for name, loss in losses.items():
            place = self._places[name]
            with torch.no_grad():
                begun = self.first[place] > 0
                self.first[place] = torch.where(begun, self.first[place], loss.detach().float())
                # A batch without a single object may give a loss of 0.
                scale = torch.where(self.first[place] > 0, self.first[place], 1.0)
            term = loss / scale
            if self.log_variances is not None:
                spread = self.log_variances[place]
                term = torch.exp(-spread) * term + spread / 2
            balanced[name] = self.weights[name] * term
        return balanced
