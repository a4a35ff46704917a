"""A graph on its way to LiteRT: which of its tensors stands for which of ONNX's, in what order.

ONNX keeps channels before rows and columns, LiteRT after them. Nothing is moved for that: each
value knows the order of its axes, so a transposition only renames them. An operator asks for the
order that it computes in, and only where that is another one, something is moved.

Quantised tensors stay integers as far as the operators go that can compute with them; one that
cannot asks for numbers.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from datasets.errors import InputError
from tasks.export.litert.flatbuffer import Array, FlatBuffer, Options, Quantisation
from tasks.export.litert.graph import Graph, Node, Shape

Order = tuple[int, ...]
NHWC: Order = (0, 2, 3, 1)
# LiteRT counts in 32 bits; no shape or index of a network needs more.
KINDS = {"int64": "int32", "float64": "float32", "float16": "float32"}
# What only names the same numbers otherwise.
_RENAMING = ("Reshape", "Transpose", "Squeeze", "Unsqueeze", "Flatten", "Identity")


@dataclass(frozen=True)
class Value:
    """A tensor of ONNX in LiteRT's graph.

    Attributes:
        tensor: Its number there.
        shape: Shape as in ONNX.
        kind: numpy's name of its type there.
        order: Axis of ONNX that each of its axes there is.
        quantisation: Quantisation of integers that stand for real numbers.
    """

    tensor: int
    shape: Shape
    kind: str
    order: Order
    quantisation: Quantisation | None = None

    def axis(self, onnx_axis: int) -> int:
        """Where an axis of ONNX, which may count from the end, is found."""
        return self.order.index(onnx_axis % len(self.shape))

    @property
    def stored(self) -> Shape:
        """Its shape in LiteRT's graph."""
        return tuple(self.shape[axis] for axis in self.order)


@dataclass(frozen=True)
class Integers:
    """A constant that was quantised.

    Attributes:
        values: Values in their own type.
        quantisation: Quantisation, with its axis as ONNX counts.
    """

    values: Array
    quantisation: Quantisation

    @property
    def real(self) -> Array:
        """What they stand for, float32."""
        shape = [1] * self.values.ndim
        if len(self.quantisation.scale) > 1:
            shape[self.quantisation.axis] = -1
        scale = np.array(self.quantisation.scale, np.float32).reshape(shape)
        zero = np.array(self.quantisation.zero, np.int32).reshape(shape)
        return ((self.values.astype(np.int32) - zero) * scale).astype(np.float32)


def plain(rank: int) -> Order:
    """ONNX's own order of axes."""
    return tuple(range(rank))


@dataclass
class Lowering:
    """A graph and what has been written of it.

    Attributes:
        graph: ONNX's.
        buffer: LiteRT's.
        values: Existing values, by ONNX's name.
        integers: Constants that were quantised, by ONNX's name.
        narrow: For values that were widened to a shape, the name of the original, by ONNX's name.
        micro: Only what microcontrollers know is to be written.
    """

    graph: Graph
    buffer: FlatBuffer
    values: dict[str, Value] = field(default_factory=dict)
    integers: dict[str, Integers] = field(default_factory=dict)
    narrow: dict[str, str] = field(default_factory=dict)
    micro: bool = False
    _moved: dict[tuple[int, Order], Value] = field(default_factory=dict)
    _real: dict[int, Value] = field(default_factory=dict)
    _shaped: dict[int, int] = field(default_factory=dict)

    def refuse(self, node: Node, reason: str) -> InputError:
        """The error of a node that cannot be written."""
        return InputError(
            f"{self.graph.file}: cannot be written for LiteRT: {node.kind} (node {node.name}) "
            f"{reason}"
        )

    def value(self, name: str) -> Value:
        """What stands for a tensor, as it is."""
        if name not in self.values:
            constant = self.constant(name)
            assert constant is not None, f"{name} is used before it is made"
            shown = as_kind(constant)
            tensor = self.buffer.tensor(name, shown.shape, shown.dtype.name, data=shown)
            order = plain(shown.ndim)
            self.values[name] = Value(tensor, shown.shape, shown.dtype.name, order)
        return self.values[name]

    def constant(self, name: str) -> Array | None:
        """The numbers of a tensor that no input changes; None of others."""
        if name in self.integers:
            return self.integers[name].real
        return self.graph.constants.get(name)

    def known(self, node: Node, place: int, what: str) -> Array:
        """A constant that a node reads. Raises InputError if it is computed."""
        found = self.constant(node.inputs[place])
        if found is None:
            raise self.refuse(node, f"has {what} that are computed, not constant")
        return found

    def bring(self, name: str, order: Order | None = None, *, real: bool = True) -> Value:
        """A tensor in an order of its axes (ONNX's own by default).

        With ``real``, integers that stand for real numbers become these.
        """
        constant = self.constant(name)
        if constant is not None and name not in self.values and order not in (None, ()):
            assert order is not None
            return self._ordered_constant(name, constant, order)
        found = self.value(name)
        if real:
            found = self.real(found)
        return self.moved(found, plain(len(found.shape)) if order is None else order)

    def real(self, value: Value) -> Value:
        """The real numbers that integers stand for."""
        if value.quantisation is None:
            return value
        if value.tensor not in self._real:
            made = self.make("real", value.shape, "float32", value.order)
            self.buffer.operator(
                "DEQUANTIZE", [value.tensor], [made.tensor], Options("DequantizeOptions", {})
            )
            self._real[value.tensor] = made
        return self._real[value.tensor]

    def moved(self, value: Value, order: Order) -> Value:
        """The same value with its axes in another order."""
        if value.order == order:
            return value
        key = (value.tensor, order)
        if key not in self._moved:
            made = replace(value, order=order)
            made = replace(made, tensor=self._tensor("moved", made))
            wide = [axis for axis in value.order if value.shape[axis] != 1]
            if wide == [axis for axis in order if value.shape[axis] != 1]:
                self.reshape(value.tensor, made.tensor)
            else:
                perm = self.numbers([value.order.index(axis) for axis in order])
                self.emit("TRANSPOSE", [value.tensor, perm], made, "TransposeOptions")
            self._moved[key] = made
        return self._moved[key]

    def reshape(self, tensor: int, into: int) -> None:
        """Write the same numbers in another shape; of several in a row the last one remains."""
        shape = self.buffer.shape(into)
        source = self._shaped[into] = self._shaped.get(tensor, tensor)
        self.buffer.operator(
            "RESHAPE",
            [source, self.numbers(shape)],
            [into],
            Options("ReshapeOptions", {"newShape": [*shape]}),
        )

    def numbers(self, values: Sequence[int] | Array) -> int:
        """Add a constant of integers that configures an operator; returns its number."""
        array = np.asarray(values, np.int32)
        return self.buffer.tensor("numbers", array.shape, "int32", data=array)

    def make(
        self,
        name: str,
        shape: Shape,
        kind: str,
        order: Order,
        quantisation: Quantisation | None = None,
    ) -> Value:
        """A new value, its tensor not yet computed."""
        value = Value(-1, shape, kind, order, quantisation)
        return replace(value, tensor=self._tensor(name, value))

    def give(
        self,
        node: Node,
        order: Order | None = None,
        *,
        kind: str | None = None,
        quantisation: Quantisation | None = None,
        place: int = 0,
    ) -> Value:
        """A new value for an output of a node, its tensor not yet computed."""
        name = node.outputs[place]
        shape, given = self.graph.shapes[name], self.graph.kinds[name]
        chosen = "int8" if quantisation is not None else kind or KINDS.get(given, given)
        made = self.make(name, shape, chosen, order or plain(len(shape)), quantisation)
        self.values[name] = made
        return made

    def emit(
        self,
        kind: str,
        inputs: Sequence[int],
        output: Value,
        table: str | None = None,
        /,
        **options: object,
    ) -> None:
        """Write an operator of one output; options are fields of that table of the schema."""
        told = None if table is None else Options(table, options)
        self.buffer.operator(kind, inputs, [output.tensor], told)

    def rounding(self, name: str) -> Quantisation | None:
        """How all that reads a tensor has it rounded; None if somebody reads it unrounded."""
        found: set[Quantisation | None] = set()
        for node in self.graph.readers(name):
            if node.kind == "QuantizeLinear" and node.inputs[0] == name:
                found.add(told_quantisation(self.graph, node))
            elif node.kind in _RENAMING and node.inputs[0] == name:
                found.add(self.rounding(node.outputs[0]))
            else:
                found.add(None)
        return found.pop() if len(found) == 1 and name not in self.graph.outputs else None

    def _tensor(self, name: str, value: Value) -> int:
        return self.buffer.tensor(name, value.stored, value.kind, value.quantisation)

    def _ordered_constant(self, name: str, constant: Array, order: Order) -> Value:
        """Constants are written in whatever order is wanted, small ones with axes of 1 before."""
        shown = as_kind(constant)
        wide = shown.reshape((1,) * (len(order) - shown.ndim) + shown.shape)
        stored = wide.transpose(order)
        tensor = self.buffer.tensor(name, stored.shape, stored.dtype.name, data=stored)
        return Value(tensor, wide.shape, stored.dtype.name, order)


def as_kind(array: Array) -> Array:
    """An array in a type that LiteRT computes with."""
    if array.dtype == np.int64:
        limits = np.iinfo(np.int32)
        return np.clip(array, limits.min, limits.max).astype(np.int32)
    return array.astype(KINDS.get(array.dtype.name, array.dtype.name))


def told_quantisation(graph: Graph, node: Node) -> Quantisation:
    """Scale and zero point of a QuantizeLinear or DequantizeLinear; bytes count from -128."""
    scale = graph.constants[node.inputs[1]].astype(np.float32)
    zero = np.zeros(scale.shape, np.int64)
    if len(node.inputs) > 2 and node.inputs[2]:
        given = graph.constants[node.inputs[2]]
        zero = given.astype(np.int64) - (128 if given.dtype == np.uint8 else 0)
    return Quantisation(
        tuple(map(float, scale.ravel())),
        tuple(map(int, zero.ravel())),
        int(node.attributes.get("axis", 1)) if scale.size > 1 else 0,
    )
