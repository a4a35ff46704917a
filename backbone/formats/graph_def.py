"""TensorFlow's graphs with their constants (a frozen .pb), read without TensorFlow.

A GraphDef is one protocol-buffers message; TF.js writes the same nodes as JSON.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from backbone.formats.graph import Step, gather, read_row
from backbone.formats.network import Network
from backbone.formats.wire import as_bytes, as_int, as_text, read_fields, read_varint
from datasets.errors import InputError
from datasets.lfs import refuse_pointer

# Numbers that a few bytes of a file may stand for, all of them together; a MobileNet v1 has four
# million of all kinds.
_MOST = 2**26
# A SavedModel begins with the version of its schema, a graph with a node.
_SAVED_MODEL = b"\x08\x01"
_DTYPES: dict[int, Any] = {1: "<f4", 2: "<f8", 3: "<i4", 4: "u1", 9: "<i8", 12: "u1", 19: "<f2"}
# Fields of a TensorProto that hold values one by one, and how the fixed ones are packed.
_VALUES = {5: "<f4", 6: "<f8", 7: "", 10: ""}
_UINT8 = 4
_IDLE = {
    "AvgPool",
    "Cast",
    "ExpandDims",
    "Identity",
    "Mean",
    "PlaceholderWithDefault",
    "Reshape",
    "Sigmoid",
    "Softmax",
    "Squeeze",
    "StopGradient",
}
_ARITHMETIC = {
    "Add": np.add,
    "AddV2": np.add,
    "Mul": np.multiply,
    "RealDiv": np.divide,
    "Sub": np.subtract,
}
_ACTIVATIONS = {"Relu": "relu", "Relu6": "relu6"}
_CONVS = {"Conv2D", "_FusedConv2D", "DepthwiseConv2dNative", "FusedDepthwiseConv2dNative"}


class _Budget:
    """How many numbers a file may still make of few bytes."""

    def __init__(self) -> None:
        self._left = _MOST

    def take(self, count: int) -> None:
        """Raises ValueError if they are too many."""
        self._left -= count
        if self._left < 0:
            raise ValueError(f"constants of more than {_MOST} values")


@dataclass(frozen=True)
class Node:
    """A node of a graph.

    Attributes:
        name: Of the node and of its first output.
        op: Kind of operation.
        inputs: Names of the nodes that it reads; those that only run before it are left out.
        attrs: Its attributes: numbers, texts, lists of them, shapes, or an array (``value``).
    """

    name: str
    op: str
    inputs: tuple[str, ...]
    attrs: Mapping[str, Any]


def read_graph_def(path: Path) -> Network:
    """Read a frozen graph.

    Raises:
        InputError: If it is damaged, holds no constants, or is no MobileNet v1.
    """
    nodes = _read(path)
    return read_nodes(path, "TensorFlow graph", nodes, _constants(nodes))


def read_constants(path: Path) -> dict[str, NDArray[Any]]:
    """The constants of a frozen graph by name. Raises InputError if it is damaged."""
    return _constants(_read(path))


def _constants(nodes: Iterable[Node]) -> dict[str, NDArray[Any]]:
    every = {node.name: node.attrs.get("value") for node in nodes if node.op == "Const"}
    return {name: value for name, value in every.items() if value is not None}


def _read(path: Path) -> list[Node]:
    data = path.read_bytes()
    refuse_pointer(path, data)
    if data.startswith(_SAVED_MODEL):
        raise InputError(
            f"{path}: is TensorFlow's SavedModel, whose weights lie in files beside it: freeze it "
            "into one graph, or convert it to .tflite or .onnx"
        )
    try:
        return list(parse_graph(memoryview(data)))
    except (IndexError, KeyError, OverflowError, TypeError, ValueError, struct.error) as error:
        raise InputError(f"{path}: damaged TensorFlow graph ({error})") from error


def read_nodes(
    path: Path, kind: str, nodes: Iterable[Node], constants: Mapping[str, NDArray[Any]]
) -> Network:
    """The classifier or body that a graph is.

    Args:
        path: Of the file.
        kind: Of the source, in words.
        nodes: In any order in which none reads a later one's output.
        constants: Arrays by node.

    Raises:
        InputError: If it is no MobileNet v1.
    """
    listed, arrays = list(nodes), dict(constants)
    entries = [node for node in listed if node.op == "Placeholder"]
    # Others tell whether it trains, say.
    photos = (node for node in entries if len(node.attrs.get("shape") or ()) == 4)
    entry = next(photos, entries[0] if entries else None)
    if entry is None:
        raise InputError(f"{path}: no input (a Placeholder) in this graph of {len(listed)} nodes")
    try:
        row = gather(_steps(listed, arrays), entry.name)
        sides = [side if side > 0 else None for side in entry.attrs.get("shape") or [0] * 4]
        if len(sides) != 4:
            raise ValueError(f"an input of shape {sides}")
        shape = (sides[1], sides[2], sides[3] or 3)
        bytes_in = entry.attrs.get("dtype") == _UINT8
        return read_row(path, kind, row, shape, bytes_in=bytes_in)
    except InputError:
        raise
    except (AttributeError, IndexError, KeyError, OverflowError, TypeError, ValueError) as error:
        raise InputError(f"{path}: damaged {kind} ({error})") from error


def _steps(nodes: list[Node], arrays: dict[str, Any]) -> Iterator[Step]:
    """What each node does; those that compute with constants alone become constants."""
    budget = _Budget()
    for node in nodes:  # graph_transforms writes them behind the layers that read them.
        given = [arrays.get(name) for name in node.inputs]
        if node.op == "Dequantize" and given and all(value is not None for value in given):
            budget.take(np.asarray(given[0]).size)
            arrays[node.name] = _dequantised(node, *given)
    for node in nodes:
        given = [arrays.get(name) for name in node.inputs]
        if node.op in ("Const", "Dequantize", "Placeholder"):
            continue
        if given and all(value is not None for value in given):
            folded = _folded(node, given, budget)
            if folded is not None:
                arrays[node.name] = folded
            continue
        budget.take(sum(np.size(value) for value in given if value is not None))
        yield from _of_node(node, given)


def _folded(node: Node, given: list[Any], budget: _Budget) -> Any:
    """What a node makes of constants; None if that is of no use here."""
    if node.op in ("Cast", "Identity"):  # A whole number is cast before it is added.
        return given[0]
    if node.op == "Rsqrt":
        budget.take(np.size(given[0]))
        return 1 / np.sqrt(np.asarray(given[0], np.float64))
    if node.op not in _ARITHMETIC:
        return None
    one, two = (np.asarray(value, np.float64) for value in given)
    budget.take(math.prod(np.broadcast_shapes(one.shape, two.shape)))
    return _ARITHMETIC[node.op](one, two)


def _dequantised(node: Node, values: Any, low: Any, high: Any) -> Any:
    """Bytes as graph_transforms stores weights, with the values of 0 and 255."""
    low, high = np.asarray(low, np.float64).item(), np.asarray(high, np.float64).item()
    mode = node.attrs.get("mode", "MIN_COMBINED")
    if values.dtype != np.uint8 or mode not in ("MIN_COMBINED", "MIN_FIRST"):
        raise ValueError(f"{node.name}: {mode} of {values.dtype}")
    scale = (high - low) / 255
    if mode == "MIN_FIRST" and scale > 0:  # One of the 256 values is 0 exactly.
        low = round(low / scale) * scale
    return values.astype(np.float64) * scale + low


def _of_node(node: Node, given: list[Any]) -> Iterator[Step]:
    name, sources = node.name, [n for n, v in zip(node.inputs, given, strict=True) if v is None]
    if not sources or node.op == "Shape":
        return
    source, arrays = sources[0], [value for value in given if value is not None]
    plain = given[0] is None and len(sources) == 1
    if plain and node.op in _CONVS and arrays[0].ndim == 4:
        yield _conv(node, source, arrays[0])
        yield from _fused(node, arrays[1:])
    elif plain and node.op in ("MatMul", "_FusedMatMul") and arrays[0].ndim == 2:
        weight = np.asarray(arrays[0], np.float64)
        weight = weight if node.attrs.get("transpose_b") else weight.T
        yield Step("conv", node.inputs[1], source, name, weight[:, :, None, None])
        yield from _fused(node, arrays[1:])
    elif plain and node.op.startswith("FusedBatchNorm") and len(arrays) == 4:
        gamma, beta, mean, var = (np.asarray(one, np.float64) for one in arrays)
        factor = gamma / np.sqrt(var + node.attrs.get("epsilon", 1e-4))
        yield Step("affine", name, source, name, factor=factor, summand=beta - mean * factor)
    elif arrays and len(sources) == 1 and node.op in ("BiasAdd", *_ARITHMETIC):
        yield _affine(node, source, given)
    elif node.op in _ACTIVATIONS:
        yield Step("act", name, source, name, activation=_ACTIVATIONS[node.op])
    elif node.op == "LeakyRelu":
        slope = f"leaky_relu:{node.attrs.get('alpha', 0.2):g}"
        yield Step("act", name, source, name, activation=slope)
    elif node.op == "Pad" and plain and _pads_maps(arrays[0]):
        pads = np.asarray(arrays[0])[1:3].T.reshape(-1)
        yield Step("pad", name, source, name, pads=tuple(pads.tolist()))
    else:
        # Keras reshapes to a shape that it computes from the values' own.
        idle = node.op in _IDLE and (plain or (node.op == "Reshape" and given[0] is None))
        yield Step("idle" if idle else "other", name, source, name, activation=f"a {node.op}")


def _pads_maps(pads: Any) -> bool:
    """Whether zeros are put around height and width alone."""
    return pads.shape == (4, 2) and not pads[[0, 3]].any()


def _conv(node: Node, source: str, kernel: Any) -> Step:
    """A convolution: HWIO -> OIHW, depthwise HWCM -> (C, 1, H, W)."""
    depthwise = "epthwise" in node.op
    weight = np.asarray(kernel, np.float64).transpose((2, 3, 0, 1) if depthwise else (3, 2, 0, 1))
    strides = node.attrs.get("strides", [1, 1, 1, 1])
    dilations = node.attrs.get("dilations") or [1]
    odd = max(strides) != strides[1] or strides[1] != strides[2] or max(dilations) > 1
    if odd or (depthwise and weight.shape[1] != 1):
        return Step("other", node.name, source, node.name, activation="an odd convolution")
    pads: Any = "same" if node.attrs.get("padding") == "SAME" else (0, 0, 0, 0)
    if node.attrs.get("padding") == "EXPLICIT":
        sides = node.attrs["explicit_paddings"]
        pads = (sides[2], sides[4], sides[3], sides[5])
    return Step("conv", node.inputs[1], source, node.name, weight, stride=strides[1], pads=pads)


def _fused(node: Node, arrays: list[Any]) -> Iterator[Step]:
    """What TensorFlow has fused into a node: a bias, and an activation."""
    for kind in node.attrs.get("fused_ops") or []:
        if kind == "BiasAdd" and arrays:
            yield Step("affine", node.name, node.name, node.name, summand=arrays[0])
        else:
            known = _ACTIVATIONS.get(kind, f"a {kind}")
            yield Step("act", node.name, node.name, node.name, activation=known)


def _affine(node: Node, source: str, given: list[Any]) -> Step:
    """Arithmetic with a constant; a constant minus or over a tensor is of no use."""
    number = np.asarray(next(value for value in given if value is not None), np.float64)
    first = given[0] is None
    if node.op in ("Sub", "RealDiv") and not first:
        return Step("other", node.name, source, node.name, activation=f"a {node.op}")
    if node.op in ("Mul", "RealDiv"):
        factor = number if node.op == "Mul" else 1 / number
        return Step("affine", node.name, source, node.name, factor=factor)
    summand = -number if node.op == "Sub" else number
    return Step("affine", node.name, source, node.name, summand=summand)


def parse_graph(data: memoryview) -> Iterator[Node]:
    """The nodes of a GraphDef.

    Raises:
        IndexError: If the data is no such message; ValueError, if a constant does not fit.
    """
    budget = _Budget()
    for number, value in read_fields(data):
        if number == 1:
            yield _parse_node(as_bytes(value), budget)


def _parse_node(data: memoryview, budget: _Budget) -> Node:
    name, op, inputs, attrs = "", "", [], {}
    for number, value in read_fields(data):
        if number == 1:
            name = as_text(value)
        elif number == 2:
            op = as_text(value)
        elif number == 3:
            inputs.append(as_text(value))
        elif number == 5:
            entry = dict(read_fields(as_bytes(value)))
            attr = as_bytes(entry.get(2, memoryview(b"")))
            attrs[as_text(entry[1])] = _parse_attr(attr, budget)
    return Node(name, op, input_names(inputs), attrs)


def input_names(inputs: Iterable[str]) -> tuple[str, ...]:
    """Names of the nodes that are read: ``x:0`` is x, and ``^x`` only runs before."""
    return tuple(one.removesuffix(":0") for one in inputs if not one.startswith("^"))


def _parse_attr(data: memoryview, budget: _Budget) -> Any:
    for number, value in read_fields(data):
        if number == 1:
            return _parse_list(as_bytes(value))
        if number == 2:
            return as_text(value)
        if number in (3, 5, 6):
            return as_int(value)
        if number == 4:
            return struct.unpack("<f", as_bytes(value))[0]
        if number == 7:
            return _parse_shape(as_bytes(value))
        if number == 8:
            return _parse_tensor(as_bytes(value), budget)
    return None


def _parse_list(data: memoryview) -> list[Any]:
    """Texts or whole numbers, packed or not."""
    found: list[Any] = []
    for number, value in read_fields(data):
        if number == 2:
            found.append(as_text(value))
        elif number == 3 and isinstance(value, int):
            found.append(value)
        elif number == 3:
            found += _varints(as_bytes(value))
    return found


def _varints(data: memoryview) -> list[int]:
    found, at = [], 0
    while at < len(data):
        number, at = read_varint(data, at)
        found.append(number - 2**64 if number >= 2**63 else number)
    return found


def _parse_shape(data: memoryview) -> list[int]:
    """Sides, -1 where one is open."""
    sides = []
    for number, value in read_fields(data):
        if number == 2:
            side = as_int(dict(read_fields(as_bytes(value))).get(1, 0))
            sides.append(side - 2**64 if side >= 2**63 else side)
    return sides


def _parse_tensor(data: memoryview, budget: _Budget) -> NDArray[Any] | None:
    """A constant; None if it holds no numbers."""
    kind, shape, content = 0, list[int](), memoryview(b"")
    values: list[Any] = []
    for number, value in read_fields(data):
        if number == 1:
            kind = as_int(value)
        elif number == 2:
            shape = _parse_shape(as_bytes(value))
        elif number == 4:
            content = as_bytes(value)
        elif number in _VALUES and isinstance(value, int):
            values.append(value - 2**64 if value >= 2**63 else value)
        elif number in _VALUES:
            packed, form = as_bytes(value), _VALUES[number]
            values += np.frombuffer(packed, form).tolist() if form else _varints(packed)
    if kind not in _DTYPES:
        return None
    count = math.prod(shape)
    if min(shape, default=0) < 0 or count > _MOST:
        raise ValueError(f"a constant of shape {shape}")
    if len(content):
        return np.frombuffer(content, _DTYPES[kind]).reshape(shape)
    array = np.asarray(values or [0], _DTYPES[kind])
    if len(array) > max(count, 1):
        raise ValueError(f"{len(array)} values for a constant of shape {shape}")
    budget.take(count)
    # The last of them stands for all that follow.
    return np.pad(array, (0, count - len(array)), mode="edge")[:count].reshape(shape)
