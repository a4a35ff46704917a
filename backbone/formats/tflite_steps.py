"""What each operator of a TensorFlow Lite graph does, and its constants, dequantised."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import tflite
from numpy.typing import NDArray

from backbone.formats.graph import Step, keeps_maps, worded
from datasets.errors import InputError

_TYPES = {
    tflite.TensorType.FLOAT16: np.float16,
    tflite.TensorType.FLOAT32: np.float32,
    tflite.TensorType.INT32: np.int32,
    tflite.TensorType.INT64: np.int64,
    tflite.TensorType.UINT8: np.uint8,
    tflite.TensorType.INT8: np.int8,
}
_LOWEST = {tflite.TensorType.UINT8: 0, tflite.TensorType.INT8: -128}
_FUSED = {
    tflite.ActivationFunctionType.RELU: "relu",
    tflite.ActivationFunctionType.RELU6: "relu6",
}
_KINDS = {number: name for name, number in vars(tflite.BuiltinOperator).items() if name.isupper()}
# For each, the table that holds its strides, its padding and its fused activation.
_CONVS = {
    "CONV_2D": tflite.Conv2DOptions,
    "DEPTHWISE_CONV_2D": tflite.DepthwiseConv2DOptions,
    "FULLY_CONNECTED": tflite.FullyConnectedOptions,
}
_ARITHMETIC = {
    "ADD": tflite.AddOptions,
    "DIV": tflite.DivOptions,
    "MUL": tflite.MulOptions,
    "SUB": tflite.SubOptions,
}
_POOLS = {"AVERAGE_POOL_2D", "MEAN"}
_ANSWERS = {"LOGISTIC": "a Sigmoid", "LOG_SOFTMAX": "a LogSoftmax", "SOFTMAX": "a Softmax"}
_IDLE = {
    *_POOLS,
    *_ANSWERS,
    "CAST",
    "DEQUANTIZE",
    "EXPAND_DIMS",
    "QUANTIZE",
    "RESHAPE",
    "SQUEEZE",
    "TRANSPOSE",
}
# Operators that only compute shapes.
_SHAPES = {"SHAPE"}
_VARIABLES = {"ASSIGN_VARIABLE", "READ_VARIABLE", "VAR_HANDLE"}
# Names that constants may have without any relation to their layer.
_NAMELESS = ("arith.constant", "tfl.pseudo_", "std.constant", "constant")
# Tolerance of a quantised output range: half a step of 6 / 255.
_RANGE_TOLERANCE = 0.012


@dataclass(frozen=True)
class Operator:
    """One operator of the graph.

    Attributes:
        table: Its table in the file.
        kind: Its name in TensorFlow Lite's schema, or the own name of a custom operator.
        inputs: Numbers of its input tensors, -1 for an optional one that is left out.
        outputs: Numbers of its output tensors.
    """

    table: Any
    kind: str
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]


class GraphReader:
    """The first graph of a file.

    Args:
        path: Path of the file, for errors.
        data: Content of the file.

    Raises:
        Exception: An exception of many kinds, here and in every method, if the file is damaged.
    """

    def __init__(self, path: Path, data: bytes) -> None:
        self.path = path
        self._model = tflite.Model.GetRootAsModel(data, 0)
        self.graph = self._model.Subgraphs(0)
        self.operators = [self._operator(k) for k in range(self.graph.OperatorsLength())]
        # Constants that an operator makes from others: weights kept as float16.
        self._made: dict[int, int] = {}
        for one in self.operators:
            if one.kind == "DEQUANTIZE" and self.is_constant(one.inputs[0]):
                self._made[one.outputs[0]] = one.inputs[0]

    def _operator(self, number: int) -> Operator:
        table = self.graph.Operators(number)
        code = self._model.OperatorCodes(table.OpcodeIndex())
        kind = max(code.BuiltinCode(), code.DeprecatedBuiltinCode())
        name = _KINDS.get(kind, f"operator {kind}")
        if kind == tflite.BuiltinOperator.CUSTOM and code.CustomCode():
            name = code.CustomCode().decode(errors="replace")
        inputs = table.InputsAsNumpy().tolist() if table.InputsLength() else ()
        outputs = table.OutputsAsNumpy().tolist() if table.OutputsLength() else ()
        return Operator(table, name, tuple(inputs), tuple(outputs))

    def name(self, tensor: int) -> str:
        """Name of a tensor."""
        return str((self.graph.Tensors(tensor).Name() or b"").decode(errors="replace"))

    def shape(self, tensor: int) -> list[int]:
        """Shape of a tensor; empty for a number."""
        row = self.graph.Tensors(tensor)
        return list(row.ShapeAsNumpy().tolist()) if row.ShapeLength() else []

    def type_name(self, tensor: int) -> str:
        """Type of a tensor's values, under numpy's name.

        Raises:
            InputError: If the type is unknown.
        """
        kind = self.graph.Tensors(tensor).Type()
        if kind not in _TYPES:
            raise InputError(
                f"{self.path}: {self.name(tensor)} takes values of type {kind}, which no image has"
            )
        return np.dtype(_TYPES[kind]).name

    def is_constant(self, tensor: int) -> bool:
        """Whether the file determines a tensor's values."""
        if tensor < 0 or tensor in self._made:
            return tensor >= 0
        return bool(self._model.Buffers(self.graph.Tensors(tensor).Buffer()).DataLength())

    def is_known(self, tensor: int) -> bool:
        """Whether the file itself holds a tensor's values, in a supported type."""
        known = self.graph.Tensors(tensor).Type() in _TYPES
        return known and tensor not in self._made and self.is_constant(tensor)

    def values(self, tensor: int) -> NDArray[np.float32]:
        """A constant, dequantised along its own axis if it has a scale per channel.

        Raises:
            InputError: If its type is unknown, or it is stored as sparse.
        """
        tensor = self._made.get(tensor, tensor)
        row, name = self.graph.Tensors(tensor), self.name(tensor)
        if row.Type() not in _TYPES:
            raise InputError(f"{self.path}: {name}: tensor type {row.Type()} is not known")
        if row.Sparsity() is not None:
            raise InputError(
                f"{self.path}: {name}: stored as sparse, which is not read: convert the model "
                "without sparsity"
            )
        raw = self._model.Buffers(row.Buffer()).DataAsNumpy().tobytes()
        kind = _TYPES[row.Type()]
        values = np.frombuffer(raw, kind).reshape(self.shape(tensor)).astype(np.float64)
        scale, zero = self.quantisation(tensor)
        if scale is not None:
            axes = [1] * values.ndim
            if len(scale) > 1:
                # Some files name the axis of the kernel for a bias.
                axes[row.Quantization().QuantizedDimension() if values.ndim > 1 else 0] = -1
            values = (values - zero.reshape(axes)) * scale.reshape(axes)
        return values.astype(np.float32)

    def quantisation(self, tensor: int) -> tuple[Any, Any]:
        """Scales and zero points (one, or one per channel), or None twice for plain values."""
        quantisation = self.graph.Tensors(tensor).Quantization()
        if quantisation is None or not quantisation.ScaleLength():
            return None, None
        scale = quantisation.ScaleAsNumpy().astype(np.float64)
        given = quantisation.ZeroPointLength()
        return scale, quantisation.ZeroPointAsNumpy() if given else np.zeros(len(scale))

    def is_layer(self, operator: Operator) -> bool:
        """Whether an operator is a convolution or a linear layer with its own weights."""
        return operator.kind in _CONVS and self.is_constant(operator.inputs[1])

    def steps(self) -> Iterator[Step]:
        """What each operator that reads a computed tensor does, in order.

        Raises:
            InputError: If weights are variables, which the file does not hold.
        """
        for operator in self.operators:
            if operator.kind in _VARIABLES:
                raise InputError(
                    f"{self.path}: its weights are variables ({operator.kind}) whose values it "
                    "does not hold, so that nothing can run it: convert the model again, with "
                    "TFLiteConverter.from_saved_model or from_keras_model"
                )
            computed = [k for k in operator.inputs if k >= 0 and not self.is_constant(k)]
            if computed and operator.outputs and operator.kind not in _SHAPES:
                yield from self._steps_of(operator, computed)

    def _steps_of(self, operator: Operator, computed: Sequence[int]) -> Iterator[Step]:
        kind, source, result = operator.kind, str(computed[0]), str(operator.outputs[0])
        is_first = operator.inputs[0] == computed[0] and len(computed) == 1
        fused = ""
        if self.is_layer(operator) and is_first:
            yield self._conv(operator, source, result)
            if len(operator.inputs) > 2 and operator.inputs[2] >= 0:
                bias = self.values(operator.inputs[2])
                yield Step("affine", self._name_of(operator), result, result, summand=bias)
            fused = self._fused(operator)
        elif kind in _ARITHMETIC and len(computed) == 1 and (is_first or kind in ("ADD", "MUL")):
            yield self._affine(operator, source, result)
            fused = self._fused(operator)
        elif (activation := self._activation(operator)) and len(computed) == 1:
            yield Step("act", self.name(int(result)), source, result, activation=activation)
        elif kind in ("PAD", "PADV2") and is_first and self._pads_maps(operator):
            pads = self.values(operator.inputs[1])[1:3].T.reshape(-1).astype(int)
            name = self.name(int(result))
            yield Step("pad", name, source, result, pads=tuple(pads.tolist()))
        else:
            # Some reshape to a shape that they compute from the shape of the values.
            is_idle = kind in _IDLE and (is_first or kind == "RESHAPE")
            if kind == "TRANSPOSE" and is_idle:
                is_idle = keeps_maps(self.values(operator.inputs[1]).astype(int).tolist())
            told, name = _ANSWERS.get(kind, worded(kind)), self.name(int(result))
            yield Step(
                "idle" if is_idle else "other",
                name,
                source,
                result,
                activation=told,
                pools=kind in _POOLS,
            )
        if fused:
            yield Step("act", self.name(int(result)), result, result, activation=fused)

    def _name_of(self, operator: Operator) -> str:
        """Name of a layer: that of its weights, or of its output if theirs is generic."""
        weights = operator.inputs[1]
        name = self.name(self._made.get(weights, weights))
        return self.name(operator.outputs[0]) if name.startswith(_NAMELESS) else name

    def _conv(self, operator: Operator, source: str, result: str) -> Step:
        """A convolution or a linear layer, without its bias."""
        name, values = self._name_of(operator), self.values(operator.inputs[1]).astype(np.float64)
        if operator.kind == "FULLY_CONNECTED":
            return Step("conv", name, source, result, values[:, :, None, None])
        options = _options(operator)
        stride, depthwise = options.StrideH(), operator.kind == "DEPTHWISE_CONV_2D"
        if stride != options.StrideW():
            raise InputError(f"{self.path}: {name}: strides differ between the axes")
        if max(options.DilationHFactor(), options.DilationWFactor()) > 1:
            return Step("other", name, source, result, activation="a dilated convolution")
        # Stored as (1, kh, kw, channels) if depthwise, else (out, kh, kw, in).
        weight = values.transpose((3, 0, 1, 2) if depthwise else (0, 3, 1, 2))
        pads: Any = "same" if options.Padding() == tflite.Padding.SAME else (0, 0, 0, 0)
        return Step("conv", name, source, result, weight, stride=stride, pads=pads)

    def _affine(self, operator: Operator, source: str, result: str) -> Step:
        """Arithmetic of a tensor and a constant."""
        name = self.name(int(result))
        number = next(self.values(k) for k in operator.inputs if self.is_constant(k))
        number = number.astype(np.float64)
        if operator.kind in ("MUL", "DIV"):
            factor = number if operator.kind == "MUL" else 1 / number
            return Step("affine", name, source, result, factor=factor)
        summand = number if operator.kind == "ADD" else -number
        return Step("affine", name, source, result, summand=summand)

    def _fused(self, operator: Operator) -> str:
        """The fused activation; a quantised layer may instead have an output range of 0..6."""
        options = _options(operator)
        fused = options.FusedActivationFunction() if options else 0
        if fused != tflite.ActivationFunctionType.NONE:
            return _FUSED.get(fused, f"a fused activation of kind {fused}")
        scale, zero = self.quantisation(operator.outputs[0])
        lowest = _LOWEST.get(self.graph.Tensors(operator.outputs[0]).Type())
        if operator.kind in _ARITHMETIC or scale is None or zero[0] != lowest:
            return ""
        return "relu6" if abs(255 * scale[0] - 6) < _RANGE_TOLERANCE else ""

    def _activation(self, operator: Operator) -> str:
        """Name of a separate activation; empty if the operator is none, or another one."""
        if operator.kind in ("RELU", "RELU6"):
            return operator.kind.lower()
        if operator.kind == "LEAKY_RELU":
            options = tflite.LeakyReluOptions()
            table = operator.table.BuiltinOptions()
            options.Init(table.Bytes, table.Pos)
            return f"leaky_relu:{options.Alpha():g}"
        known = {"MAXIMUM": (0.0, "relu"), "MINIMUM": (6.0, "min6")}
        limit, name = known.get(operator.kind, (0.0, ""))
        given = [self.values(k) for k in operator.inputs if self.is_constant(k)] if name else []
        return name if len(given) == 1 and given[0].size and (given[0] == limit).all() else ""

    def _pads_maps(self, operator: Operator) -> bool:
        """Whether zeros are added only to height and width."""
        if not all(self.is_constant(k) for k in operator.inputs[1:]):
            return False
        pads, *white = (self.values(k) for k in operator.inputs[1:])
        return pads.shape == (4, 2) and not pads[[0, 3]].any() and not any(v.any() for v in white)


def _options(operator: Operator) -> Any:
    """Table of the options of a convolution or arithmetic operator; None if there is none."""
    table = operator.table.BuiltinOptions()
    if table is None:
        return None
    options = (_CONVS | _ARITHMETIC)[operator.kind]()
    options.Init(table.Bytes, table.Pos)
    return options
