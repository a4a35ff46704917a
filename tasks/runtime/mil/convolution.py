"""MIL's convolution in two dimensions."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]
_ONE = np.ones(2, int)


def conv(
    x: Array,
    weight: Array,
    bias: Array | None = None,
    strides: Array = _ONE,
    pad_type: str = "valid",
    pad: Array | None = None,
    dilations: Array = _ONE,
    groups: int = 1,
) -> Array:
    """Maps (N, C, H, W) convolved with weights (D, C / groups, height, width).

    Padding is ``valid`` (none), ``custom`` (top, bottom, left, right) or ``same``.

    Raises:
        NotImplementedError: If it is padded in another way.
    """
    spans = [(side - 1) * dilations[k] + 1 for k, side in enumerate(weight.shape[2:])]
    frame = _frame(x.shape[2:], spans, strides, pad_type, pad)
    framed = np.pad(x, ((0, 0), (0, 0), *frame)) if np.any(frame) else x
    rows, columns = ((framed.shape[k + 2] - spans[k]) // strides[k] + 1 for k in range(2))
    out = np.zeros((len(x), weight.shape[0], rows, columns), x.dtype)
    # One place of the kernel at a time: a product of matrices, or of numbers if each map has a
    # kernel of its own.
    for row, column in np.ndindex(*weight.shape[2:]):
        top, left = row * dilations[0], column * dilations[1]
        seen = framed[
            :,
            :,
            top : top + (rows - 1) * strides[0] + 1 : strides[0],
            left : left + (columns - 1) * strides[1] + 1 : strides[1],
        ]
        _add(out, seen, weight[:, :, row, column], int(groups))
    return out if bias is None else out + bias[:, None, None]


def _add(out: Array, seen: Array, weight: Array, groups: int) -> None:
    """Add what one place of the kernel, weights (D, C / groups), gives."""
    if weight.shape == (groups, 1):
        out += seen * weight[:, :, None]
        return
    outputs, inputs = len(weight) // groups, seen.shape[1] // groups
    for group in range(groups):
        mine = slice(group * outputs, (group + 1) * outputs)
        maps = seen[:, group * inputs : (group + 1) * inputs]
        flat = weight[mine] @ maps.reshape(*maps.shape[:2], -1)
        out[:, mine] += flat.reshape(len(out), outputs, *out.shape[2:])


def _frame(
    sides: tuple[int, ...], spans: list[Any], strides: Array, pad_type: str, pad: Array | None
) -> list[tuple[int, int]]:
    """Rows above and below, columns to the left and right."""
    if pad_type == "valid":
        return [(0, 0), (0, 0)]
    if pad_type == "custom" and pad is not None:
        top, bottom, left, right = (int(width) for width in pad)
        return [(top, bottom), (left, right)]
    if pad_type == "same":
        needed = [
            max((-(-side // strides[k]) - 1) * strides[k] + spans[k] - side, 0)
            for k, side in enumerate(sides)
        ]
        return [(int(one) // 2, int(one) - int(one) // 2) for one in needed]
    raise NotImplementedError(f"a convolution padded as {pad_type!r}")
