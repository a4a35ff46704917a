"""What the exporter writes for operators that it does not understand by itself."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from onnxscript import ir, opset18

from tasks.operators import best_of, resize, suppress

OPSET = 18
op: Any = opset18  # Its types are those of runs, where values have kinds.
# The least score of NMS that is a number: only what is minus infinity takes no part.
_LOWEST = torch.finfo(torch.float32).min
_MODES = {"bilinear": "linear", "bicubic": "cubic"}


def _resize_onnx(images: Any, height: Any, width: Any, interpolation: str) -> Any:
    sizes = op.Concat(
        op.Shape(images, start=0, end=1),
        op.Reshape(height, op.Constant(value_ints=[1])),
        op.Reshape(width, op.Constant(value_ints=[1])),
        op.Constant(value_ints=[3]),
        axis=0,
    )
    resized = op.Resize(
        images,
        None,
        None,
        sizes,
        mode=_MODES[interpolation],
        antialias=1,
        coordinate_transformation_mode="half_pixel",
        cubic_coeff_a=-0.5,
        exclude_outside=1 if interpolation == "bicubic" else 0,
    )
    # No more than a check: OpenCV's DNN takes the last two axes for those to resize, whatever the
    # sizes say, and would go on with the wrong part of the image. So it stops here.
    return op.Reshape(resized, sizes)


def _suppress_onnx(boxes: Any, scores: Any, above: float, max_iou: float, most: int) -> Any:
    """NMS keeps a list of survivors; a mask of a known shape goes on through any graph."""
    chosen = op.NonMaxSuppression(
        boxes,
        op.Unsqueeze(scores, op.Constant(value_ints=[1])),
        op.Constant(value_int=most),
        op.Constant(value_float=max_iou),
        op.Constant(value_float=max(above, _LOWEST)),
    )
    places = op.Gather(chosen, op.Constant(value_ints=[0, 2]), axis=1)
    ones = op.Expand(op.Constant(value_int=1), op.Shape(chosen, start=0, end=1))
    zeros = op.Expand(op.Constant(value_int=0), op.Shape(scores))
    return op.Cast(op.ScatterND(zeros, places, ones), to=ir.DataType.BOOL)


def _best_onnx(values: Any, number: int, group: int) -> Any:
    """TopK of what is not less than the least of the best groups' maxima.

    At least ``number`` values are not less than it, so what is left out is worse than all that are
    wanted; the rest keeps its order, by which TopK ranks equal values. A runtime's selection takes
    longest where it is replaced most, so little is left to it.
    """
    columns, size = op.Constant(value_ints=[1]), op.Constant(value_int=group)
    groups = op.Reshape(values, op.Constant(value_ints=[0, -1, group]))
    maxima = op.ReduceMax(groups, op.Constant(value_ints=[2]), keepdims=0)
    highest, _ = op.TopK(maxima, op.Constant(value_ints=[number]), axis=1, sorted=0)
    least = op.ReduceMin(highest, columns, keepdims=1)
    chosen = _not_less(maxima, least)
    members = op.Reshape(op.Gather(groups, chosen, axis=1), op.Constant(value_ints=[0, -1]))
    places = _not_less(members, least)
    wanted = op.Constant(value_ints=[number])
    best, order = op.TopK(op.Gather(members, places, axis=1), wanted, axis=1)
    place = op.Gather(places, order)
    rank = op.Div(place, size)
    skipped = op.Sub(op.Gather(chosen, rank), rank)
    return best, op.Add(place, op.Mul(skipped, size))


def _not_less(values: Any, least: Any) -> Any:
    """Columns of (B, N) where any row is not less than its bound (B, 1), in order.

    What is not a number is never less, so there are always enough.
    """
    marks = op.Cast(op.Not(op.Less(values, least)), to=ir.DataType.FLOAT)
    # Runtimes add up rows in a product five times as fast as otherwise.
    ones = op.Expand(op.Constant(value_float=1.0), op.Shape(values, start=0, end=1))
    return op.Reshape(op.NonZero(op.MatMul(ones, marks)), op.Constant(value_ints=[-1]))


def _sort_onnx(values: Any, stable: bool, dim: int = -1, descending: bool = False) -> Any:  # noqa: ARG001
    """A stable sort: of equal values ONNX's TopK gives the first one first, whatever the order."""
    length = op.Gather(op.Shape(values), op.Constant(value_ints=[dim]))
    numbers = op.Cast(values, to=ir.DataType.FLOAT)
    ranked, order = op.TopK(numbers, length, axis=dim, largest=int(descending), sorted=1)
    return op.CastLike(ranked, values), order


def translations() -> dict[Any, Callable[..., Any]]:
    """By operator of torch, or of this suite, what the exporter writes for it."""
    return {
        torch.ops.aten.sort.stable: _sort_onnx,
        resize._opoverload: _resize_onnx,
        suppress._opoverload: _suppress_onnx,
        best_of._opoverload: _best_onnx,
    }
