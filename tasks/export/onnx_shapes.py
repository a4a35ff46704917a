"""ONNX's operators that take shapes, axes or places, in torch's words."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

Fixed = Sequence[NDArray[Any] | None]
Told = dict[str, Any]
_TYPES = {1: torch.float32, 2: torch.uint8, 6: torch.int32, 7: torch.int64, 9: torch.bool}


def numbers(fixed: Fixed, place: int) -> list[int] | None:
    """An input's whole numbers, if it is there."""
    values = fixed[place] if len(fixed) > place else None
    return None if values is None else [int(one) for one in np.atleast_1d(values)]


def _slice(_told: Told, given: list[Tensor], fixed: Fixed) -> Tensor:
    x, starts, ends = given[0], numbers(fixed, 1) or [], numbers(fixed, 2) or []
    axes = numbers(fixed, 3) or [*range(len(starts))]
    steps = numbers(fixed, 4) or [1] * len(starts)
    for start, end, axis, step in zip(starts, ends, axes, steps, strict=True):
        size = x.shape[axis]
        if step == 1:
            x = torch.narrow(x, axis, *_part(start, end, size))
        else:
            places = torch.arange(size)[slice(start, end, step)] if step > 0 else None
            x = x.flip(axis) if places is None else x.index_select(axis, places)
    return x


def _part(start: int, end: int, size: int) -> tuple[int, int]:
    first, last, _ = slice(start, end).indices(size)
    return first, last - first


def _reduce(how: Callable[..., Tensor]) -> Callable[[Told, list[Tensor], Fixed], Tensor]:
    def reduced(told: Told, given: list[Tensor], fixed: Fixed) -> Tensor:
        axes = numbers(fixed, 1) or [*range(given[0].dim())]
        return how(given[0], axes, bool(told.get("keepdims", 1)))

    return reduced


def _split(told: Told, given: list[Tensor], fixed: Fixed) -> tuple[Tensor, ...]:
    axis = told.get("axis", 0)
    sizes = numbers(fixed, 1) or -(-given[0].shape[axis] // told["num_outputs"])
    return torch.split(given[0], sizes, axis)


def _reshape(_told: Told, given: list[Tensor], fixed: Fixed) -> Tensor:
    x, shape = given[0], numbers(fixed, 1) or []
    return x.reshape([x.shape[k] if side == 0 else side for k, side in enumerate(shape)])


def _squeeze(_told: Told, given: list[Tensor], fixed: Fixed) -> Tensor:
    return given[0].squeeze(numbers(fixed, 1) or [*range(given[0].dim())])


def _unsqueeze(_told: Told, given: list[Tensor], fixed: Fixed) -> Tensor:
    x, axes = given[0], numbers(fixed, 1) or []
    for axis in sorted(axis % (x.dim() + len(axes)) for axis in axes):
        x = x.unsqueeze(axis)
    return x


def _expand(_told: Told, given: list[Tensor], fixed: Fixed) -> Tensor:
    x, shape = given[0], numbers(fixed, 1) or []
    return x.expand(np.broadcast_shapes(tuple(x.shape), tuple(shape)))


def _gather(told: Told, given: list[Tensor], _fixed: Fixed) -> Tensor:
    x, index, axis = given[0], given[1], told.get("axis", 0)
    if index.dim() == 1:
        return x.index_select(axis, index)
    found = x.index_select(axis, index.reshape(-1))
    return found.reshape(*x.shape[:axis], *index.shape, *x.shape[axis:][1:])


def _topk(told: Told, given: list[Tensor], fixed: Fixed) -> tuple[Tensor, Tensor]:
    (number,) = numbers(fixed, 1) or [1]
    values, places = torch.topk(
        given[0], number, told.get("axis", -1), bool(told.get("largest", 1))
    )
    return values, places


def _max_pool(told: Told, given: list[Tensor], _fixed: Fixed) -> Tensor:
    top, left, bottom, right = told.get("pads", [0, 0, 0, 0])
    x = functional.pad(given[0], (left, right, top, bottom), value=-torch.inf)
    return functional.max_pool2d(x, told["kernel_shape"], told.get("strides", [1, 1]))


SHAPES: dict[str, Callable[[Told, list[Tensor], Fixed], Any]] = {
    "Cast": lambda told, given, _: given[0].to(_TYPES[told["to"]]),
    "Concat": lambda told, given, _: torch.cat(given, told["axis"]),
    "Expand": _expand,
    "Gather": _gather,
    "LeakyRelu": lambda told, given, _: functional.leaky_relu(given[0], told.get("alpha", 0.01)),
    "LogSoftmax": lambda told, given, _: functional.log_softmax(given[0], told.get("axis", -1)),
    "MaxPool": _max_pool,
    "ReduceL2": _reduce(lambda x, axes, keep: torch.linalg.vector_norm(x, 2, axes, keep)),
    "ReduceMax": _reduce(torch.amax),
    "ReduceMean": _reduce(torch.mean),
    "ReduceMin": _reduce(torch.amin),
    "ReduceSum": _reduce(torch.sum),
    "Reshape": _reshape,
    "Slice": _slice,
    "Softmax": lambda told, given, _: functional.softmax(given[0], told.get("axis", -1)),
    "Split": _split,
    "Squeeze": _squeeze,
    "TopK": _topk,
    "Transpose": lambda told, given, _: given[0].permute(told["perm"]),
    "Unsqueeze": _unsqueeze,
}
"""By ONNX's names: from attributes, inputs, and those of them that are constants."""
