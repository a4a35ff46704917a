"""What the exporter writes for operators that it does not understand by itself."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from onnxscript import ir, opset18

from tasks.operators import resize, suppress

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
    }
