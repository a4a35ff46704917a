"""What graphs of a fixed shape are made of where a runtime has arithmetic only.

Mobile runtimes have no non-maximum suppression, no region pooling and no gathering along an axis.
Inside :func:`core_operators` these are written as products, sums and comparisons that mean the
same; outside of it they are torch's, which are quicker.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

import torch
from torch import Tensor

from tasks import operators

_CORE: ContextVar[bool] = ContextVar("core", default=False)
# Boxes that are compared with each other at a time, and how often it is settled which of them
# remain. A box is settled one round after all better ones that it overlaps with: in images that
# takes fewer than ten.
_BLOCK, _ROUNDS = 128, 12


@contextmanager
def core_operators() -> Iterator[None]:
    """Within the block graphs are written for runtimes that have arithmetic only."""
    before = _CORE.set(True)
    try:
        yield
    finally:
        _CORE.reset(before)


def is_core() -> bool:
    """Whether graphs are being written so."""
    return _CORE.get()


def pick(table: Tensor, index: Tensor) -> Tensor:
    """Rows of (B, N) or (B, N, D) by index (B, K) int64: (B, K) or (B, K, D).

    In core operators B is 1.
    """
    if is_core():
        return table[0].index_select(0, index[0])[None]
    wide = index if table.dim() == 2 else index[..., None].expand(-1, -1, table.shape[2])
    return table.gather(1, wide)


def rows_at(table: Tensor, index: Tensor) -> Tensor:
    """Rows of (N, D) by index (B, K) int64: (B, K, D)."""
    return table.index_select(0, index.flatten()).view(*index.shape, table.shape[1])


def parted(index: Tensor, by: int) -> tuple[Tensor, Tensor]:
    """Quotients and remainders of whole numbers from 0 to a few millions."""
    # A half more keeps the float quotient off whole numbers, so that it cannot round wrongly.
    whole = ((index.float() + 0.5) / by).floor().long() if is_core() else index // by
    return whole, index - whole * by


def first_of(mask: Tensor, number: int) -> Tensor:
    """Indices (B, number) int64 of what is true in (B, K), in its order; then of any others."""
    count = mask.shape[1]
    # Falling numbers, exact in float32, so that nothing depends on how equal ones are sorted.
    places = torch.arange(count, 0, -1, dtype=torch.float32, device=mask.device)
    first: Tensor = (mask * places).topk(number, dim=1).indices
    return first


def suppress(boxes: Tensor, scores: Tensor, above: float, max_iou: float) -> Tensor:
    """Mask (B, K) of the boxes that survive NMS, as :func:`tasks.operators.suppress` takes them.

    In core operators the best boxes do not have to come first among those that take part.
    """
    if not is_core():
        mask: Tensor = operators.suppress(boxes, scores, above, max_iou)
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
    """(B, 1, M) 1 where none of those kept (B, 1, N), 0 or 1, overlaps, as (B, N, M) says."""
    return (1 - keep @ over).relu()


def _sides(boxes: Tensor, axis: int) -> list[Tensor]:
    """Left, top, right, bottom and area of boxes whose four numbers stand along an axis."""
    x1, y1, x2, y2 = (boxes.narrow(axis, k, 1) for k in range(4))
    return [x1, y1, x2, y2, (x2 - x1) * (y2 - y1)]


def _overlaps(one: list[Tensor], other: list[Tensor]) -> Tensor:
    """Intersection over union (B, N, M), rounded as torchvision's NMS does it."""
    x1, y1, x2, y2, area = one
    left, top, right, bottom, others = other
    width = (torch.minimum(x2, right) - torch.maximum(x1, left)).relu()
    height = (torch.minimum(y2, bottom) - torch.maximum(y1, top)).relu()
    shared = width * height
    return shared / (area + others - shared)
