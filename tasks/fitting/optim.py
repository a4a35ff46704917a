"""Optimisers and learning-rate schedules."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import SGD, AdamW, Optimizer

from backbone.body import Body
from tasks.fitting.spec import FitSpec


class RMSpropTF(Optimizer):
    """RMSprop as TensorFlow computes it, with which the paper's networks were trained.

    It differs from PyTorch's in three ways that matter if epsilon is as large as 1: epsilon is
    inside the root; the mean square, whose decay is .9, starts at 1; and the rate is part of the
    momentum.
    """

    def __init__(
        self, params: Iterable[Any], lr: float, *, momentum: float = 0.9, eps: float = 1.0
    ) -> None:
        options = {"alpha": 0.9, "momentum": momentum, "eps": eps, "weight_decay": 0.0}
        super().__init__(params, {"lr": lr, **options})

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> float | None:  # type: ignore[override]
        """Update all parameters that have a gradient."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            pairs = [(p, p.grad) for p in group["params"] if p.grad is not None]
            if not pairs:
                continue
            params: list[Tensor] = [p for p, _ in pairs]
            grads: list[Tensor] = [grad for _, grad in pairs]
            for p in params:
                if not self.state[p]:
                    self.state[p]["square"] = torch.ones_like(p)
                    self.state[p]["velocity"] = torch.zeros_like(p)
            squares = [self.state[p]["square"] for p in params]
            velocities = [self.state[p]["velocity"] for p in params]
            if group["weight_decay"]:
                grads = list(torch._foreach_add(grads, params, alpha=group["weight_decay"]))
            torch._foreach_mul_(squares, group["alpha"])
            torch._foreach_addcmul_(squares, grads, grads, value=1 - group["alpha"])
            roots = torch._foreach_add(squares, group["eps"])
            torch._foreach_sqrt_(roots)
            torch._foreach_mul_(velocities, group["momentum"])
            torch._foreach_addcdiv_(velocities, grads, roots, value=group["lr"])
            torch._foreach_sub_(params, velocities)
        return loss


def make_optimizer(model: nn.Module, spec: FitSpec) -> Optimizer:
    """The optimiser that a spec names, with weight decay where the paper applies it.

    With a layer decay the layers of the model's ``body`` have individual rates.
    """
    groups = decay_groups(model, spec.weight_decay)
    if spec.layer_decay != 1:
        groups = rate_groups(groups, body_of(model).depths(), spec.lr, spec.layer_decay)
    if spec.optimizer == "sgd":
        return SGD(groups, spec.lr, momentum=spec.momentum)
    if spec.optimizer == "rmsprop":
        return RMSpropTF(groups, spec.lr, momentum=spec.momentum)
    return AdamW(groups, spec.lr)


def decay_groups(model: nn.Module, weight_decay: float) -> list[dict[str, Any]]:
    """Parameters with and without weight decay.

    Biases, batch norm and depthwise filters have none, "since there are so few parameters in them"
    (paper, section 3.2).
    """
    decayed: list[nn.Parameter] = []
    free: list[nn.Parameter] = []
    for module in model.modules():
        depthwise = isinstance(module, nn.Conv2d) and module.groups > 1
        for parameter in module.parameters(recurse=False):
            if parameter.requires_grad:
                (free if parameter.ndim < 2 or depthwise else decayed).append(parameter)
    return [
        {"params": decayed, "weight_decay": weight_decay},
        {"params": free, "weight_decay": 0.0},
    ]


def body_of(model: nn.Module) -> Body:
    """The convolutional body of a model."""
    body = model.body
    assert isinstance(body, Body)
    return body


def rate_groups(
    groups: Iterable[dict[str, Any]], depths: Mapping[nn.Parameter, int], lr: float, decay: float
) -> list[dict[str, Any]]:
    """Split groups of parameters by their depth below the head: ``lr * decay ** depth``.

    Discriminative rates (Howard and Ruder, arXiv 1801.06146, section 3.2): early layers, whose
    features are general, change least. Parameters without a depth have the head's rate.
    """
    parted: list[dict[str, Any]] = []
    for group in groups:
        by_depth: dict[int, list[nn.Parameter]] = {}
        for parameter in group["params"]:
            by_depth.setdefault(depths.get(parameter, 0), []).append(parameter)
        parted += [
            {**group, "params": parameters, "lr": lr * decay**depth}
            for depth, parameters in sorted(by_depth.items())
        ]
    return parted


def rate_factor(spec: FitSpec, total_steps: int) -> Callable[[int], float]:
    """Learning rate of a step as a share of the highest: warm-up, then the schedule."""
    warmup = max(1, round(spec.warmup * total_steps))
    per_decay = spec.decay_epochs * total_steps / spec.epochs

    def factor(step: int) -> float:
        if step < warmup and spec.warmup > 0:
            return (step + 1) / warmup
        if spec.schedule == "exponential":
            return float(spec.decay_rate ** (step // per_decay))
        progress = (step - warmup) / max(1, total_steps - warmup)
        return 0.5 * (1 + math.cos(math.pi * min(progress, 1.0)))

    return factor
