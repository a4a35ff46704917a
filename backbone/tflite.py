"""Reading the convolutions of a TensorFlow Lite file, quantised or float, as PyTorch tensors."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import tflite
import torch
from numpy.typing import NDArray
from torch import Tensor

from datasets.errors import InputError
from datasets.lfs import refuse_pointer

_DTYPES = {
    tflite.TensorType.FLOAT32: np.float32,
    tflite.TensorType.INT32: np.int32,
    tflite.TensorType.UINT8: np.uint8,
    tflite.TensorType.INT8: np.int8,
}
_ACTIVATIONS = {
    tflite.ActivationFunctionType.NONE: "none",
    tflite.ActivationFunctionType.RELU: "relu",
    tflite.ActivationFunctionType.RELU6: "relu6",
}
_CONVS = (
    tflite.BuiltinOperator.CONV_2D,
    tflite.BuiltinOperator.DEPTHWISE_CONV_2D,
    tflite.BuiltinOperator.FULLY_CONNECTED,
)
_NAMES = {number: name for name, number in vars(tflite.BuiltinOperator).items() if name.isupper()}
# Of a quantised output range: half a step of 6 / 255.
_RANGE_TOLERANCE = 0.012


@dataclass(frozen=True)
class TfliteConv:
    """One convolution, dequantised.

    Attributes:
        name: Of its weight tensor.
        weight: (out, in, kh, kw); (out, 1, kh, kw) if depthwise.
        bias: (out,), which holds the folded batch norm.
        depthwise: Whether each channel has its own filter.
        stride: In both directions.
        same: SAME padding (else VALID).
        activation: ``none``, ``relu`` or ``relu6``.
    """

    name: str
    weight: Tensor
    bias: Tensor
    depthwise: bool
    stride: int
    same: bool
    activation: str


@dataclass(frozen=True)
class TfliteModel:
    """What a MobileNet importer needs of a file.

    Attributes:
        path: Of the file.
        convs: All convolutions in order of execution; a fully connected layer counts as one of
            1x1.
        others: Kinds of all other operators.
        input_size: (height, width).
        input_type: Of an image's values: ``uint8``, ``int8``, ``float32``.
        input_scale: The network sees (byte - input_zero) * input_scale; 1 if it takes floats.
        input_zero: See ``input_scale``.
        constants: Other constant tensors by name, dequantised (SSD's anchors).
        options: Of the custom operator at the end, if there is one (SSD's post-processing).
        inputs: Names of that operator's input tensors.
    """

    path: Path
    convs: tuple[TfliteConv, ...]
    others: frozenset[str]
    input_size: tuple[int, int]
    input_type: str
    input_scale: float
    input_zero: int
    constants: dict[str, NDArray[np.float32]]
    options: dict[str, Any]
    inputs: tuple[str, ...]


def read_tflite(path: Path) -> TfliteModel:
    """Read a file.

    Raises:
        InputError: If it is missing, damaged, or uses a tensor type that is not understood.
    """
    if not path.is_file():
        raise InputError(f"{path}: no such file")
    data = path.read_bytes()
    refuse_pointer(path, data)
    if data[4:8] != b"TFL3":
        raise InputError(f"{path}: not a TensorFlow Lite file")
    try:
        return _Reader(path, data).read()
    except InputError:
        raise
    except Exception as error:  # flatbuffers and struct raise kinds of their own.
        raise InputError(f"{path}: damaged TensorFlow Lite file ({error})") from error


class _Reader:
    def __init__(self, path: Path, data: bytes) -> None:
        self.path = path
        self.model = tflite.Model.GetRootAsModel(data, 0)
        self.graph = self.model.Subgraphs(0)

    def read(self) -> TfliteModel:
        convs: list[TfliteConv] = []
        options: dict[str, Any] = {}
        inputs: tuple[str, ...] = ()
        others: set[str] = set()
        used: set[int] = set()
        for number in range(self.graph.OperatorsLength()):
            operator = self.graph.Operators(number)
            code = self.model.OperatorCodes(operator.OpcodeIndex())
            kind = max(code.BuiltinCode(), code.DeprecatedBuiltinCode())
            if kind in _CONVS:
                convs.append(self._conv(operator, kind))
                used.update(operator.InputsAsNumpy().tolist())
                continue
            others.add(_NAMES.get(kind, f"operator {kind}"))
            if kind == tflite.BuiltinOperator.CUSTOM and operator.CustomOptionsLength():
                from flatbuffers import flexbuffers

                options = flexbuffers.Loads(bytes(operator.CustomOptionsAsNumpy()))
                inputs = tuple(map(self._name, operator.InputsAsNumpy().tolist()))
        first = self.graph.Tensors(int(self.graph.InputsAsNumpy()[0]))
        scale, zero = self._quantisation(first)
        _, height, width, _ = first.ShapeAsNumpy().tolist()
        constants = {
            self._name(i): self._values(i)
            for i in range(self.graph.TensorsLength())
            if i not in used and self._is_constant(i)
        }
        return TfliteModel(
            path=self.path,
            convs=tuple(convs),
            others=frozenset(others),
            input_size=(height, width),
            input_type=np.dtype(_DTYPES[first.Type()]).name,
            input_scale=1.0 if scale is None else float(scale[0]),
            input_zero=0 if zero is None else int(zero[0]),
            constants=constants,
            options=options,
            inputs=inputs,
        )

    def _name(self, index: int) -> str:
        return str(self.graph.Tensors(index).Name().decode())

    def _conv(self, operator: Any, kind: int) -> TfliteConv:
        depthwise = kind == tflite.BuiltinOperator.DEPTHWISE_CONV_2D
        _, weights, bias = operator.InputsAsNumpy().tolist()
        name, values = self._name(weights), self._values(weights)
        table = operator.BuiltinOptions()
        if kind == tflite.BuiltinOperator.FULLY_CONNECTED:
            options = tflite.FullyConnectedOptions()
            options.Init(table.Bytes, table.Pos)
            stride, same, values = 1, True, values[:, None, None, :]
        else:
            options = tflite.DepthwiseConv2DOptions() if depthwise else tflite.Conv2DOptions()
            options.Init(table.Bytes, table.Pos)
            stride, same = options.StrideH(), options.Padding() == tflite.Padding.SAME
            if stride != options.StrideW():
                raise InputError(f"{self.path}: {name}: strides differ between the axes")
        # Stored as (1, kh, kw, channels) if depthwise, else (out, kh, kw, in).
        order = (3, 0, 1, 2) if depthwise else (0, 3, 1, 2)
        return TfliteConv(
            name=name,
            weight=torch.from_numpy(np.ascontiguousarray(values.transpose(order))),
            bias=torch.from_numpy(self._values(bias)),
            depthwise=depthwise,
            stride=stride,
            same=same,
            activation=self._activation(operator, options.FusedActivationFunction()),
        )

    def _activation(self, operator: Any, fused: int) -> str:
        """The fused activation; a quantised layer may leave it to its output's range of 0..6."""
        scale, zero = self._quantisation(self.graph.Tensors(int(operator.OutputsAsNumpy()[0])))
        if fused == tflite.ActivationFunctionType.NONE and scale is not None and not zero[0]:
            return "relu6" if abs(255 * scale[0] - 6) < _RANGE_TOLERANCE else "none"
        return _ACTIVATIONS[fused]

    def _is_constant(self, index: int) -> bool:
        tensor = self.graph.Tensors(index)
        known = tensor.Type() in _DTYPES
        return known and self.model.Buffers(tensor.Buffer()).DataLength() > 0

    def _values(self, index: int) -> NDArray[np.float32]:
        """A constant tensor, dequantised along its own axis if it has a scale per channel."""
        tensor, name = self.graph.Tensors(index), self._name(index)
        if tensor.Type() not in _DTYPES:
            raise InputError(f"{self.path}: {name}: tensor type {tensor.Type()} is not known")
        raw = self.model.Buffers(tensor.Buffer()).DataAsNumpy().tobytes()
        shape = tensor.ShapeAsNumpy() if tensor.ShapeLength() else ()
        values = np.frombuffer(raw, _DTYPES[tensor.Type()]).reshape(shape).astype(np.float64)
        scale, zero = self._quantisation(tensor)
        if scale is not None:
            axes = [1] * values.ndim
            axes[tensor.Quantization().QuantizedDimension()] = -1
            values = (values - zero.reshape(axes)) * scale.reshape(axes)
        return values.astype(np.float32)

    @staticmethod
    def _quantisation(tensor: Any) -> tuple[Any, Any]:
        """Scales and zero points (one, or one per channel), or None twice for plain values."""
        quantisation = tensor.Quantization()
        if quantisation is None or not quantisation.ScaleLength():
            return None, None
        scale = quantisation.ScaleAsNumpy().astype(np.float64)
        given = quantisation.ZeroPointLength()
        return scale, quantisation.ZeroPointAsNumpy() if given else np.zeros(len(scale))
