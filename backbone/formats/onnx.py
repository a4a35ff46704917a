"""Reads ONNX files of MobileNet v1 from PyTorch and from Keras' and TensorFlow's converters."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

import numpy as np
import onnx
from onnx import numpy_helper

from backbone.formats.graph import Step, gather, keeps_maps, read_row, worded
from backbone.formats.network import Network
from datasets.errors import InputError

_POOLS = {"AveragePool", "GlobalAveragePool", "ReduceMean"}
_IDLE = {
    *_POOLS,
    "Cast",
    "Dropout",
    "Flatten",
    "Identity",
    "LogSoftmax",
    "Reshape",
    "Sigmoid",
    "Softmax",
    "Squeeze",
    "Transpose",
    "Unsqueeze",
}
# Operators that only compute shapes.
_SHAPES = {"ConstantOfShape", "Shape"}
# How onnx's reader reports weights in a separate file.
_OUTSIDE = re.compile(r"should be stored in (?:.*/)?([^/]+?), but it")
_SIGNS = {"Add": 1, "Sub": -1}


def read_onnx(path: Path) -> Network:
    """Read an ONNX file.

    Args:
        path: File to read.

    Raises:
        InputError: If it is damaged, quantised, or not a MobileNet v1.
    """
    with reading(path):
        model = onnx.load(path)
        constants = _constants(model.graph)
        entries = [one for one in model.graph.input if one.name not in constants]
        row = gather(_steps(model.graph, constants), entries[0].name)
        tensor = entries[0].type.tensor_type
        sides = [side.dim_value or None for side in tensor.shape.dim]
        bytes_in = tensor.elem_type == onnx.TensorProto.UINT8
        shape: Any = (*sides[2:], sides[1]) if sides[1] == 3 else sides[1:]
        if len(entries) != 1 or len(sides) != 4:
            raise ValueError(f"{len(entries)} inputs, the first of shape {sides}")
        return read_row(path, "ONNX", row, tuple(shape), bytes_in=bytes_in)


@contextmanager
def reading(path: Path) -> Iterator[None]:
    """Turn any exception of onnx's readers into an InputError that names the file."""
    try:
        yield
    except InputError:
        raise
    except Exception as error:  # protobuf's and onnx's readers raise kinds of their own.
        beside = _OUTSIDE.search(str(error))
        if beside is not None and not (path.parent / beside[1]).is_file():
            raise InputError(
                f"{path}: its weights lie in another file, {beside[1]}, which is missing: put it "
                "into the same folder"
            ) from error
        raise InputError(f"{path}: damaged ONNX file ({error})") from error


def all_steps(graph: Any) -> list[Step]:
    """What each node of an ONNX graph that reads a computed tensor does, in order."""
    return list(_steps(graph, _constants(graph)))


def _constants(graph: Any) -> dict[str, Any]:
    """Arrays by name: stored ones and those of constant nodes, under all of their names."""
    found = {one.name: numpy_helper.to_array(one) for one in graph.initializer}
    for node in graph.node:
        if node.op_type == "Constant" and node.attribute and node.attribute[0].name == "value":
            found[node.output[0]] = numpy_helper.to_array(node.attribute[0].t)
        elif node.op_type in ("Cast", "Identity") and node.input[0] in found:
            found[node.output[0]] = found[node.input[0]]
    return found


def _steps(graph: Any, constants: Mapping[str, Any]) -> Iterator[Step]:
    for node in graph.node:
        inputs = [name for name in node.input if name and name not in constants]
        given = [constants.get(name) for name in node.input]
        if not inputs or (node.op_type in _SHAPES and not _is_view(node.op_type, given)):
            continue
        told = {one.name: onnx.helper.get_attribute_value(one) for one in node.attribute}
        step = _step(node, inputs, given, told)
        yield step
        if step.kind == "conv" and len(given) > 2 and given[2] is not None:
            yield Step("affine", node.name, step.result, step.result, summand=given[2])


def _is_view(kind: str, given: list[Any]) -> bool:
    """Whether a node gathers all values in order, as PyTorch's newer exporter writes it."""
    if kind != "Gather" or given[1] is None or given[1].ndim < 2:
        return False
    return bool(np.array_equal(given[1].reshape(-1), np.arange(given[1].size)))


def _step(node: Any, inputs: list[str], given: list[Any], told: dict[str, Any]) -> Step:
    kind, name, source, result = node.op_type, node.name, inputs[0], node.output[0]
    arrays = [value for value in given if value is not None]
    if kind == "Conv" and given[1] is not None:
        weight = np.asarray(given[1], np.float64)
        return _conv(node, source, weight, told)
    if kind in ("Gemm", "MatMul") and len(arrays) > 0 and arrays[0].ndim == 2:
        weight = np.asarray(arrays[0], np.float64)
        weight = weight if told.get("transB") else weight.T
        return Step("conv", name or result, source, result, weight[:, :, None, None])
    if kind == "BatchNormalization" and len(arrays) == 4:
        gamma, beta, mean, var = (np.asarray(one, np.float64) for one in arrays)
        factor = gamma / np.sqrt(var + told.get("epsilon", 1e-5))
        return Step("affine", name, source, result, factor=factor, summand=beta - mean * factor)
    is_first = given[0] is None or kind in ("Add", "Mul")
    if kind in (*_SIGNS, "Mul", "Div") and len(inputs) == 1 and is_first:
        number = np.asarray(arrays[0], np.float64)
        if kind in _SIGNS:
            return Step("affine", name, source, result, summand=_SIGNS[kind] * number)
        return Step("affine", name, source, result, factor=number if kind == "Mul" else 1 / number)
    if kind in ("Clip", "LeakyRelu", "Max", "Min", "Relu"):
        return Step("act", name, source, result, activation=_activation(kind, given, told))
    if kind == "Pad" and _is_of_zeros(inputs, given, told):
        sides = told.get("pads", arrays[0] if arrays else [])
        pads = np.asarray(sides).reshape(2, -1)
        maps = pads[:, 1:3] if pads[:, 1].any() else pads[:, 2:]  # Channels may come last.
        return Step("pad", name, source, result, pads=tuple(maps.reshape(-1).tolist()))
    # PyTorch's older exporter reshapes to a shape that it computes from the shape of the values.
    plain = len(inputs) == 1 or (kind == "Reshape" and given[0] is None)
    plain &= kind != "Transpose" or keeps_maps(told.get("perm"))
    idle = (kind in _IDLE and plain) or _is_view(kind, given)
    does: Literal["idle", "other"] = "idle" if idle else "other"
    pools = kind in _POOLS
    return Step(does, name, source, result, activation=worded(kind), pools=pools)


def _is_of_zeros(inputs: list[str], given: list[Any], told: dict[str, Any]) -> bool:
    """Whether a Pad adds zeros on all axes that it names."""
    value, axes = (*given[2:], None, None)[:2]
    number = told.get("value", 0.0) if value is None else np.asarray(value).reshape(-1)[0]
    return told.get("mode", b"constant") == b"constant" and not (
        number or len(inputs) > 1 or axes is not None
    )


def _conv(node: Any, source: str, weight: Any, told: dict[str, Any]) -> Step:
    """A convolution without its bias."""
    strides = told.get("strides", [1, 1])
    auto = told.get("auto_pad", b"NOTSET")
    pads: Any = tuple(told.get("pads", (0, 0, 0, 0)))
    pads = "same" if auto == b"SAME_UPPER" else (0, 0, 0, 0) if auto == b"VALID" else pads
    odd = set(strides) - {strides[0]} or set(told.get("dilations", [1])) - {1}
    depthwise = told.get("group", 1) == weight.shape[0] and weight.shape[1] == 1
    if odd or weight.ndim != 4 or (told.get("group", 1) != 1 and not depthwise):
        return Step("other", node.name, source, node.output[0], activation="an odd convolution")
    name = node.input[1]
    return Step("conv", name, source, node.output[0], weight, stride=strides[0], pads=pads)


def _activation(kind: str, given: list[Any], told: dict[str, Any]) -> str:
    if kind == "Relu":
        return "relu"
    if kind == "LeakyRelu":
        return f"leaky_relu:{told.get('alpha', 0.01):g}"
    limits = [None if one is None else np.asarray(one).item() for one in given[1:]]
    if kind == "Max":
        return "relu" if 0 in [*limits, given[0]] else "a Max"
    if kind == "Min":
        return "min6" if 6 in [*limits, given[0]] else "a Min"
    low = told.get("min", limits[0] if limits else None)
    high = told.get("max", limits[1] if len(limits) > 1 else None)
    known = {(0, 6): "relu6", (0, None): "relu", (None, 6): "min6"}
    return known.get((low, high), f"a Clip to {low}..{high}")
