"""TensorFlow Lite files, written layer by layer as TensorFlow's converter lays them out."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import flatbuffers
import numpy as np
import tflite
from flatbuffers import flexbuffers
from numpy.typing import NDArray
from torch import Tensor

_TYPES = {
    "float16": tflite.TensorType.FLOAT16,
    "float32": tflite.TensorType.FLOAT32,
    "int32": tflite.TensorType.INT32,
    "uint8": tflite.TensorType.UINT8,
    "int8": tflite.TensorType.INT8,
}
RELU6 = (6 / 255, 0)
"""Scale and zero point of bytes from 0 to 6."""
LINEAR = (0.1, 128)
"""Of bytes from -12.8 to 12.7."""
_SHARES = (1 / 256, 0)
_Quantisation = tuple[float, int]


@dataclass
class _Tensor:
    name: str
    shape: tuple[int, ...]
    kind: str
    quantisation: _Quantisation | None = None
    data: bytes = b""


@dataclass
class _Operator:
    kind: int
    inputs: list[int]
    outputs: list[int]
    options: tuple[int, Callable[[Any], int]] | None = None
    custom: tuple[str, bytes] | None = None


class TfliteGraph:
    """A network of one input, in bytes or in floats.

    Args:
        shape: Of the input, (1, height, width, channels).
        quantised: Whether it computes in bytes.
        entry: Quantisation of the input's bytes; -1 to 1 by default.
        signed: Whether bytes count from -128, as newer files' do; zero points are given as if
            they did not.
        weights: How layers in floats keep their weights: ``float32``; ``float16``, from which the
            graph makes floats; or ``int8``, each of which counts steps.
    """

    def __init__(
        self,
        shape: Sequence[int],
        *,
        quantised: bool,
        entry: _Quantisation = (1 / 128, 128),
        signed: bool = False,
        weights: str = "float32",
    ) -> None:
        self.quantised, self.signed, self._kept = quantised, signed, weights
        self._tensors: list[_Tensor] = []
        self._operators: list[_Operator] = []
        self.input = self._result("input", shape, entry)

    def shape(self, tensor: int) -> tuple[int, ...]:
        """Of a tensor."""
        return self._tensors[tensor].shape

    def conv(
        self,
        x: int,
        weight: Tensor,
        bias: Tensor,
        *,
        name: str,
        stride: int = 1,
        range_: _Quantisation = RELU6,
        relu6: bool = False,
        as_depthwise: bool = False,
    ) -> int:
        """A convolution with SAME padding.

        Args:
            x: Its input.
            weight: (out, in, kh, kw); depthwise where in is 1 and the input has more.
            bias: (out,).
            name: Of the layer.
            stride: In both directions.
            range_: Of its output's bytes; from 0 to 6, they activate as well as ReLU6 does.
            relu6: Whether an activation is fused into it.
            as_depthwise: Whether it is written as depthwise even of one channel.
        """
        _, height, width, channels = self.shape(x)
        depthwise = as_depthwise or (weight.shape[1] == 1 and channels > 1)
        values = weight.numpy().transpose((1, 2, 3, 0) if depthwise else (0, 2, 3, 1))
        fused = getattr(tflite.ActivationFunctionType, "RELU6" if relu6 else "NONE")

        def options(b: Any) -> int:
            kind = "DepthwiseConv2DOptions" if depthwise else "Conv2DOptions"
            rows = {"Padding": tflite.Padding.SAME, "StrideH": stride, "StrideW": stride}
            more = {"DilationHFactor": 1, "DilationWFactor": 1, "FusedActivationFunction": fused}
            if depthwise:
                more["DepthMultiplier"] = 1
            return _table(b, kind, rows | more)

        code = "DEPTHWISE_CONV_2D" if depthwise else "CONV_2D"
        kind = "DepthwiseConv2DOptions" if depthwise else "Conv2DOptions"
        out = (1, -(-height // stride), -(-width // stride), weight.shape[0])
        return self._add(code, [x, *self._weights(x, values, bias, name)], out, name, range_,
                         (kind, options))  # fmt: skip

    def dense(self, x: int, weight: Tensor, bias: Tensor, *, name: str) -> int:
        """A fully connected layer, without activation, of weights (out, in)."""
        inputs = [x, *self._weights(x, weight.numpy(), bias, name)]
        shape = (1, weight.shape[0])
        return self._add("FULLY_CONNECTED", inputs, shape, name, LINEAR, ("FullyConnectedOptions",
                         lambda b: _table(b, "FullyConnectedOptions", {})))  # fmt: skip

    def pool(self, x: int) -> int:
        """The average over the whole map."""
        _, height, width, channels = self.shape(x)
        rows = {"Padding": tflite.Padding.VALID, "StrideH": 1, "StrideW": 1}
        rows |= {"FilterHeight": height, "FilterWidth": width}
        options = ("Pool2DOptions", lambda b: _table(b, "Pool2DOptions", rows))
        shape, name = (1, 1, 1, channels), "Logits/AvgPool_1a/AvgPool"
        return self._add("AVERAGE_POOL_2D", [x], shape, name, self._range(x), options)

    def arithmetic(
        self, x: int, code: str, number: Any, name: str, range_: _Quantisation = LINEAR
    ) -> int:
        """A tensor with a number, or one per channel: ADD, MUL, SUB, MAXIMUM or MINIMUM."""
        values = np.asarray(number, np.float32)
        if self.quantised:
            above, scale = float(values) > 0, abs(float(values)) / 255
            steps, zero = (255, 0) if above else (0, 255)
            kind, low = (np.int8, 128) if self.signed else (np.uint8, 0)
            given = self._constant(name, np.asarray(steps - low, kind), (scale, zero - low))
        else:
            given = self._constant(name, values)
        return self._add(code, [x, given], self.shape(x), f"{name}/{code}", range_)

    def plain(self, x: int, code: str, name: str) -> int:
        """An operator of no options that keeps a tensor's shape: RELU, say."""
        return self._add(code, [x], self.shape(x), name, self._range(x))

    def average(self, x: int, name: str) -> int:
        """Means over places of 3 by 3, in maps of the same size."""
        rows = {"Padding": tflite.Padding.SAME, "StrideH": 1, "StrideW": 1}
        rows |= {"FilterHeight": 3, "FilterWidth": 3}
        options = ("Pool2DOptions", lambda b: _table(b, "Pool2DOptions", rows))
        return self._add("AVERAGE_POOL_2D", [x], self.shape(x), name, self._range(x), options)

    def channels_last(self, x: int) -> int:
        """A photo (1, 3, height, width) as all layers take it."""
        _, channels, height, width = self.shape(x)
        order = self._constant("order", np.array([0, 2, 3, 1], np.int32))
        shape = (1, height, width, channels)
        return self._add("TRANSPOSE", [x, order], shape, "last", self._range(x))

    def reshape(self, x: int, shape: Sequence[int], name: str) -> int:
        """The same values in another shape."""
        target = self._constant(f"{name}/shape", np.array(shape, np.int32))
        return self._add("RESHAPE", [x, target], shape, name, self._range(x))

    def concatenate(self, parts: Sequence[int], axis: int, name: str) -> int:
        """Tensors of one range, one behind the other."""
        shape = list(self.shape(parts[0]))
        shape[axis] = sum(self.shape(part)[axis] for part in parts)
        options = ("ConcatenationOptions", lambda b: _table(b, "ConcatenationOptions",
                                                            {"Axis": axis}))  # fmt: skip
        return self._add("CONCATENATION", list(parts), shape, name, self._range(parts[0]), options)

    def probabilities(self, x: int, name: str, *, softmax: bool) -> int:
        """Softmax, or the logistic function of each value."""
        if not softmax:
            return self._add("LOGISTIC", [x], self.shape(x), name, _SHARES)
        options = ("SoftmaxOptions", lambda b: _table(b, "SoftmaxOptions", {"Beta": 1.0}))
        return self._add("SOFTMAX", [x], self.shape(x), name, _SHARES, options)

    def dequantise(self, x: int, name: str) -> int:
        """The same values in floats, as which all that follows computes."""
        self.quantised = False
        return self._add("DEQUANTIZE", [x], self.shape(x), name, LINEAR)

    def constant(self, name: str, values: NDArray[np.float32], scale: float) -> int:
        """A constant of the graph; in bytes from 0 on where it computes in bytes."""
        if not self.quantised:
            return self._constant(name, values)
        return self._constant(name, np.round(values / scale).astype(np.uint8), (scale, 0))

    def custom(self, name: str, inputs: Sequence[int], num_outputs: int, options: Any) -> None:
        """An operator that the runtime knows by name; its outputs end the graph."""
        outputs = []
        for number in range(num_outputs):
            self._tensors.append(_Tensor(f"{name}:{number}", (), "float32"))
            outputs.append(len(self._tensors) - 1)
        given = (name, bytes(flexbuffers.Dumps(options)))
        code = tflite.BuiltinOperator.CUSTOM
        self._operators.append(_Operator(code, list(inputs), outputs, custom=given))

    def write(self, path: Path) -> Path:
        """The graph as a file; it ends with the last operator."""
        b = flatbuffers.Builder(0)
        # The first buffer is empty, and that of all tensors that are no constants.
        buffers, tensors = [_table(b, "Buffer", {})], []
        for tensor in self._tensors:
            if tensor.data:
                data = b.CreateByteVector(tensor.data)
                buffers.append(_table(b, "Buffer", {"Data": data}))
            tensors.append(_write_tensor(b, tensor, len(buffers) - 1 if tensor.data else 0))
        codes = [_table(b, "OperatorCode", _code(b, operator)) for operator in self._operators]
        operators = [_write_operator(b, op, number) for number, op in enumerate(self._operators)]
        rows = {"Tensors": _vector(b, tensors), "Operators": _vector(b, operators)}
        rows["Inputs"] = b.CreateNumpyVector(np.array([self.input], np.int32))
        rows["Outputs"] = b.CreateNumpyVector(np.array(self._operators[-1].outputs, np.int32))
        graph = _table(b, "SubGraph", rows)
        model = {"Version": 3, "Subgraphs": _vector(b, [graph])}
        model |= {"OperatorCodes": _vector(b, codes), "Buffers": _vector(b, buffers)}
        b.Finish(_table(b, "Model", model), file_identifier=b"TFL3")
        path.write_bytes(bytes(b.Output()))
        return path

    def _range(self, tensor: int) -> _Quantisation:
        scale, zero = self._tensors[tensor].quantisation or LINEAR
        return scale, zero + 128 * self.signed

    def _result(self, name: str, shape: Sequence[int], range_: _Quantisation) -> int:
        kind = ("int8" if self.signed else "uint8") if self.quantised else "float32"
        given = (range_[0], range_[1] - 128 * self.signed) if self.quantised else None
        self._tensors.append(_Tensor(name, tuple(shape), kind, given))
        return len(self._tensors) - 1

    def _constant(
        self, name: str, values: NDArray[Any], given: _Quantisation | None = None
    ) -> int:
        data = np.ascontiguousarray(values).tobytes()
        self._tensors.append(_Tensor(name, values.shape, values.dtype.name, given, data))
        return len(self._tensors) - 1

    def _weights(self, x: int, values: NDArray[Any], bias: Tensor, name: str) -> list[int]:
        names = f"{name}/weights", f"{name}/bias"
        if not self.quantised and self._kept == "float16":
            halves = (values.astype(np.float16), bias.numpy().astype(np.float16))
            kept = [self._constant(*one) for one in zip(names, halves, strict=True)]
            return [
                self._add("DEQUANTIZE", [k], self.shape(k), f"{n}/floats", LINEAR)
                for k, n in zip(kept, names, strict=True)
            ]
        if not self.quantised and self._kept == "int8":
            scale = float(np.float32(np.abs(values).max() / 127))
            steps = np.round(values / scale).astype(np.int8)
            return [
                self._constant(names[0], steps, (scale, 0)),
                self._constant(names[1], bias.numpy()),
            ]
        if not self.quantised:
            pair = zip(names, (values, bias.numpy()), strict=True)
            return [self._constant(*one) for one in pair]
        low, high = min(float(values.min()), 0.0), max(float(values.max()), 0.0)
        # Scales are float32 in the file.
        scale = float(np.float32((high - low) / 255))
        zero = round(-low / scale)
        steps = np.clip(np.round(values / scale) + zero, 0, 255).astype(np.uint8)
        if self.signed:  # Runtimes take their zero for granted.
            scale, zero = float(np.float32(max(high, -low) / 127)), 0
            steps = np.clip(np.round(values / scale), -127, 127).astype(np.int8)
        both = float(np.float32(scale * self._range(x)[0]))
        sums = np.round(bias.numpy() / both).astype(np.int32)
        return [
            self._constant(names[0], steps, (scale, zero)),
            self._constant(names[1], sums, (both, 0)),
        ]

    def _add(
        self,
        code: str,
        inputs: list[int],
        shape: Sequence[int],
        name: str,
        range_: _Quantisation,
        options: tuple[str, Callable[[Any], int]] | None = None,
    ) -> int:
        out = self._result(name, shape, range_)
        kind = getattr(tflite.BuiltinOperator, code)
        given = None if options is None else (
            getattr(tflite.BuiltinOptions, options[0]), options[1]
        )  # fmt: skip
        self._operators.append(_Operator(kind, inputs, [out], given))
        return out


def _table(b: Any, kind: str, rows: dict[str, Any]) -> int:
    """A table of the schema; offsets that it holds were written before."""
    getattr(tflite, f"{kind}Start")(b)
    for name, value in rows.items():
        getattr(tflite, f"{kind}Add{name}")(b, value)
    return int(getattr(tflite, f"{kind}End")(b))


def _vector(b: Any, offsets: Iterable[int]) -> int:
    listed = list(offsets)
    b.StartVector(4, len(listed), 4)
    for offset in reversed(listed):
        b.PrependUOffsetTRelative(offset)
    return int(b.EndVector())


def _write_tensor(b: Any, tensor: _Tensor, buffer: int) -> int:
    rows = {"Name": b.CreateString(tensor.name), "Type": _TYPES[tensor.kind]}
    rows["Shape"] = b.CreateNumpyVector(np.array(tensor.shape, np.int32))
    rows["Buffer"] = buffer
    if tensor.quantisation is not None:
        scale, zero = tensor.quantisation
        parts = {"Scale": b.CreateNumpyVector(np.array([scale], np.float32))}
        parts["ZeroPoint"] = b.CreateNumpyVector(np.array([zero], np.int64))
        rows["Quantization"] = _table(b, "QuantizationParameters", parts)
    return _table(b, "Tensor", rows)


def _code(b: Any, operator: _Operator) -> dict[str, Any]:
    # The older field has a byte.
    rows = {"DeprecatedBuiltinCode": min(operator.kind, 127), "BuiltinCode": operator.kind}
    if operator.custom is not None:
        rows["CustomCode"] = b.CreateString(operator.custom[0])
    return {**rows, "Version": 1}


def _write_operator(b: Any, operator: _Operator, number: int) -> int:
    rows = {"OpcodeIndex": number}
    rows["Inputs"] = b.CreateNumpyVector(np.array(operator.inputs, np.int32))
    rows["Outputs"] = b.CreateNumpyVector(np.array(operator.outputs, np.int32))
    if operator.options is not None:
        kind, write = operator.options
        rows |= {"BuiltinOptions": write(b), "BuiltinOptionsType": kind}
    if operator.custom is not None:
        rows["CustomOptions"] = b.CreateByteVector(operator.custom[1])
    return _table(b, "Operator", rows)
