"""Operators that compute number by number, over axes, or by rank."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from tasks.export.litert.flatbuffer import import_schema
from tasks.export.litert.graph import Node
from tasks.export.litert.lowering import Lowering, Order, Value, plain

Lower = Callable[[Lowering, Node], None]
_LARGEST = float(np.finfo(np.float32).max)


def _together(low: Lowering, node: Node) -> tuple[list[Value], Order]:
    """What a node reads, in one order of axes, so that shorter shapes widen as ONNX has it."""
    shape = low.graph.shapes[node.outputs[0]]
    names = [_narrow(low, node, name, shape) for name in node.inputs]
    computed = [low.value(name) for name in names if low.constant(name) is None]
    full = [one for one in computed if len(one.shape) == len(shape)]
    order = plain(len(shape))
    if full and all(len(one.shape) in (0, len(shape)) for one in computed):
        order = max(full, key=lambda one: int(np.prod(one.shape))).order
    found = []
    for name in names:
        constant = low.constant(name)
        rank = len(low.value(name).shape) if constant is None else constant.ndim
        # Shorter ones are lengthened by the runtime, at the front, as ONNX has it; and constants
        # here, for other orders.
        widened = rank == len(order) or (constant is not None and rank)
        found.append(low.bring(name, order if widened else None))
    return found, order


def _narrow(low: Lowering, node: Node, name: str, shape: tuple[int, ...]) -> str:
    """What a widened tensor was before, where this operator widens it as well."""
    before = low.narrow.get(name)
    if before is None:
        return name
    others = [low.graph.shapes[one] for one in node.inputs if one != name]
    small = low.graph.shapes[before]
    return before if np.broadcast_shapes(small, *others) == shape else name


def elementwise(kind: str, table: str | None = None, *, fuses: bool = False) -> Lower:
    """What writes an operator that computes number by number.

    Args:
        kind: LiteRT's name of it.
        table: Table of its options, if it has any.
        fuses: Whether these name an activation.
    """

    def lower(low: Lowering, node: Node) -> None:
        found, order = _together(low, node)
        made = low.give(node, order)
        options = {}
        if fuses:
            options["fusedActivationFunction"] = import_schema().ActivationFunctionType.NONE
        low.emit(kind, [one.tensor for one in found], made, table, **options)

    return lower


def several(kind: str, table: str) -> Lower:
    """What writes an operator of any number of inputs as one of two, again and again."""

    def lower(low: Lowering, node: Node) -> None:
        found, order = _together(low, node)
        made = found[0]
        for place, other in enumerate(found[1:], start=2):
            before = made
            if place == len(found):
                made = low.give(node, order)
            else:
                shape = tuple(np.broadcast_shapes(before.shape, other.shape))
                made = low.make("part", shape, before.kind, order)
            low.emit(kind, [before.tensor, other.tensor], made, table)
        low.values[node.outputs[0]] = made

    return lower


def modulo(low: Lowering, node: Node) -> None:
    """Mod: the remainder has the divisor's sign, as Python's."""
    if node.attributes.get("fmod", 0):
        raise low.refuse(node, "has the dividend's sign (fmod)")
    elementwise("FLOOR_MOD", "FloorModOptions")(low, node)


def clip(low: Lowering, node: Node) -> None:
    """Clip: between two constants."""
    limits = [float(low.known(node, k, "limits")) if name else None
              for k, name in enumerate(node.inputs[1:], start=1)]  # fmt: skip
    least, most = (*limits, None, None)[:2]
    source = low.real(low.value(node.inputs[0]))
    if source.kind == "float32" and (least, most) == (0.0, 6.0):
        low.emit("RELU6", [source.tensor], low.give(node, source.order))
        return
    bounds = [("MAXIMUM", least)] if least is not None and least > -_LARGEST else []
    bounds += [("MINIMUM", most)] if most is not None and most < _LARGEST else []
    made = source
    for kind, bound in bounds:
        before, made = made, low.give(node, source.order)
        limit = low.buffer.tensor("limit", (), made.kind, data=np.array(bound, made.kind))
        low.emit(kind, [before.tensor, limit], made, "MaximumMinimumOptions")
    low.values[node.outputs[0]] = made


def leaky(low: Lowering, node: Node) -> None:
    """LeakyRelu, in integers where its answer is rounded."""
    source, rounded = low.value(node.inputs[0]), low.rounding(node.outputs[0])
    if source.quantisation is None or rounded is None:
        source, rounded = low.real(source), None
    made = low.give(node, source.order, quantisation=rounded)
    alpha = float(node.attributes.get("alpha", 0.01))
    low.emit("LEAKY_RELU", [source.tensor], made, "LeakyReluOptions", alpha=alpha)


def along(kind: str, table: str | None = None, **options: float) -> Lower:
    """What writes an operator along one axis, which is LiteRT's last one."""

    def lower(low: Lowering, node: Node) -> None:
        rank = len(low.graph.shapes[node.inputs[0]])
        axis = int(node.attributes.get("axis", -1)) % rank
        order = (*(one for one in range(rank) if one != axis), axis)
        source = low.bring(node.inputs[0], order)
        low.emit(kind, [source.tensor], low.give(node, order), table, **options)

    return lower


def reduced_axes(low: Lowering, node: Node) -> tuple[list[int], bool]:
    """Axes that a node reduces, as ONNX counts them from the front; whether they stay with 1."""
    rank = len(low.graph.shapes[node.inputs[0]])
    told = node.attributes.get("axes")
    if len(node.inputs) > 1 and node.inputs[1]:
        told = low.known(node, 1, "axes").tolist()
    axes = sorted(int(axis) % rank for axis in told) if told else list(range(rank))
    return axes, bool(node.attributes.get("keepdims", 1))


def reduction(kind: str) -> Lower:
    """What writes an operator over some axes; a mean of integers stays one of integers."""

    def lower(low: Lowering, node: Node) -> None:
        axes, keep = reduced_axes(low, node)
        source, rounded = low.value(node.inputs[0]), low.rounding(node.outputs[0])
        if kind != "MEAN" or source.quantisation is None or rounded is None:
            source, rounded = low.real(source), None
        order = source.order if keep else _left(source.order, axes)
        made = low.give(node, order, quantisation=rounded)
        write_reduction(low, kind, source, axes, made, keep=keep)

    return lower


def _left(order: Order, axes: list[int]) -> Order:
    kept = [axis for axis in range(len(order)) if axis not in axes]
    return tuple(kept.index(axis) for axis in order if axis not in axes)


def write_reduction(
    low: Lowering, kind: str, source: Value, axes: list[int], made: Value, *, keep: bool
) -> None:
    """Write an operator over axes, as ONNX counts them."""
    places = low.numbers(sorted(source.axis(axis) for axis in axes))
    low.emit(kind, [source.tensor, places], made, "ReducerOptions", keepDims=keep)


def norm(low: Lowering, node: Node) -> None:
    """ReduceL2: the root of the sum of squares."""
    axes, keep = reduced_axes(low, node)
    source = low.real(low.value(node.inputs[0]))
    squares = low.make("squares", source.shape, source.kind, source.order)
    none = import_schema().ActivationFunctionType.NONE
    low.emit("MUL", [source.tensor] * 2, squares, "MulOptions", fusedActivationFunction=none)
    made = low.give(node, source.order if keep else _left(source.order, axes))
    total = low.make("sum", made.shape, made.kind, made.order)
    write_reduction(low, "SUM", squares, axes, total, keep=keep)
    low.emit("SQRT", [total.tensor], made)


def whole_mean(low: Lowering, node: Node) -> None:
    """GlobalAveragePool."""
    rank = len(low.graph.shapes[node.inputs[0]])
    node.attributes = {"axes": list(range(2, rank)), "keepdims": 1}
    reduction("MEAN")(low, node)


def best(low: Lowering, node: Node) -> None:
    """TopK of the last axis, largest first."""
    told, shape = node.attributes, low.graph.shapes[node.inputs[0]]
    if int(told.get("axis", -1)) % len(shape) != len(shape) - 1 or not told.get("largest", 1):
        raise low.refuse(node, "is not for the largest along the last axis")
    source = low.bring(node.inputs[0])
    number = low.numbers(np.array(int(low.known(node, 1, "number").item())))
    values, places = (low.give(node, place=k) for k in range(2))
    low.buffer.operator("TOPK_V2", [source.tensor, number], [values.tensor, places.tensor])


def cast(low: Lowering, node: Node) -> None:
    """Cast, unless LiteRT has both types as one."""
    source = low.real(low.value(node.inputs[0]))
    made = low.give(node, source.order)
    if made.kind == source.kind:
        low.values[node.outputs[0]] = source
        return
    low.emit("CAST", [source.tensor], made)
