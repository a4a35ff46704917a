"""Layers with weights, poolings and paddings."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from backbone.layers import same_padding
from tasks.export.litert.flatbuffer import Array, Options, Quantisation, import_schema
from tasks.export.litert.graph import Node
from tasks.export.litert.int8 import bias_tensor, int8_weights, weight_tensor, wide_dense
from tasks.export.litert.lowering import NHWC, Integers, Lowering, Value

_SIX = (0.0, 6.0)
# The first version of DEQUANTIZE that has a scale for each channel.
_PER_CHANNEL = 5
# The first versions of FULLY_CONNECTED with weights of 8 bits among real numbers whose range is
# not symmetric; and with a scale for each channel besides.
_MIXED, _MIXED_CHANNELS = 9, 12


@dataclass(frozen=True)
class _Window:
    """What a convolution or pooling looks at, by rows and columns."""

    kernel: tuple[int, int]
    strides: tuple[int, int]
    dilations: tuple[int, int]
    pads: tuple[int, int, int, int]  # top, left, bottom, right

    def padding(self, sides: tuple[int, int]) -> str:
        """LiteRT's name of the padding of a map of these sides; empty if it has none."""
        if not any(self.pads):
            return "VALID"
        wide = [(k - 1) * d + 1 for k, d in zip(self.kernel, self.dilations, strict=True)]
        rows, columns = (
            same_padding(side, kernel, stride)
            for side, kernel, stride in zip(sides, wide, self.strides, strict=True)
        )
        same = (rows[0], columns[0], rows[1], columns[1])
        return "SAME" if self.pads == same else ""


def _window(low: Lowering, node: Node, kernel: tuple[int, ...]) -> _Window:
    told = node.attributes
    if len(kernel) != 2:
        raise low.refuse(node, f"has {len(kernel)} axes to move along; two are known")
    if told.get("auto_pad", "NOTSET") != "NOTSET" or told.get("ceil_mode", 0):
        raise low.refuse(node, "states its padding by a rule, not in numbers")
    pads = tuple(told.get("pads", (0,) * 4))
    ones = (1, 1)
    return _Window(
        (kernel[0], kernel[1]),
        tuple(told.get("strides", ones)),
        tuple(told.get("dilations", ones)),
        (pads[0], pads[1], pads[2], pads[3]),
    )


def _padded(low: Lowering, value: Value, window: _Window, fill: float = 0.0) -> tuple[Value, int]:
    """A map, with a frame of its own where LiteRT's padding is another; and the padding's number.

    PyTorch pads all sides alike. At stride 2 and an even side TensorFlow pads only the end.
    """
    name = window.padding((value.shape[2], value.shape[3]))
    schema = import_schema()
    if name:
        return value, getattr(schema.Padding, name)
    top, left, bottom, right = window.pads
    frame = [(0, 0), (0, 0), (top, bottom), (left, right)]
    return pad(low, value, frame, fill), schema.Padding.VALID


def pad(low: Lowering, value: Value, frame: list[tuple[int, int]], fill: float) -> Value:
    """A value with so many more before and after on each axis, as ONNX counts them."""
    shape = tuple(n + sum(more) for n, more in zip(value.shape, frame, strict=True))
    made = low.make("padded", shape, value.kind, value.order, value.quantisation)
    inputs = [value.tensor, low.numbers(np.array([frame[axis] for axis in value.order]))]
    if fill == 0:  # PAD fills with what stands for 0.
        low.emit("PAD", inputs, made, "PadOptions")
        return made
    least = fill
    if value.quantisation is not None:
        steps = round(fill / value.quantisation.scale[0]) if np.isfinite(fill) else fill
        least = max(-128, min(127, steps + value.quantisation.zero[0]))
    filling = np.array(least, value.kind)
    told = value.quantisation
    inputs.append(low.buffer.tensor("fill", (), value.kind, told, filling))
    low.emit("PADV2", inputs, made, "PadV2Options")
    return made


def activation(low: Lowering, node: Node) -> tuple[str, str]:
    """LiteRT's name of the activation that alone follows a layer, and the tensor after it."""
    after = low.graph.only_reader(node.outputs[0])
    if after is not None:
        if after.kind == "Relu":
            return "RELU", after.outputs[0]
        if after.kind == "Clip":
            limits = [low.constant(name) if name else None for name in after.inputs[1:]]
            told = [None if one is None else float(one) for one in limits]
            if tuple(told) == _SIX:
                return "RELU6", after.outputs[0]
            if told in ([0.0], [0.0, None], [0.0, float("inf")]):
                return "RELU", after.outputs[0]
    return "NONE", node.outputs[0]


def convolution(low: Lowering, node: Node) -> None:
    """Conv: of all channels, or of each by itself."""
    weight = low.known(node, 1, "weights")
    groups, channels = node.attributes.get("group", 1), low.value(node.inputs[0]).shape[1]
    depthwise = groups > 1
    if depthwise and groups != channels:
        raise low.refuse(node, f"has {groups} groups of {channels} channels: 1 or all are known")
    window = _window(low, node, weight.shape[2:])
    integers = int8_weights(low, node)
    rounded = low.rounding(node.outputs[0]) if integers else None
    source = low.bring(node.inputs[0], NHWC, real=rounded is None)
    source, padding = _padded(low, source, window)
    perm = (1, 2, 3, 0) if depthwise else (0, 2, 3, 1)
    bias = low.known(node, 2, "biases") if len(node.inputs) > 2 else np.zeros(len(weight))
    if rounded is not None and integers is not None:
        made = low.give(node, NHWC, quantisation=rounded)
        constants = _integer_constants(low, node, integers, perm, bias, source.quantisation)
        fused = "NONE"  # What rounds cuts off as well.
    else:
        fused, out = activation(low, node)
        made = low.give(node, NHWC)
        low.values[out] = made
        constants = _real_constants(low, node, perm, bias)
    schema = import_schema()
    options = {
        "padding": padding,
        "strideH": window.strides[0],
        "strideW": window.strides[1],
        "dilationHFactor": window.dilations[0],
        "dilationWFactor": window.dilations[1],
        "fusedActivationFunction": getattr(schema.ActivationFunctionType, fused),
    }
    if depthwise:
        options["depthMultiplier"] = len(weight) // channels
    kind, table = (
        ("DEPTHWISE_CONV_2D", "DepthwiseConv2DOptions")
        if depthwise
        else ("CONV_2D", "Conv2DOptions")
    )
    low.emit(kind, [source.tensor, *constants], made, table, **options)


def _real_constants(low: Lowering, node: Node, perm: tuple[int, ...], bias: Array) -> list[int]:
    """Weights and biases of a layer that computes in real numbers; weights of 8 bits stay small.

    The runtime turns these into real numbers once, when it loads the file.
    """
    name = node.inputs[1]
    integers, weight = low.integers.get(name), low.known(node, 1, "weights").transpose(perm)
    if integers is None or integers.values.dtype != np.int8:
        made = low.buffer.tensor(name, weight.shape, "float32", data=weight.astype(np.float32))
    else:
        stored = integers.values.transpose(perm)
        small = weight_tensor(low, f"{name}/8bit", integers, stored, perm.index(0))
        made = low.buffer.tensor(name, weight.shape, "float32")
        options = Options("DequantizeOptions", {})
        version = _PER_CHANNEL if len(integers.quantisation.scale) > 1 else None
        low.buffer.operator("DEQUANTIZE", [small], [made], options, version=version)
    values = bias.astype(np.float32)
    return [made, low.buffer.tensor(f"{node.name}/bias", bias.shape, "float32", data=values)]


def _integer_constants(
    low: Lowering,
    node: Node,
    weight: Integers,
    perm: tuple[int, ...],
    bias: Array,
    before: Quantisation | None,
) -> list[int]:
    assert before is not None, "integers come in"
    stored, axis = weight.values.transpose(perm), perm.index(0)
    return [
        weight_tensor(low, node.inputs[1], weight, stored, axis),
        bias_tensor(low, f"{node.name}/bias", bias, weight.quantisation, before),
    ]


def _mixed_constants(
    low: Lowering, node: Node, weight: Integers, perm: tuple[int, ...], bias: Array
) -> list[int]:
    """Weights of 8 bits and real biases, of a layer from real numbers to real numbers.

    The runtime rounds what comes in by its own range each time. That costs no accuracy that can be
    seen, and real weights would have it read four times the bytes.
    """
    stored, values = weight.values.transpose(perm), bias.astype(np.float32)
    return [
        weight_tensor(low, node.inputs[1], weight, stored, perm.index(0)),
        low.buffer.tensor(f"{node.name}/bias", bias.shape, "float32", data=values),
    ]


def dense(low: Lowering, node: Node) -> None:
    """Gemm: a fully connected layer."""
    told = node.attributes
    plain_ = told.get("alpha", 1.0) == told.get("beta", 1.0) == 1.0 and not told.get("transA", 0)
    if not plain_:
        raise low.refuse(node, "scales or transposes what it reads")
    weight = low.known(node, 1, "weights")
    perm = (0, 1) if told.get("transB", 0) else (1, 0)
    bias = (
        low.known(node, 2, "biases") if len(node.inputs) > 2 else np.zeros(weight.shape[perm[0]])
    )
    integers = int8_weights(low, node)
    rounded = low.rounding(node.outputs[0]) if integers else None
    source = low.bring(node.inputs[0], real=rounded is None)
    fused, version, mixed = "NONE", None, False
    if rounded is not None and integers is not None:
        made = low.give(node, quantisation=rounded)
        constants = _integer_constants(low, node, integers, perm, bias, source.quantisation)
    elif low.micro and integers is not None:
        wide_dense(low, node, integers, perm, bias)
        return
    else:
        fused, out = activation(low, node)
        made = low.give(node)
        low.values[out] = made
        if integers is None:
            constants = _real_constants(low, node, perm, bias)
        else:
            constants, mixed = _mixed_constants(low, node, integers, perm, bias), True
            version = _MIXED_CHANNELS if len(integers.quantisation.scale) > 1 else _MIXED
    activated = getattr(import_schema().ActivationFunctionType, fused)
    options = {"fusedActivationFunction": activated, "asymmetricQuantizeInputs": mixed}
    told_so = Options("FullyConnectedOptions", options)
    inputs = [source.tensor, *constants]
    low.buffer.operator("FULLY_CONNECTED", inputs, [made.tensor], told_so, version=version)


def product(low: Lowering, node: Node) -> None:
    """MatMul of what is computed."""
    one, other = (low.bring(name) for name in node.inputs)
    made = low.give(node)
    low.emit(
        "BATCH_MATMUL",
        [one.tensor, other.tensor],
        made,
        "BatchMatMulOptions",
        adjX=False,
        adjY=False,
    )


def pooling(low: Lowering, node: Node) -> None:
    """MaxPool and AveragePool."""
    largest = node.kind == "MaxPool"
    window = _window(low, node, tuple(node.attributes["kernel_shape"]))
    if window.dilations != (1, 1) or len(node.outputs) > 1:
        raise low.refuse(node, "has holes, or returns places")
    source = low.bring(node.inputs[0], NHWC, real=not largest)
    source, padding = _padded(low, source, window, -np.inf)
    schema = import_schema()
    if not largest and any(window.pads):
        raise low.refuse(node, "averages over padding")
    made = low.give(node, NHWC, quantisation=source.quantisation)
    low.emit(
        "MAX_POOL_2D" if largest else "AVERAGE_POOL_2D",
        [source.tensor],
        made,
        "Pool2DOptions",
        padding=padding,
        strideH=window.strides[0],
        strideW=window.strides[1],
        filterHeight=window.kernel[0],
        filterWidth=window.kernel[1],
        fusedActivationFunction=schema.ActivationFunctionType.NONE,
    )


def framing(low: Lowering, node: Node) -> None:
    """Pad with a constant."""
    if node.attributes.get("mode", "constant") != "constant":
        raise low.refuse(node, f"fills by {node.attributes['mode']}")
    source = low.value(node.inputs[0])
    rank = len(source.shape)
    sides = low.known(node, 1, "sides").tolist()
    axes = list(range(rank))
    if len(node.inputs) > 3 and node.inputs[3]:
        axes = [int(axis) % rank for axis in low.known(node, 3, "axes")]
    frame = [(0, 0)] * rank
    for place, axis in enumerate(axes):
        frame[axis] = (int(sides[place]), int(sides[place + len(axes)]))
    if min(min(pair) for pair in frame) < 0:
        raise low.refuse(node, "cuts off")
    fill = 0.0
    if len(node.inputs) > 2 and node.inputs[2]:
        fill = float(low.known(node, 2, "filling"))
    low.values[node.outputs[0]] = pad(low, source, frame, fill)
