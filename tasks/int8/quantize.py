"""Turns a float ONNX file into one that computes in 8 bits.

Weights become signed integers, symmetric, with a scale for each output channel; activations become
unsigned ones with a zero point and one scale per tensor. Weights keep all 8 bits (see
:mod:`tasks.runtime.chip`). What is not a layer of the network stays in float.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence

import numpy as np
from onnx import ModelProto, numpy_helper
from onnxruntime.quantization import QDQQuantizer, QuantType
from onnxruntime.quantization.calibrate import CalibrationMethod, TensorsData

from tasks.int8.network import MERGED, Layer, readers_of, tensors_of
from tasks.int8.ranges import Ranges, quantised_tensors

_OPERATIONS = ["Conv", "Gemm", "LeakyRelu", *MERGED]


def quantise(
    model: ModelProto,
    layers: Sequence[Layer],
    ranges: Ranges,
    *,
    per_channel: bool = True,
    floats: Collection[str] = (),
) -> ModelProto:
    """A copy of a file whose layers compute in 8 bits, between quantise and dequantise nodes.

    Args:
        model: Float export, or the network alone.
        layers: Layers of the network in the graph.
        ranges: Ranges of every tensor between layers.
        per_channel: Whether the weights have a scale for each output channel, or a single one.
        floats: Names of layers to leave in float.
    """
    chosen = [layer for layer in layers if layer.name not in floats]
    copy = ModelProto()
    copy.CopyFrom(model)
    for layer in chosen:
        if layer.ceiling:
            _drop_ceiling(copy, layer, ranges[layer.output][1])
    nodes = [layer.node for layer in chosen]
    nodes += [layer.activation for layer in chosen if layer.activation]
    # The input of a merged activation is never rounded, but the quantiser needs its range too.
    wanted = {name: name for name in quantised_tensors(layers)}
    wanted |= {layer.raw: layer.output for layer in layers if layer.kind in MERGED}
    pairs = {
        name: tuple(np.array(value, np.float32) for value in ranges[like])
        for name, like in wanted.items()
    }
    quantiser = QDQQuantizer(
        copy,
        per_channel=per_channel,
        reduce_range=False,
        weight_qType=QuantType.QInt8,
        activation_qType=QuantType.QUInt8,
        tensors_range=TensorsData(CalibrationMethod.MinMax, pairs),
        nodes_to_quantize=nodes,
        nodes_to_exclude=[],
        op_types_to_quantize=_OPERATIONS,
        # The logits of a fully connected layer are not rounded: close classes would be equal.
        extra_options={"OpTypesToExcludeOutputQuantization": ["Gemm"]},
    )
    quantiser.quantize_model()
    quantiser.model.topological_sort()
    quantised: ModelProto = quantiser.model.model
    return quantised


def _drop_ceiling(model: ModelProto, layer: Layer, high: float) -> None:
    """Remove a layer's ceilings if rounding cuts off at or below all of them anyway."""
    node = next(node for node in model.graph.node if node.name == layer.ceiling)
    lowest = float(numpy_helper.to_array(tensors_of(model)[node.input[1]]).min())
    assert high <= lowest * (1 + 1e-6), f"{layer.name}: rounding to {high} is not below {lowest}"
    before = next(one for one in model.graph.node if one.name == layer.activation)
    before.output[0] = node.output[0]
    model.graph.node.remove(node)


def rounded_name(model: ModelProto, tensor: str) -> str:
    """Name of a tensor after rounding in a quantised file."""
    readers = readers_of(model)
    for name in (tensor, f"{tensor}_QuantizeLinear_Input"):
        for node in readers.get(name, []):
            if node.op_type == "QuantizeLinear":
                return str(readers[node.output[0]][0].output[0])
    return tensor
