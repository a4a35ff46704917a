"""TensorFlow Lite files, quantised or float: their convolutions as PyTorch tensors."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import tflite
import torch
from numpy.typing import NDArray

from backbone.flavour import Flavour, InputSpec
from backbone.formats.folded import EPS, Chain, FoldedConv, chain_conventions, read_chain
from backbone.formats.network import BODY_CONVS, Network
from backbone.formats.partial import RGB
from datasets.errors import InputError
from datasets.lfs import refuse_pointer

_DTYPES = {
    tflite.TensorType.FLOAT32: np.float32,
    tflite.TensorType.INT32: np.int32,
    tflite.TensorType.UINT8: np.uint8,
    tflite.TensorType.INT8: np.int8,
}
_LOWEST = {tflite.TensorType.UINT8: 0, tflite.TensorType.INT8: -128}
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
# What else a classifier may hold: pooling, shapes, probabilities.
_HARMLESS = {
    "AVERAGE_POOL_2D",
    "DEQUANTIZE",
    "MEAN",
    "QUANTIZE",
    "RESHAPE",
    "SOFTMAX",
    "SQUEEZE",
}
# In the names of SSD's box predictors.
BOXES = "BoxEncodingPredictor"
# What a file's integer is to a byte of a photo: int8 counts from -128.
_BYTES = {"uint8": 0, "int8": 128}
# Of a quantised output range: half a step of 6 / 255.
_RANGE_TOLERANCE = 0.012


@dataclass(frozen=True)
class TfliteModel:
    """What a MobileNet importer needs of a file.

    Attributes:
        path: Of the file.
        convs: All convolutions in order of execution; a fully connected layer counts as one of
            1x1.
        others: Kinds of all other operators.
        input_shape: (height, width, channels).
        input_type: Of an image's values: ``uint8``, ``int8``, ``float32``.
        input_scale: The network sees (value - input_zero) * input_scale; 1 if it takes floats.
        input_zero: See ``input_scale``.
        constants: Other constant tensors by name, dequantised (SSD's anchors).
        options: Of the custom operator at the end, if there is one (SSD's post-processing).
        inputs: Names of that operator's input tensors.
    """

    path: Path
    convs: tuple[FoldedConv, ...]
    others: frozenset[str]
    input_shape: tuple[int, int, int]
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
        convs: list[FoldedConv] = []
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
        _, height, width, channels = first.ShapeAsNumpy().tolist()
        constants = {
            self._name(i): self._values(i)
            for i in range(self.graph.TensorsLength())
            if i not in used and self._is_constant(i)
        }
        return TfliteModel(
            path=self.path,
            convs=tuple(convs),
            others=frozenset(others),
            input_shape=(height, width, channels),
            input_type=np.dtype(_DTYPES[first.Type()]).name,
            input_scale=1.0 if scale is None else float(scale[0]),
            input_zero=0 if zero is None else int(zero[0]),
            constants=constants,
            options=options,
            inputs=inputs,
        )

    def _name(self, index: int) -> str:
        return str(self.graph.Tensors(index).Name().decode())

    def _conv(self, operator: Any, kind: int) -> FoldedConv:
        depthwise = kind == tflite.BuiltinOperator.DEPTHWISE_CONV_2D
        _, weights, bias = operator.InputsAsNumpy().tolist()
        name, values = self._name(weights), self._values(weights)
        table = operator.BuiltinOptions()
        if kind == tflite.BuiltinOperator.FULLY_CONNECTED:
            options = tflite.FullyConnectedOptions()
            options.Init(table.Bytes, table.Pos)
            stride, padding, values = 1, "same", values[:, None, None, :]
        else:
            options = tflite.DepthwiseConv2DOptions() if depthwise else tflite.Conv2DOptions()
            options.Init(table.Bytes, table.Pos)
            stride = options.StrideH()
            padding = "same" if options.Padding() == tflite.Padding.SAME else "no"
            if stride != options.StrideW():
                raise InputError(f"{self.path}: {name}: strides differ between the axes")
        # Stored as (1, kh, kw, channels) if depthwise, else (out, kh, kw, in).
        order = (3, 0, 1, 2) if depthwise else (0, 3, 1, 2)
        return FoldedConv(
            name=name,
            weight=torch.from_numpy(np.ascontiguousarray(values.transpose(order))),
            bias=torch.from_numpy(self._values(bias)),
            depthwise=depthwise,
            stride=stride,
            padding=padding,
            activation=self._activation(operator, options.FusedActivationFunction()),
        )

    def _activation(self, operator: Any, fused: int) -> str:
        """The fused activation; a quantised layer may leave it to its output's range of 0..6."""
        output = self.graph.Tensors(int(operator.OutputsAsNumpy()[0]))
        scale, zero = self._quantisation(output)
        is_plain = fused == tflite.ActivationFunctionType.NONE
        if is_plain and scale is not None and zero[0] == _LOWEST.get(output.Type()):
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
            if len(scale) > 1:
                # Of a bias some files name the axis of its kernel.
                axes[tensor.Quantization().QuantizedDimension() if values.ndim > 1 else 0] = -1
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


def has_boxes(model: TfliteModel) -> bool:
    """Whether a file has SSD's box predictors; else it may be a classifier."""
    return any(BOXES in conv.name for conv in model.convs)


def tflite_flavour(model: TfliteModel, convs: int = BODY_CONVS) -> Flavour:
    """Flavour of a TensorFlow Lite file: SAME padding, its activation and input scaling.

    Args:
        model: The file.
        convs: How many of its first convolutions carry an activation.

    Raises:
        InputError: If one of these layers pads or activates otherwise, or images are no integers.
    """
    padding, activation = chain_conventions(model.path, model.convs[:convs])
    if model.input_type not in _BYTES:
        raise InputError(
            f"{model.path}: takes {model.input_type} images; uint8 ones are understood"
        )
    mean, std = _scaling(model)
    return Flavour(
        padding=padding,  # type: ignore[arg-type]
        bn_eps=EPS,
        activation=activation,
        input=InputSpec(size=model.input_shape[0], mean=mean, std=std),
    )


def _scaling(model: TfliteModel) -> tuple[RGB, RGB]:
    """Mean and std: the network sees (integer - zero) * scale, which is (byte / 255 - mean) / std.

    An integer of int8 is the photo's byte - 128.
    """
    mean = (model.input_zero + _BYTES[model.input_type]) / 255
    return (mean,) * 3, (1 / (255 * model.input_scale),) * 3


def tflite_chain(model: TfliteModel) -> Chain:
    """The file's convolutions as what other formats of folded networks are, too."""
    takes_integers = model.input_type in _BYTES
    mean, std = _scaling(model) if takes_integers else (None, None)
    kind = "TensorFlow Lite, dequantised" if takes_integers else "TensorFlow Lite"
    return Chain(model.path, kind, model.convs, model.input_shape, mean, std)


def tflite_network(model: TfliteModel, head: TfliteModel | None = None) -> Network:
    """A whole classifier, or a body if the file ends with the pooled features.

    Args:
        model: The file.
        head: Another file that takes up where this one ends, if it has no classifier.

    Raises:
        InputError: If the layers are not those of a MobileNet v1, or the two do not fit together.
    """
    network = read_chain(tflite_chain(model), None)
    last = _last_layer(model, head)
    return network if last is None else read_chain(tflite_chain(model), last)


def _last_layer(model: TfliteModel, head: TfliteModel | None) -> FoldedConv | None:
    """The classifier's linear layer, from the file itself or from the one chained to it."""
    convs = model.convs[BODY_CONVS:]
    if head is not None:
        if convs:
            raise InputError(f"--head {head.path}: {model.path} has a classifier already")
        convs = head.convs
        if not convs:
            raise InputError(f"--head {head.path}: no layer in this file")
    path = model.path if head is None else head.path
    odd = sorted((model.others | (head.others if head else frozenset())) - _HARMLESS)
    if odd:
        raise InputError(f"{path}: not a MobileNet v1 classifier: it has {odd[0]}")
    if not convs:
        return None
    if len(convs) > 1 or convs[0].weight.shape[2:] != (1, 1) or convs[0].activation != "none":
        raise InputError(
            f"{path}: not a MobileNet v1 classifier: {len(convs)} layers after the body, the "
            f"first {tuple(convs[0].weight.shape)} with activation {convs[0].activation}; one "
            "linear layer is expected"
        )
    return convs[0]
