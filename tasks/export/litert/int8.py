"""Integers: quantise and dequantise nodes, and how layers between them compute in 8 bits.

ONNX's activations are bytes from 0 on, LiteRT's count from -128: zero points move by as much.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from tasks.export.litert.flatbuffer import Array, Options, Quantisation, import_schema
from tasks.export.litert.graph import Node
from tasks.export.litert.lowering import Integers, Lowering, Value, plain, told_quantisation

_BIASES = np.iinfo(np.int32)
_WIDE = np.iinfo(np.int16).max


def dequantise(low: Lowering, node: Node) -> None:
    """Constants are kept as integers; what was computed is what it was, read as real numbers."""
    source, out = node.inputs[0], node.outputs[0]
    constant = low.graph.constants.get(source)
    if constant is None:
        low.values[out] = low.values[source]
        return
    told = told_quantisation(low.graph, node)
    values = constant
    if constant.dtype == np.uint8:
        values = (constant.astype(np.int16) - 128).astype(np.int8)
    low.integers[out] = Integers(values, told)


def quantise(low: Lowering, node: Node) -> None:
    """Round to integers, unless what comes is just these."""
    told = told_quantisation(low.graph, node)
    found = low.value(node.inputs[0])
    if found.quantisation == told:
        low.values[node.outputs[0]] = found
        return
    made = low.give(node, found.order, quantisation=told)
    low.emit("QUANTIZE", [found.tensor], made, "QuantizeOptions")


def enter(low: Lowering, node: Node) -> None:
    """An image's bytes, less 128, as they are (see :mod:`tasks.export.litert.entry`)."""
    source, told = low.value(node.inputs[0]), node.attributes["quantisation"]
    perm = node.attributes["perm"]
    shape = tuple(source.shape[axis] for axis in perm)
    order = tuple(perm.index(axis) for axis in source.order)
    made = low.make("entry", shape, "int8", order, told)
    low.values[node.outputs[0]] = made
    if source.kind == "int8":
        low.buffer.set_quantisation(source.tensor, told)
        low.values[node.outputs[0]] = replace(made, tensor=source.tensor)
        return
    # The input means what it is entered as: so this moves bytes, and computes nothing.
    low.buffer.set_quantisation(source.tensor, Quantisation(told.scale, (told.zero[0] + 128,)))
    low.emit("QUANTIZE", [source.tensor], made, "QuantizeOptions")


def requantised(low: Lowering, value: Value, told: Quantisation) -> Value:
    """The same numbers with another scale."""
    if value.quantisation == told:
        return value
    made = low.make("rescaled", value.shape, "int8", value.order, told)
    low.buffer.operator("QUANTIZE", [value.tensor], [made.tensor], Options("QuantizeOptions", {}))
    return made


def weight_tensor(low: Lowering, name: str, weight: Integers, stored: Array, axis: int) -> int:
    """A constant of quantised weights in LiteRT's layout, channels at ``axis``; its number."""
    told = Quantisation(weight.quantisation.scale, weight.quantisation.zero, axis)
    return low.buffer.tensor(name, stored.shape, "int8", told, stored)


def bias_tensor(
    low: Lowering,
    name: str,
    bias: Array,
    weight: Quantisation,
    before: Quantisation,
    kind: str = "int32",
) -> int:
    """A bias in the units that a layer sums up in: scale of its input times that of its weights.

    Args:
        low: Lowering in which it is written.
        name: Name of the constant.
        bias: (C,) real numbers.
        weight: Quantisation of the layer's weights.
        before: Quantisation of its input.
        kind: numpy's name of its type.
    """
    scale = np.array(before.scale[0], np.float32) * np.array(weight.scale, np.float32)
    steps = np.round(bias.astype(np.float64) / scale.astype(np.float64))
    values = np.clip(steps, _BIASES.min, _BIASES.max).astype(kind)
    told = Quantisation(tuple(map(float, scale)), (0,) * len(scale))
    return low.buffer.tensor(name, values.shape, kind, told, values)


def int8_weights(low: Lowering, node: Node) -> Integers | None:
    """Weights of a layer that can compute in 8 bits, signed and symmetric; None of others."""
    found = low.integers.get(node.inputs[1])
    before = low.value(node.inputs[0])
    if found is None or before.quantisation is None or found.values.dtype != np.int8:
        return None
    return None if any(found.quantisation.zero) else found


def wide_dense(
    low: Lowering, node: Node, weight: Integers, perm: tuple[int, ...], bias: Array
) -> None:
    """A fully connected layer whose answer nothing rounds, for microcontrollers.

    They have no weights of 8 bits among real numbers. So it computes from 16 bits, which hold
    what comes exactly, to 16 bits, whose steps are too small to matter for any answer: the scale
    is that of the largest one that there can be.
    """
    source = low.bring(node.inputs[0], real=False)
    told = source.quantisation
    assert told is not None, "integers come in"
    before, shape = Quantisation(told.scale, (0,)), (1, 1, 1, source.shape[-1])
    entry = low.make("wide", source.shape, "int16", source.order, before)
    low.emit("QUANTIZE", [source.tensor], entry, "QuantizeOptions")
    stored = weight.values.transpose(perm)
    most = told.scale[0] * max(127 - told.zero[0], told.zero[0] + 128)
    sums = np.abs(weight.real.transpose(perm)).sum(axis=1) * most + np.abs(bias)
    rounded = Quantisation((float(np.float32(sums.max() / _WIDE)),), (0,))
    rows = stored.reshape(len(stored), *shape[1:])
    constants = [
        weight_tensor(low, node.inputs[1], weight, rows, 0),
        bias_tensor(low, f"{node.name}/bias", bias, weight.quantisation, before, "int64"),
    ]
    pixel = low.make("pixel", shape, "int16", plain(4), before)
    low.reshape(entry.tensor, pixel.tensor)
    found = low.make("sums", (1, 1, 1, len(rows)), "int16", plain(4), rounded)
    schema = import_schema()
    options = {"strideH": 1, "strideW": 1, "dilationHFactor": 1, "dilationWFactor": 1}
    fused, padding = schema.ActivationFunctionType.NONE, schema.Padding.VALID
    low.emit(
        "CONV_2D",
        [pixel.tensor, *constants],
        found,
        "Conv2DOptions",
        **options,
        fusedActivationFunction=fused,
        padding=padding,
    )
    made = low.make(node.outputs[0], low.graph.shapes[node.outputs[0]], "int16", plain(2), rounded)
    low.reshape(found.tensor, made.tensor)
    low.values[node.outputs[0]] = made
