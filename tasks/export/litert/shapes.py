"""Operators that move, cut and join, and compute nothing."""

from __future__ import annotations

import numpy as np

from tasks.export.litert.graph import Node, Shape
from tasks.export.litert.int8 import requantised
from tasks.export.litert.lowering import Lowering, Order, Value, as_kind, plain

_MOST = np.iinfo(np.int32).max


def rename_axes(low: Lowering, node: Node) -> None:
    """Transpose: the same tensor with its axes in another order."""
    source = low.value(node.inputs[0])
    perm = node.attributes.get("perm", [*range(len(source.shape))][::-1])
    shape = tuple(source.shape[axis] for axis in perm)
    order = tuple(perm.index(axis) for axis in source.order)
    low.values[node.outputs[0]] = Value(
        source.tensor, shape, source.kind, order, source.quantisation
    )


def reshape(low: Lowering, node: Node) -> None:
    """Reshape, Squeeze, Unsqueeze, Flatten: the same numbers in another shape."""
    source = low.bring(node.inputs[0], real=False)
    low.values[node.outputs[0]] = reshaped(low, source, low.graph.shapes[node.outputs[0]])


def reshaped(low: Lowering, source: Value, shape: Shape) -> Value:
    """A value in ONNX's order of axes, in another shape."""
    if source.shape == shape:
        return source
    made = low.make("shaped", shape, source.kind, plain(len(shape)), source.quantisation)
    low.reshape(source.tensor, made.tensor)
    return made


def same(low: Lowering, node: Node) -> None:
    """Identity."""
    low.values[node.outputs[0]] = low.value(node.inputs[0])


def expand(low: Lowering, node: Node) -> None:
    """Expand: what reads it and widens by itself takes what was there before."""
    shape = low.graph.shapes[node.outputs[0]]
    low.narrow[node.outputs[0]] = low.narrow.get(node.inputs[0], node.inputs[0])
    source = low.bring(node.inputs[0])
    if source.shape == shape:
        low.values[node.outputs[0]] = source
        return
    made = low.give(node)
    low.emit("BROADCAST_TO", [source.tensor, low.numbers(shape)], made, "BroadcastToOptions")


def join(low: Lowering, node: Node) -> None:
    """Concat, in integers where all have one scale."""
    found = [low.value(name) for name in node.inputs]
    one = {value.quantisation for value in found}
    real = len(one) > 1
    orders = {value.order for value, name in zip(found, node.inputs, strict=True)
              if low.constant(name) is None}  # fmt: skip
    order = orders.pop() if len(orders) == 1 else plain(len(found[0].shape))
    parts = [low.bring(name, order, real=real) for name in node.inputs]
    rounded = low.rounding(node.outputs[0])
    if real and rounded is not None and None not in one:
        parts = [low.moved(requantised(low, value, rounded), order) for value in found]
    made = low.give(node, order, kind=parts[0].kind, quantisation=parts[0].quantisation)
    axis = made.axis(int(node.attributes["axis"]))
    low.emit("CONCATENATION", [p.tensor for p in parts], made, "ConcatenationOptions", axis=axis)


def cut(low: Lowering, node: Node) -> None:
    """Slice: start, end and step along some axes, given by constants."""
    source = low.value(node.inputs[0])
    rank = len(source.shape)
    starts, ends = (low.known(node, k, "places").tolist() for k in (1, 2))
    axes = low.known(node, 3, "axes").tolist() if len(node.inputs) > 3 else [*range(len(starts))]
    steps = low.known(node, 4, "steps").tolist() if len(node.inputs) > 4 else [1] * len(starts)
    ranges = [slice(None)] * rank
    for axis, start, end, step in zip(axes, starts, ends, steps, strict=True):
        ranges[axis % rank] = slice(start, end, step)
    low.values[node.outputs[0]] = sliced(low, source, ranges)


def sliced(low: Lowering, source: Value, ranges: list[slice]) -> Value:
    """A part of a value, by ranges of ONNX's axes."""
    exact = [part.indices(side) for part, side in zip(ranges, source.shape, strict=True)]
    shape = tuple(len(range(*part)) for part in exact)
    made = low.make("part", shape, source.kind, source.order, source.quantisation)
    placed = [exact[axis] for axis in source.order]
    # An end before the first place counts from the end: it is told by the mask instead.
    mask = sum(1 << place for place, part in enumerate(placed) if part[1] < 0)
    columns = [low.numbers([part[k] for part in placed]) for k in range(3)]
    low.emit(
        "STRIDED_SLICE",
        [source.tensor, *columns],
        made,
        "StridedSliceOptions",
        beginMask=0,
        endMask=mask,
    )
    return made


def split(low: Lowering, node: Node) -> None:
    """Split along an axis, as so many slices."""
    source = low.value(node.inputs[0])
    axis = int(node.attributes.get("axis", 0)) % len(source.shape)
    start = 0
    for name in node.outputs:
        side = low.graph.shapes[name][axis]
        ranges = [slice(None)] * len(source.shape)
        ranges[axis] = slice(start, start + side)
        low.values[name] = sliced(low, source, ranges)
        start += side


def gather(low: Lowering, node: Node) -> None:
    """Gather: rows of an axis by number."""
    source = low.bring(node.inputs[0], real=False)
    axis = int(node.attributes.get("axis", 0)) % len(source.shape)
    known = low.constant(node.inputs[1])
    # Constants that count from the end mean so in ONNX alone.
    where = None if known is None else low.numbers(as_kind(known % source.shape[axis]))
    if where is None:
        where = low.bring(node.inputs[1]).tensor
    made = low.give(node, kind=source.kind, quantisation=source.quantisation)
    low.emit("GATHER", [source.tensor, where], made, "GatherOptions", axis=axis)


def chosen(low: Lowering, node: Node) -> None:
    """Where: one of two by a mask."""
    order: Order = plain(len(low.graph.shapes[node.outputs[0]]))
    found = [low.bring(name) for name in node.inputs]
    made = low.give(node, order)
    low.emit("SELECT_V2", [one.tensor for one in found], made, "SelectV2Options")
