"""The operators of MIL, Core ML's language, that this suite's networks are made of.

Each takes its inputs by MIL's names for them and gives one array, or a tuple of several. What an
operator does, and what an input left out means, is described in coremltools' reference of MIL.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tasks.runtime.mil.convolution import conv

Array = NDArray[Any]
Operator = Callable[..., Any]
_DTYPES = {"fp16": np.float16, "fp32": np.float32, "int32": np.int32, "bool": np.bool_}


def _softmax(x: Array, axis: int = -1) -> Array:
    raised = np.exp(x - x.max(axis=int(axis), keepdims=True))
    shares: Array = raised / raised.sum(axis=int(axis), keepdims=True)
    return shares


def _sigmoid(x: Array) -> Array:
    with np.errstate(over="ignore"):  # Of a large negative number the share is 0.
        found: Array = (1 / (1 + np.exp(-x))).astype(x.dtype)
    return found


def _linear(x: Array, weight: Array, bias: Array | None = None) -> Array:
    found: Array = x @ weight.T
    return found if bias is None else found + bias


def _matmul(x: Array, y: Array, transpose_x: bool = False, transpose_y: bool = False) -> Array:
    one = x.swapaxes(-1, -2) if transpose_x else x
    other = y.swapaxes(-1, -2) if transpose_y else y
    found: Array = one @ other
    return found


def _pad(x: Array, pad: Array, mode: str = "constant", constant_val: float = 0.0) -> Array:
    widths = [(0, 0)] * (x.ndim - len(pad) // 2) + [tuple(pair) for pair in pad.reshape(-1, 2)]
    if mode == "constant":
        return np.pad(x, widths, constant_values=constant_val)
    return np.pad(x, widths, mode={"reflect": "reflect", "replicate": "edge"}[mode])  # type: ignore[call-overload, no-any-return]


def _reshape(x: Array, shape: Array) -> Array:
    return x.reshape([x.shape[k] if side == 0 else int(side) for k, side in enumerate(shape)])


def _reduce(how: Callable[..., Any]) -> Operator:
    def reduced(x: Array, axes: Array | None = None, keep_dims: bool = False) -> Array:
        found = how(x, axis=None if axes is None else tuple(axes), keepdims=bool(keep_dims))
        return np.asarray(found, x.dtype)

    return reduced


def _l2_norm(x: Array, axis: Any, keepdims: bool) -> Array:
    return np.sqrt(np.square(x).sum(axis=axis, keepdims=keepdims))  # type: ignore[no-any-return]


def _gather(x: Array, indices: Array, axis: int = 0, **_validate: Any) -> Array:
    return np.take(x, indices, axis=int(axis))


def _gather_along_axis(x: Array, indices: Array, axis: int = 0, **_validate: Any) -> Array:
    return np.take_along_axis(x, indices, axis=int(axis))


def _split(
    x: Array, axis: int, num_splits: int | None = None, split_sizes: Array | None = None
) -> tuple[Array, ...]:
    places = int(num_splits or 0) if split_sizes is None else np.cumsum(split_sizes)[:-1]
    return tuple(np.split(x, places, axis=int(axis)))


def _topk(
    x: Array, k: int, axis: int = -1, ascending: bool = False, **_order: Any
) -> tuple[Array, Array]:
    """Among equal ones the first; Core ML does not state which it takes."""
    order = np.argsort(x if ascending else -x, axis=int(axis), kind="stable")
    first = np.take(order, range(int(k)), axis=int(axis))
    return np.take_along_axis(x, first, axis=int(axis)), first.astype(np.int32)


def _slice_by_index(
    x: Array,
    begin: Array,
    end: Array,
    stride: Array | None = None,
    begin_mask: Array | None = None,
    end_mask: Array | None = None,
    squeeze_mask: Array | None = None,
) -> Array:
    cuts: list[Any] = []
    for k in range(len(begin)):
        if squeeze_mask is not None and squeeze_mask[k]:
            cuts.append(int(begin[k]))
            continue
        first = None if begin_mask is not None and begin_mask[k] else int(begin[k])
        last = None if end_mask is not None and end_mask[k] else int(end[k])
        cuts.append(slice(first, last, None if stride is None else int(stride[k])))
    found: Array = x[tuple(cuts)]
    return found


def _squeeze(x: Array, axes: Sequence[int] | None = None) -> Array:
    return np.squeeze(x, axis=None if axes is None else tuple(axes))


def _max_pool(
    x: Array,
    kernel_sizes: Array,
    strides: Array,
    pad_type: str,
    pad: Array,
    ceil_mode: bool = False,
) -> Array:
    if ceil_mode:
        raise NotImplementedError("max_pool with ceil_mode")
    sides = {"valid": np.zeros(4, int), "custom": np.asarray(pad)}[pad_type]
    frame = np.concatenate((np.zeros(4, int), sides)).astype(int)
    framed = _pad(x, frame, constant_val=-np.inf)
    windows = np.lib.stride_tricks.sliding_window_view(framed, tuple(kernel_sizes), axis=(2, 3))
    found: Array = windows[:, :, :: strides[0], :: strides[1]].max(axis=(4, 5))
    return found


OPERATORS: dict[str, Operator] = {
    "add": lambda x, y: x + y,
    "cast": lambda x, dtype: x.astype(_DTYPES[dtype]),
    "clip": lambda x, alpha, beta: np.clip(x, alpha, beta),
    "concat": lambda values, axis, **_: np.concatenate(values, axis=int(axis)),
    "conv": conv,
    "exp": lambda x: np.exp(x),
    "expand_dims": lambda x, axes: np.expand_dims(x, tuple(axes)),
    "fill": lambda shape, value=0.0: np.full(shape, value),
    "floor": lambda x: np.floor(x),
    "floor_div": lambda x, y: x // y,
    "gather": _gather,
    "gather_along_axis": _gather_along_axis,
    "greater": lambda x, y: x > y,
    "greater_equal": lambda x, y: x >= y,
    "identity": lambda x: x,
    "less": lambda x, y: x < y,
    "less_equal": lambda x, y: x <= y,
    "linear": _linear,
    "log": lambda x, epsilon=1e-45: np.log(x + x.dtype.type(epsilon)),
    "logical_and": lambda x, y: x & y,
    "logical_not": lambda x: ~x,
    "logical_or": lambda x, y: x | y,
    "matmul": _matmul,
    "max_pool": _max_pool,
    "maximum": lambda x, y: np.maximum(x, y),
    "minimum": lambda x, y: np.minimum(x, y),
    "mod": lambda x, y: np.mod(x, y),
    "mul": lambda x, y: x * y,
    "pad": _pad,
    "real_div": lambda x, y: x / y,
    "reduce_l2_norm": _reduce(_l2_norm),
    "reduce_max": _reduce(np.max),
    "reduce_mean": _reduce(np.mean),
    "reduce_min": _reduce(np.min),
    "reduce_sum": _reduce(np.sum),
    "relu": lambda x: np.maximum(x, 0),
    "relu6": lambda x: np.clip(x, 0, 6),
    "reshape": _reshape,
    "reverse": lambda x, axes=None: np.flip(x, None if axes is None else tuple(axes)),
    "select": lambda cond, a, b: np.where(cond, a, b),
    "sigmoid": _sigmoid,
    "slice_by_index": _slice_by_index,
    "softmax": _softmax,
    "split": _split,
    "sqrt": lambda x: np.sqrt(x),
    "square": lambda x: np.square(x),
    "squeeze": _squeeze,
    "stack": lambda values, axis: np.stack(values, axis=int(axis)),
    "sub": lambda x, y: x - y,
    "tile": lambda x, reps: np.tile(x, tuple(reps)),
    "topk": _topk,
    "transpose": lambda x, perm: np.transpose(x, tuple(perm)),
}
"""By their names."""
