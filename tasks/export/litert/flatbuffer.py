"""A .tflite file as it is put together: tensors, operators, signature, notes."""

from __future__ import annotations

import importlib
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import flatbuffers
import numpy as np
from numpy.typing import NDArray

from datasets.errors import InputError
from tasks.runtime.litert_session import INSTALL

Array = NDArray[Any]
SIGNATURE = "serving_default"
_IDENTIFIER = b"TFL3"
_SCHEMA_VERSION = 3
# Codes from here on stand in the wider field alone.
_NARROW = 127
_TYPES = {
    "float32": "FLOAT32",
    "int16": "INT16",
    "int32": "INT32",
    "int64": "INT64",
    "int8": "INT8",
    "uint8": "UINT8",
    "bool": "BOOL",
}
# Versions of operators' forms: the runtime refuses those that it does not know, instead of
# computing something else. The first that takes signed bytes is 2 where it is not told here.
_VERSIONS = {"BROADCAST_TO": 2}
_INT8_VERSIONS = {
    "BROADCAST_TO": 2,
    "CONV_2D": 3,
    "DEPTHWISE_CONV_2D": 3,
    "FULLY_CONNECTED": 5,
    "QUANTIZE": 1,
    "RESHAPE": 1,
}


@dataclass(frozen=True)
class Quantisation:
    """What integers mean: real = scale (integer - zero).

    Attributes:
        scale: One number, or one for each channel.
        zero: Integers that stand for 0, as many.
        axis: Axis of the channels, among those of the tensor.
    """

    scale: tuple[float, ...]
    zero: tuple[int, ...]
    axis: int = 0


@dataclass(frozen=True)
class Options:
    """Settings of an operator: a table of the schema, and its fields."""

    table: str
    values: Mapping[str, Any]


def import_schema() -> Any:
    """LiteRT's own description of its files. Raises InputError if it is not installed."""
    try:
        return importlib.import_module("ai_edge_litert.schema_py_generated")
    except ImportError as error:
        raise InputError(f"--target litert needs LiteRT: {INSTALL}") from error


class FlatBuffer:
    """A model of one graph under construction."""

    def __init__(self) -> None:
        self._schema = import_schema()
        self._model = self._schema.ModelT()
        self._graph = self._schema.SubGraphT()
        self._model.version = _SCHEMA_VERSION
        self._model.description = "mobilenet-suite"
        # The first buffer is empty: of all tensors that are computed.
        self._model.buffers = [self._schema.BufferT()]
        self._model.subgraphs, self._model.operatorCodes = [self._graph], []
        self._model.metadata = []
        self._graph.tensors, self._graph.operators = [], []
        self._graph.name = "main"
        self._codes: dict[tuple[str, int], int] = {}
        self._meanings: dict[int, Quantisation] = {}

    def tensor(
        self,
        name: str,
        shape: Sequence[int],
        kind: str,
        quantisation: Quantisation | None = None,
        data: Array | None = None,
    ) -> int:
        """Add a tensor, with its values if it is constant; its number."""
        tensor = self._schema.TensorT()
        tensor.name, tensor.shape = name, [int(side) for side in shape]
        tensor.type = getattr(self._schema.TensorType, _TYPES[kind])
        tensor.buffer, tensor.hasRank = 0, True
        if data is not None:
            tensor.buffer = self._buffer(np.ascontiguousarray(data).tobytes())
        self._graph.tensors.append(tensor)
        number = len(self._graph.tensors) - 1
        if quantisation is not None:
            self.set_quantisation(number, quantisation)
        return number

    def set_quantisation(self, tensor: int, quantisation: Quantisation) -> None:
        """Say what the integers of a tensor mean."""
        told = self._schema.QuantizationParametersT()
        told.scale = np.array(quantisation.scale, np.float32)
        told.zeroPoint = np.array(quantisation.zero, np.int64)
        told.quantizedDimension = quantisation.axis
        self._graph.tensors[tensor].quantization = told
        self._meanings[tensor] = quantisation

    def quantisation(self, tensor: int) -> Quantisation | None:
        """Quantisation of a tensor's integers, if it is stated."""
        return self._meanings.get(tensor)

    def shape(self, tensor: int) -> tuple[int, ...]:
        """Of a tensor."""
        return tuple(self._graph.tensors[tensor].shape)

    def operator(
        self,
        kind: str,
        inputs: Sequence[int],
        outputs: Sequence[int],
        options: Options | None = None,
        *,
        version: int | None = None,
    ) -> None:
        """Add an operator, by the schema's name of it.

        ``version`` is that of the operator's form; by default the first that takes such tensors.
        """
        operator = self._schema.OperatorT()
        operator.inputs, operator.outputs = [*inputs], [*outputs]
        operator.opcodeIndex = self._code(kind, version or self._version(kind, inputs))
        if options is not None:
            table = getattr(self._schema, f"{options.table}T")()
            for name, value in options.values.items():
                assert hasattr(table, name), f"{options.table} has no {name}"
                setattr(table, name, value)
            operator.builtinOptions = table
            operator.builtinOptionsType = getattr(self._schema.BuiltinOptions, options.table)
        self._graph.operators.append(operator)

    def custom(
        self, name: str, inputs: Sequence[int], outputs: Sequence[int], options: bytes
    ) -> None:
        """Add an operator that runtimes know by its name."""
        operator = self._schema.OperatorT()
        operator.inputs, operator.outputs = [*inputs], [*outputs]
        operator.opcodeIndex = self._code("CUSTOM", 1, name)
        operator.customOptions = np.frombuffer(options, np.uint8)
        self._graph.operators.append(operator)

    def note(self, name: str, data: bytes) -> None:
        """Add a text or a file that travels with the model."""
        entry = self._schema.MetadataT()
        entry.name, entry.buffer = name, self._buffer(data)
        self._model.metadata.append(entry)

    def finish(self, inputs: Mapping[str, int], outputs: Mapping[str, int]) -> None:
        """Name what goes in and comes out; operators that nothing depends on are dropped."""
        self._graph.inputs, self._graph.outputs = [*inputs.values()], [*outputs.values()]
        self._drop_unread()
        signature = self._schema.SignatureDefT()
        signature.signatureKey, signature.subgraphIndex = SIGNATURE, 0
        signature.inputs = self._named(inputs, self._graph.inputs)
        signature.outputs = self._named(outputs, self._graph.outputs)
        self._model.signatureDefs = [signature]

    def save(self, file: Path) -> None:
        """Write the model."""
        builder = flatbuffers.Builder(1 << 20)
        builder.Finish(self._model.Pack(builder), file_identifier=_IDENTIFIER)
        file.write_bytes(bytes(builder.Output()))

    def _named(self, names: Mapping[str, int], tensors: Sequence[int]) -> list[Any]:
        found = []
        for name, tensor in zip(names, tensors, strict=True):
            entry = self._schema.TensorMapT()
            entry.name, entry.tensorIndex = name, tensor
            found.append(entry)
        return found

    def _drop_unread(self) -> None:
        wanted, kept = set(self._graph.outputs), []
        for operator in reversed(self._graph.operators):
            if wanted.intersection(operator.outputs):
                wanted.update(operator.inputs)
                kept.append(operator)
        self._graph.operators = kept[::-1]
        made = {tensor for operator in kept for tensor in operator.outputs}
        used = sorted((wanted | made | {*self._graph.inputs}) - {-1})
        places = {tensor: place for place, tensor in enumerate(used)} | {-1: -1}
        self._graph.tensors = [self._graph.tensors[tensor] for tensor in used]
        for holder in (*kept, self._graph):
            holder.inputs = [places[tensor] for tensor in holder.inputs]
            holder.outputs = [places[tensor] for tensor in holder.outputs]
        self._drop_buffers()
        self._drop_codes()
        self._name_apart()

    def _name_apart(self) -> None:
        """Give no two tensors one name, because other tools know tensors by their names."""
        taken: set[str] = set()
        met: Counter[str] = Counter()
        ends = {*self._graph.inputs, *self._graph.outputs}
        for place in sorted(range(len(self._graph.tensors)), key=lambda one: one not in ends):
            tensor = self._graph.tensors[place]
            plain = tensor.name
            while tensor.name in taken:
                met[plain] += 1
                tensor.name = f"{plain}_{met[plain]}"
            taken.add(tensor.name)

    def _drop_buffers(self) -> None:
        holders = [*self._graph.tensors, *self._model.metadata]
        used = sorted({0, *(one.buffer for one in holders)})
        places = {buffer: place for place, buffer in enumerate(used)}
        self._model.buffers = [self._model.buffers[buffer] for buffer in used]
        for one in holders:
            one.buffer = places[one.buffer]

    def _drop_codes(self) -> None:
        used = sorted({one.opcodeIndex for one in self._graph.operators})
        places = {code: place for place, code in enumerate(used)}
        self._model.operatorCodes = [self._model.operatorCodes[code] for code in used]
        for one in self._graph.operators:
            one.opcodeIndex = places[one.opcodeIndex]

    def _buffer(self, data: bytes) -> int:
        buffer = self._schema.BufferT()
        buffer.data = np.frombuffer(data, np.uint8)
        self._model.buffers.append(buffer)
        return len(self._model.buffers) - 1

    def _version(self, kind: str, inputs: Sequence[int]) -> int:
        types = [self._graph.tensors[one].type for one in inputs if one >= 0]
        if self._schema.TensorType.INT8 not in types[:2]:
            return _VERSIONS.get(kind, 1)
        return _INT8_VERSIONS.get(kind, 2)

    def _code(self, kind: str, version: int, custom: str = "") -> int:
        key = (custom or kind, version)
        if key not in self._codes:
            code = self._schema.OperatorCodeT()
            code.builtinCode = getattr(self._schema.BuiltinOperator, kind)
            code.deprecatedBuiltinCode = min(code.builtinCode, _NARROW)
            code.version = version
            code.customCode = custom or None
            self._model.operatorCodes.append(code)
            self._codes[key] = len(self._model.operatorCodes) - 1
        return self._codes[key]
