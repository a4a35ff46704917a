"""Cost of several answers in one pass, compared with a network for each."""

from __future__ import annotations

import copy
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

import torch
from torch import nn

from backbone.cost import count_cost
from backbone.layers import fold_batchnorm
from tasks.multitask.model import MultiTaskNet

Model = TypeVar("Model", bound=nn.Module)
_ROUNDS, _WARMUP = 60, 3


@dataclass(frozen=True)
class PassCost:
    """The heads of one input size."""

    size: int  # of the input, in pixels
    heads: tuple[str, ...]  # that take it
    together: int  # mult-adds of one pass that answers all
    separate: int  # of networks of their own, all of them
    one: int  # of the first head's network alone
    ms: dict[str, float]  # the same three in ms, medians, on the CPU; empty if not measured

    @property
    def ratio(self) -> float:
        """Mult-adds of all answers as a multiple of the first head's network."""
        return self.together / self.one


def pass_costs(net: MultiTaskNet, *, measure: bool = True) -> list[PassCost]:
    """Costs for one image, input size by input size; the network may be on any device.

    With ``measure`` it is timed too, on the CPU, with torch's number of threads.
    """
    found = []
    for size, names in net.sizes.items():
        shape = (1, 3, size, size)
        alone = [
            count_cost(net.head(name), shape, lambda m, x: m.raw(x)).mult_adds for name in names
        ]
        found.append(
            PassCost(
                size=size,
                heads=tuple(names),
                together=count_cost(net, shape, lambda m, x: m.answers(x)).mult_adds,
                separate=sum(alone),
                one=alone[0],
                ms=_measure(net, size, names) if measure else {},
            )
        )
    return found


def count_params(net: MultiTaskNet) -> tuple[int, int]:
    """Number of parameters of trunk and heads, and of separate networks."""
    heads = [net.head(name) for name in net.heads]
    together = {p: p.numel() for model in heads for p in model.parameters()}
    return sum(together.values()), sum(p.numel() for model in heads for p in model.parameters())


def _measure(net: MultiTaskNet, size: int, names: list[str]) -> dict[str, float]:
    """Milliseconds for one image; each network is timed once per round, in turns."""
    together = _ready(net)
    # Copies with weights of their own: otherwise those just read would come from the cache.
    separate = [_ready(net.head(name)) for name in names]
    one = _ready(net.head(names[0]))
    photo = torch.randint(0, 256, (1, 3, size, size), dtype=torch.uint8)
    candidates: dict[str, Callable[[], object]] = {
        "together": lambda: together.answers(photo),
        "separate": lambda: [model.raw(photo) for model in separate],
        "one": lambda: one.raw(photo),
    }
    times: dict[str, list[float]] = {name: [] for name in candidates}
    with torch.inference_mode():
        for number in range(_WARMUP + _ROUNDS):
            turn = number % len(candidates)  # Who comes after whom matters: caches.
            for name in (*candidates, *candidates)[turn : turn + len(candidates)]:
                started = time.perf_counter()
                candidates[name]()
                if number >= _WARMUP:
                    times[name].append(time.perf_counter() - started)
    return {name: 1000 * statistics.median(values) for name, values in times.items()}


def _ready(model: Model) -> Model:
    """A copy for inference on the CPU."""
    folded = fold_batchnorm(copy.deepcopy(model).to("cpu"))
    return folded.to(memory_format=torch.channels_last)
