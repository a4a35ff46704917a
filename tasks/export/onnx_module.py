"""An ONNX graph of a fixed shape as a module, operator by operator, to be exported anew.

What was rounded to 8 bits there is rounded here, by the same scales, in the operators that
PyTorch's quantised programs are made of: a runtime that computes those in 8 bits recognises them.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import onnx
import torch
from numpy.typing import NDArray
from onnx import ModelProto, NodeProto, numpy_helper
from torch import Tensor, nn
from torch.nn import functional

from datasets.errors import InputError
from tasks.export.onnx_shapes import SHAPES

_QUANTISED = torch.ops.quantized_decomposed
# ONNX rounds activations to 0..255, PyTorch's programs to these: zero points are less by 128.
_LOW, _HIGH, _SHIFT = -128, 127, 128


class OnnxModule(nn.Module):
    """A graph whose inputs have fixed shapes.

    Args:
        model: Float, or with layers in 8 bits as :mod:`tasks.int8.quantize` writes them.

    Raises:
        InputError: If it has an operator that is not known here.
    """

    def __init__(self, model: ModelProto) -> None:
        super().__init__()
        graph = model.graph
        self.nodes = list(graph.node)
        self.inputs = [one.name for one in graph.input]
        self.outputs = [one.name for one in graph.output]
        self.fixed: dict[str, NDArray[Any]] = {
            one.name: numpy_helper.to_array(one) for one in graph.initializer
        }
        for node in [node for node in self.nodes if node.op_type == "Constant"]:
            self.fixed[node.output[0]] = numpy_helper.to_array(node.attribute[0].t)
            self.nodes.remove(node)
        self.made_by = {name: node for node in self.nodes for name in node.output}
        self.rounded = {node.input[0] for node in self.nodes if node.op_type == "QuantizeLinear"}
        unknown = {node.op_type for node in self.nodes} - {*_PLAIN, *SHAPES, *_METHODS}
        if unknown:
            raise InputError(f"it has no operator for ONNX's {', '.join(sorted(unknown))}")
        for node in [node for node in self.nodes if self._restores_weights(node)]:
            self._keep_weights(node)
        self.places: dict[str, str] = {}
        for name in sorted({name for node in self.nodes for name in node.input} & {*self.fixed}):
            self.places[name] = f"constant_{len(self.places)}"
            self.register_buffer(self.places[name], torch.from_numpy(self.fixed[name].copy()))
        self.eval()

    def _restores_weights(self, node: NodeProto) -> bool:
        return node.op_type == "DequantizeLinear" and node.input[0] in self.fixed

    def _keep_weights(self, node: NodeProto) -> None:
        """Keep stored numbers in 8 bits for layers that compute so, and else as floats."""
        stored, (scale, _) = self.fixed[node.input[0]], self._scales(node)
        readers = [one for one in self.nodes if node.output[0] in one.input]
        if stored.dtype == np.int8 and all(self._computes_in_8_bits(one) for one in readers):
            scales = np.broadcast_to(scale, stored.shape[:1]).astype(np.float32)
            self.fixed[f"{node.output[0]} scales"] = scales
            self.fixed[f"{node.output[0]} zeros"] = np.zeros(scales.shape, np.int64)
            node.input[1:] = [f"{node.output[0]} scales", f"{node.output[0]} zeros"]
            return
        wide = scale.reshape(-1, *[1] * (stored.ndim - 1)) if scale.ndim else scale
        self.fixed[node.output[0]] = (stored.astype(np.float64) * wide).astype(np.float32)
        self.nodes.remove(node)

    def forward(self, *images: Tensor) -> tuple[Tensor, ...]:
        """Outputs in their order, for inputs in theirs."""
        known = dict(zip(self.inputs, images, strict=True))
        for node in self.nodes:
            given = [self._tensor(name, known) for name in node.input if name]
            if node.op_type in _METHODS:
                found = getattr(self, _METHODS[node.op_type])(node, given)
            elif node.op_type in SHAPES:
                fixed = [self.fixed.get(name) for name in node.input]
                found = SHAPES[node.op_type](attributes_of(node), given, fixed)
            else:
                found = _PLAIN[node.op_type](*given)
            several = found if isinstance(found, tuple) else (found,)
            known |= zip(node.output, several, strict=False)
        return tuple(known[name] for name in self.outputs)

    def _tensor(self, name: str, known: dict[str, Tensor]) -> Tensor:
        return self.get_buffer(self.places[name]) if name in self.places else known[name]

    def _scales(self, node: NodeProto) -> tuple[NDArray[Any], NDArray[Any]]:
        """Scales and zero points of a node that rounds or undoes it."""
        scale = self.fixed[node.input[1]]
        zero = self.fixed[node.input[2]] if len(node.input) > 2 else np.zeros_like(scale)
        return scale, zero

    def _round(self, node: NodeProto, given: list[Tensor]) -> Tensor:
        scale, zero = self._scales(node)
        place = float(scale), int(zero) - _SHIFT
        found: Tensor = _QUANTISED.quantize_per_tensor.default(
            given[0], *place, _LOW, _HIGH, torch.int8
        )
        return found

    def _restore(self, node: NodeProto, given: list[Tensor]) -> Tensor:
        if self._restores_weights(node):
            kept = (*given, 0, -_HIGH, _HIGH, torch.int8)
            found: Tensor = _QUANTISED.dequantize_per_channel.default(*kept)
        else:
            scale, zero = self._scales(node)
            place = (float(scale), int(zero) - _SHIFT, _LOW, _HIGH, torch.int8)
            found = _QUANTISED.dequantize_per_tensor.default(given[0], *place)
        return found

    def _computes_in_8_bits(self, node: NodeProto) -> bool:
        """Whether what a layer reads and gives is rounded, so that a runtime can."""
        made = self.made_by.get(node.input[0])
        after = node.output[0]
        while after not in self.rounded:
            following = [one for one in self.nodes if after in one.input]
            if len(following) != 1 or following[0].op_type not in ("Relu", "Clip"):
                return False
            after = following[0].output[0]
        return made is not None and made.op_type == "DequantizeLinear"

    def _conv(self, node: NodeProto, given: list[Tensor]) -> Tensor:
        told = attributes_of(node)
        x, weight, bias = given[0], given[1], given[2] if len(given) > 2 else None
        top, left, bottom, right = told.get("pads", [0, 0, 0, 0])
        padding = (top, left)
        if (top, left) != (bottom, right):
            x, padding = functional.pad(x, (left, right, top, bottom)), (0, 0)
            before = self.made_by.get(node.input[0])
            if before is not None and before.op_type == "DequantizeLinear":
                # Rounded anew, which changes nothing, so that the padding is done in 8 bits too.
                x = self._restore(before, [self._round(before, [x])])
        return functional.conv2d(
            x,
            weight,
            bias,
            told.get("strides", [1, 1]),
            padding,
            told.get("dilations", [1, 1]),
            told.get("group", 1),
        )

    def _clip(self, node: NodeProto, given: list[Tensor]) -> Tensor:
        low, high = (
            float(self.fixed[node.input[k]]) if len(node.input) > k and node.input[k] else None
            for k in (1, 2)
        )
        return torch.clamp(given[0], low, high)

    def _gemm(self, node: NodeProto, given: list[Tensor]) -> Tensor:
        told = attributes_of(node)
        weight = given[1] if told.get("transB") else given[1].T
        return functional.linear(given[0], weight, given[2] if len(given) > 2 else None)


_METHODS = {
    "QuantizeLinear": "_round",
    "DequantizeLinear": "_restore",
    "Conv": "_conv",
    "Clip": "_clip",
    "Gemm": "_gemm",
}
_PLAIN: dict[str, Callable[..., Tensor]] = {
    "Add": torch.add,
    "And": torch.logical_and,
    "Div": torch.div,
    "Exp": torch.exp,
    "Floor": torch.floor,
    "Greater": torch.gt,
    "GreaterOrEqual": torch.ge,
    "Identity": lambda x: x,
    "Less": torch.lt,
    "LessOrEqual": torch.le,
    "Log": torch.log,
    "MatMul": torch.matmul,
    "Max": torch.maximum,
    "Min": torch.minimum,
    "Mul": torch.mul,
    "Neg": torch.neg,
    "Not": torch.logical_not,
    "Or": torch.logical_or,
    "Relu": torch.relu,
    "Sigmoid": torch.sigmoid,
    "Sqrt": torch.sqrt,
    "Sub": torch.sub,
    "Where": torch.where,
}


def attributes_of(node: NodeProto) -> dict[str, Any]:
    """A node's attributes by name."""
    return {one.name: onnx.helper.get_attribute_value(one) for one in node.attribute}
