"""An ONNX file of fixed shapes as nodes and constants: what depends on no input is computed."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import numpy_helper
from onnx.reference import ReferenceEvaluator

from datasets.errors import InputError
from tasks.export.read_onnx import read_onnx

Array = NDArray[Any]
Shape = tuple[int, ...]
# Of what is quantised the integers stay, which the writer takes as they are.
_KEPT = ("DequantizeLinear", "QuantizeLinear")


@dataclass
class Node:
    """One operator of ONNX.

    Attributes:
        kind: ONNX's name of it.
        name: Name of this node, for messages.
        inputs: Names of tensors; empty where an optional one is left out.
        outputs: Names of tensors.
        attributes: Attributes as Python's numbers, lists and texts.
    """

    kind: str
    name: str
    inputs: list[str]
    outputs: list[str]
    attributes: dict[str, Any]


@dataclass
class Graph:
    """A network whose shapes are numbers.

    Attributes:
        file: It was read from, for messages.
        inputs: Names, in their order.
        outputs: Names, in their order.
        nodes: Each after those that it reads.
        constants: Values by name.
        shapes: Shape of every tensor, by name.
        kinds: numpy's names of the types of the tensors.
    """

    file: Path
    inputs: list[str]
    outputs: list[str]
    nodes: list[Node]
    constants: dict[str, Array] = field(default_factory=dict)
    shapes: dict[str, Shape] = field(default_factory=dict)
    kinds: dict[str, str] = field(default_factory=dict)

    def readers(self, name: str) -> list[Node]:
        """Nodes that read a tensor."""
        return [node for node in self.nodes if name in node.inputs]

    def maker(self, name: str) -> Node | None:
        """The node that gives a tensor; None of inputs and constants."""
        return next((node for node in self.nodes if name in node.outputs), None)

    def only_reader(self, name: str) -> Node | None:
        """The node that alone reads a tensor, once; None if others do, or it is an output."""
        found = self.readers(name)
        alone = len(found) == 1 and found[0].inputs.count(name) == 1
        return found[0] if alone and name not in self.outputs else None


def read_graph(file: Path, outputs: Sequence[str] | None = None) -> Graph:
    """Read a file and compute what its inputs do not change.

    Args:
        file: File to read.
        outputs: Tensors to take for its outputs; None takes its own.

    Raises:
        InputError: If it cannot be read, leaves a length open, or has no such tensors.
    """
    model = read_onnx(file)
    graph = _empty(file, model)
    if outputs is not None:
        made = {name for node in model.graph.node for name in node.output}
        if missing := [name for name in outputs if name not in made]:
            raise InputError(f"{file}: has no tensor {' and no '.join(missing)} to end in")
        graph.outputs = [*outputs]
    for name in graph.inputs:
        _refuse_open(graph, name)
    for node in _nodes(model):
        _fold(graph, node, _opset(model))
    for node in graph.nodes:
        _simplify(graph, node)
    drop_unread(graph)
    for node in graph.nodes:
        for name in node.outputs:
            _refuse_open(graph, name)
    return graph


def _empty(file: Path, model: onnx.ModelProto) -> Graph:
    constants = {one.name: numpy_helper.to_array(one) for one in model.graph.initializer}
    inputs = [value.name for value in model.graph.input if value.name not in constants]
    graph = Graph(file, inputs, [value.name for value in model.graph.output], [])
    for value in (*model.graph.input, *model.graph.value_info, *model.graph.output):
        told = value.type.tensor_type
        if told.HasField("shape"):
            dims = told.shape.dim
            graph.shapes[value.name] = tuple(
                one.dim_value if one.HasField("dim_value") else -1 for one in dims
            )
        if told.elem_type:
            graph.kinds[value.name] = onnx.helper.tensor_dtype_to_np_dtype(told.elem_type).name
    for name, array in constants.items():
        set_constant(graph, name, array)
    return graph


def set_constant(graph: Graph, name: str, value: Array) -> None:
    """Give a tensor a value that no input changes."""
    graph.constants[name] = value
    graph.shapes[name], graph.kinds[name] = value.shape, value.dtype.name


def _opset(model: onnx.ModelProto) -> int:
    return next((one.version for one in model.opset_import if not one.domain), 1)


def _nodes(model: onnx.ModelProto) -> Iterator[Node]:
    for node in model.graph.node:
        given = {one.name: onnx.helper.get_attribute_value(one) for one in node.attribute}
        told = {k: v.decode() if isinstance(v, bytes) else v for k, v in given.items()}
        kind = f"{node.domain}.{node.op_type}" if node.domain else node.op_type
        yield Node(kind, node.name or node.output[0], [*node.input], [*node.output], told)


def _fold(graph: Graph, node: Node, opset: int) -> None:
    """Take a node up, or compute what it gives once and for all."""
    if node.kind == "Shape":
        shape = graph.shapes.get(node.inputs[0], (-1,))
        if min(shape, default=0) >= 0:
            first, last = node.attributes.get("start", 0), node.attributes.get("end")
            set_constant(graph, node.outputs[0], np.array(shape[first:last], np.int64))
            return
    known = all(name in graph.constants for name in node.inputs if name)
    if not known or node.kind in _KEPT or "." in node.kind:
        graph.nodes.append(node)
        return
    for name, value in zip(node.outputs, _compute(graph, node, opset), strict=True):
        set_constant(graph, name, np.asarray(value))


def _compute(graph: Graph, node: Node, opset: int) -> Sequence[Array]:
    proto = onnx.helper.make_node(node.kind, node.inputs, node.outputs, **node.attributes)
    feeds = {name: graph.constants[name] for name in node.inputs if name}
    value = onnx.helper.make_tensor_value_info
    alone = onnx.helper.make_graph(
        [proto],
        node.name,
        [
            value(name, onnx.helper.np_dtype_to_tensor_dtype(one.dtype), one.shape)
            for name, one in feeds.items()
        ],
        [value(name, onnx.TensorProto.UNDEFINED, None) for name in node.outputs],
    )
    model = onnx.helper.make_model(alone, opset_imports=[onnx.helper.make_opsetid("", opset)])
    try:
        found = ReferenceEvaluator(model).run(None, feeds)
    except Exception as error:  # Of whatever kind: it is not this program's arithmetic.
        raise InputError(
            f"{graph.file}: {node.kind} (node {node.name}) cannot be computed ({error})"
        ) from error
    assert isinstance(found, list)
    return found


def _simplify(graph: Graph, node: Node) -> None:
    """PyTorch's exporter writes some changes of shape as all elements, taken by number."""
    if node.kind != "Gather" or node.inputs[1] not in graph.constants:
        return
    numbers, shape = graph.constants[node.inputs[1]], graph.shapes.get(node.inputs[0], ())
    if len(shape) == 1 and np.array_equal(numbers.ravel(), np.arange(shape[0])):
        node.kind, node.inputs, node.attributes = "Reshape", node.inputs[:1], {}


def drop_unread(graph: Graph) -> None:
    """Take out what no output depends on."""
    wanted, kept = set(graph.outputs), []
    for node in reversed(graph.nodes):
        if wanted.intersection(node.outputs):
            wanted.update(name for name in node.inputs if name)
            kept.append(node)
    graph.nodes = kept[::-1]


def _refuse_open(graph: Graph, name: str) -> None:
    shape = graph.shapes.get(name)
    if shape is None or min(shape, default=0) < 0:
        told = "unknown" if shape is None else "x".join("?" if n < 0 else str(n) for n in shape)
        raise InputError(
            f"{graph.file}: the shape of {name} is not fixed ({told}): LiteRT takes networks of "
            "one image of a fixed size; export it so (--batch 1)"
        )
