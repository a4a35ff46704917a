"""Reads TensorFlow's graphs with their constants (a frozen .pb) without TensorFlow.

TF.js writes the same nodes as JSON.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from backbone.formats.graph import Step, gather, read_row, worded
from backbone.formats.graph_message import Budget, Node, parse_graph
from backbone.formats.network import Network
from datasets.errors import InputError
from datasets.lfs import refuse_pointer

# A SavedModel begins with the version of its schema, a graph with a node.
_SAVED_MODEL = b"\x08\x01"
_UINT8 = 4
_POOLS = {"AvgPool", "Mean"}
_IDLE = {
    *_POOLS,
    "Cast",
    "ExpandDims",
    "Identity",
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
# Keras' Normalization divides by the larger of the deviation and epsilon.
_FOLDED = {**_ARITHMETIC, "Maximum": np.maximum}
_ACTIVATIONS = {"Relu": "relu", "Relu6": "relu6"}
_CONVS = {"Conv2D", "_FusedConv2D", "DepthwiseConv2dNative", "FusedDepthwiseConv2dNative"}


def read_graph_def(path: Path) -> Network:
    """Read a frozen graph.

    Args:
        path: File to read.

    Raises:
        InputError: If it is damaged, holds no constants, or is not a MobileNet v1.
    """
    nodes = _read(path)
    return read_nodes(path, "TensorFlow graph", nodes, _constants(nodes))


def read_constants(path: Path) -> dict[str, NDArray[Any]]:
    """The constants of a frozen graph by name. Raises InputError if the file is damaged."""
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
    """Read the classifier or body that a graph represents.

    Args:
        path: Path of the file.
        kind: Description of the source.
        nodes: Nodes, in an order in which none reads the output of a later one.
        constants: Arrays by node name.

    Raises:
        InputError: If it is not a MobileNet v1.
    """
    listed, arrays = list(nodes), dict(constants)
    entries = [node for node in listed if node.op == "Placeholder"]
    # Other inputs are settings, such as whether the network is being trained.
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
    """What each node does; nodes that only compute with constants become constants."""
    budget = Budget()
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


def _folded(node: Node, given: list[Any], budget: Budget) -> Any:
    """What a node makes of constants; None if that is of no use here."""
    if node.op in ("Cast", "Identity"):  # A whole number is cast before it is added.
        return given[0]
    if node.op in ("Rsqrt", "Sqrt"):
        budget.take(np.size(given[0]))
        root = np.sqrt(np.asarray(given[0], np.float64))
        return 1 / root if node.op == "Rsqrt" else root
    if node.op in ("ExpandDims", "Reshape", "Squeeze"):
        return _reshaped(node, given)
    if node.op not in _FOLDED:
        return None
    one, two = (np.asarray(value, np.float64) for value in given)
    budget.take(math.prod(np.broadcast_shapes(one.shape, two.shape)))
    return _FOLDED[node.op](one, two)


def _reshaped(node: Node, given: list[Any]) -> Any:
    """The same values in another shape: Keras 3 reshapes a bias to (1, 1, 1, C) and back."""
    values = np.asarray(given[0])
    if node.op == "Reshape":
        return values.reshape(np.asarray(given[1]).reshape(-1).tolist())
    if node.op == "ExpandDims":
        return np.expand_dims(values, int(np.asarray(given[1]).item()))
    axes = node.attrs.get("squeeze_dims") or node.attrs.get("axis")
    return values.squeeze(tuple(axes)) if axes else values.squeeze()


def _dequantised(node: Node, values: Any, low: Any, high: Any) -> Any:
    """Weights stored as bytes by graph_transforms, with the values that 0 and 255 stand for."""
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
        # Keras reshapes to a shape that it computes from the shape of the values.
        idle = node.op in _IDLE and (plain or (node.op == "Reshape" and given[0] is None))
        told, pools = worded(node.op), node.op in _POOLS
        yield Step("idle" if idle else "other", name, source, name, activation=told, pools=pools)


def _pads_maps(pads: Any) -> bool:
    """Whether zeros are added only to height and width."""
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
            known = _ACTIVATIONS.get(kind, worded(kind))
            yield Step("act", node.name, node.name, node.name, activation=known)


def _affine(node: Node, source: str, given: list[Any]) -> Step:
    """Arithmetic with a constant; a constant minus or divided by a tensor is not supported."""
    number = np.asarray(next(value for value in given if value is not None), np.float64)
    first = given[0] is None
    if node.op in ("Sub", "RealDiv") and not first:
        return Step("other", node.name, source, node.name, activation=worded(node.op))
    if node.op in ("Mul", "RealDiv"):
        factor = number if node.op == "Mul" else 1 / number
        return Step("affine", node.name, source, node.name, factor=factor)
    summand = -number if node.op == "Sub" else number
    return Step("affine", node.name, source, node.name, summand=summand)
