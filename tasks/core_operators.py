"""Operators of graphs with fixed shapes, for runtimes that have only arithmetic.

Mobile runtimes have no non-maximum suppression, no region pooling and no gathering along an axis.
Inside :func:`core_operators` these are written as equivalent products, sums and comparisons;
outside, torch's faster operators are used.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

import torch
from torch import Tensor

from tasks import operators

_CORE: ContextVar[bool] = ContextVar("core", default=False)
# Number of boxes that are compared with each other at a time, and rounds to decide which of them
# remain. A box is decided one round after all better ones that it overlaps with: in images that
# takes fewer than ten.
_BLOCK, _ROUNDS = 128, 12
# In exports: groups for each that is wanted, and members of a group below which nothing is gained.
_SPARE, _SMALLEST = 4, 9


@contextmanager
def core_operators() -> Iterator[None]:
    """Within the block, graphs are written for runtimes that have only arithmetic."""
    before = _CORE.set(True)
    try:
        yield
    finally:
        _CORE.reset(before)


def is_core() -> bool:
    """Whether graphs are being written for such runtimes."""
    return _CORE.get()


def pick(table: Tensor, index: Tensor) -> Tensor:
    """Rows of (B, N) or (B, N, D) by index (B, K) int64: (B, K) or (B, K, D).

    With core operators B must be 1.
    """
    if is_core():
        return table[0].index_select(0, index[0])[None]
    if table.dim() == 2:
        return table.gather(1, index)
    # Whole rows of all images together: runtimes gather them faster than single numbers.
    starts = torch.arange(table.shape[0], device=table.device)[:, None] * table.shape[1]
    return rows_at(table.flatten(0, 1), starts + index)


def rows_at(table: Tensor, index: Tensor) -> Tensor:
    """Rows of (N, D) by index (B, K) int64: (B, K, D)."""
    return table.index_select(0, index.flatten()).view(*index.shape, table.shape[1])


def parted(index: Tensor, by: int) -> tuple[Tensor, Tensor]:
    """Quotients and remainders of integers from 0 to a few millions."""
    # Adding a half keeps the float quotient off integers, so that it cannot round wrongly.
    # Exporters write a quotient of integers as eight operators, for numbers below 0.
    floats = is_core() or torch.compiler.is_exporting()
    whole = ((index.float() + 0.5) / by).floor().long() if floats else index // by
    return whole, index - whole * by


def best_of(values: Tensor, number: int) -> tuple[Tensor, Tensor]:
    """The largest values of (B, N), largest first, and their places, as ``topk`` gives them.

    The best K are within the K groups with the largest maxima, so PyTorch selects twice among few:
    first groups, then what is in them. Exports do so in a way of their own, which keeps the order
    of equal values; runtimes that have only arithmetic select at once.
    """
    count = values.shape[1]
    number = min(number, count)
    exporting = torch.compiler.is_exporting() and not is_core()
    size = 1 if is_core() or not number else _group_size(count, number, exporting=exporting)
    if exporting and size > 1:
        found: tuple[Tensor, Tensor] = operators.best_of(values, number, size)
        return found
    if size == 1:
        best, places = values.topk(number, dim=1)
        return best, places
    # Members of a group are far apart, so that the maxima are taken of whole rows.
    groups = values.reshape(len(values), size, -1)
    chosen = groups.amax(dim=1).topk(number, dim=1, sorted=False).indices
    members = groups.gather(2, chosen[:, None].expand(-1, size, -1)).flatten(1)
    best, places = members.topk(number, dim=1)
    rank = places // number
    return best, rank * (count // size) + chosen.gather(1, places - rank * number)


def _group_size(count: int, number: int, *, exporting: bool) -> int:
    """The divisor of a count with which both selections are shortest together."""
    sizes = [k for k in range(1, count // number + 1) if count % k == 0]
    if exporting:  # Few groups more than are wanted would let much pass.
        return max(k for k in sizes if k == 1 or _SMALLEST <= k <= count / (_SPARE * number))
    return min(sizes, key=lambda size: count / size + number * size if size > 1 else count)


def first_of(mask: Tensor, number: int) -> Tensor:
    """Indices (B, number) int64 of the true entries in (B, K), in order; then of any others."""
    count = mask.shape[1]
    # Descending numbers, exact in float32, so that nothing depends on how equal ones are sorted.
    places = torch.arange(count, 0, -1, dtype=torch.float32, device=mask.device)
    first: Tensor = (mask * places).topk(number, dim=1).indices
    return first


def suppress(boxes: Tensor, scores: Tensor, above: float, max_iou: float, most: int) -> Tensor:
    """Mask (B, K) of the boxes that survive NMS; see :func:`tasks.operators.suppress`.

    With core operators the best boxes need not come first among those that take part, and all
    survivors are found, not the best ``most`` alone.
    """
    if not is_core():
        mask: Tensor = operators.suppress(boxes, scores, above, max_iou, most)
        return mask
    sides, corners = _sides(boxes, 2), _sides(boxes.transpose(1, 2), 1)
    alive = (scores > above).float()[:, None]
    places = torch.arange(_BLOCK, device=boxes.device)
    better = (places[:, None] < places).float()
    kept = []
    for start in range(0, boxes.shape[1], _BLOCK):
        end = min(start + _BLOCK, boxes.shape[1])
        size = end - start
        rows = [side[:, start:end] for side in sides]
        over = (_overlaps(rows, [corner[..., start:] for corner in corners]) > max_iou).float()
        inside = over[..., :size] * better[:size, :size]
        candidates = alive[..., :size]
        keep = candidates
        for _ in range(min(_ROUNDS, size)):
            keep = candidates * _none_of(keep, inside)
        kept.append(keep)
        if end < boxes.shape[1]:
            alive = alive[..., size:] * _none_of(keep, over[..., size:])
    return torch.cat(kept, dim=2)[:, 0] > 0.5


def _none_of(keep: Tensor, over: Tensor) -> Tensor:
    """(B, 1, M) 1 where no kept box (B, 1, N), 0 or 1, overlaps according to (B, N, M)."""
    return (1 - keep @ over).relu()


def _sides(boxes: Tensor, axis: int) -> list[Tensor]:
    """Left, top, right, bottom and area of boxes whose four numbers are along an axis."""
    x1, y1, x2, y2 = (boxes.narrow(axis, k, 1) for k in range(4))
    return [x1, y1, x2, y2, (x2 - x1) * (y2 - y1)]


def _overlaps(one: list[Tensor], other: list[Tensor]) -> Tensor:
    """Intersection over union (B, N, M), rounded as in torchvision's NMS."""
    x1, y1, x2, y2, area = one
    left, top, right, bottom, others = other
    width = (torch.minimum(x2, right) - torch.maximum(x1, left)).relu()
    height = (torch.minimum(y2, bottom) - torch.maximum(y1, top)).relu()
    shared = width * height
    return shared / (area + others - shared)
