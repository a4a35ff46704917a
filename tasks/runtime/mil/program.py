"""MIL programs, as .mlpackage folders hold them, read and run."""

from __future__ import annotations

import struct
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tasks.runtime.mil.operators import OPERATORS

# Kinds of number, by their names in the format and how NumPy has them.
_DTYPES: dict[str, Any] = {
    "BOOL": np.bool_,
    "FLOAT16": np.float16,
    "FLOAT32": np.float32,
    "INT8": np.int8,
    "UINT8": np.uint8,
    "INT16": np.int16,
    "UINT16": np.uint16,
    "INT32": np.int32,
}
# Where a constant lies in the file of weights: a mark, kind, bytes, place.
_ENTRY, _MARK = struct.Struct("<IIQQ"), 0xDEADBEEF


class MilProgram:
    """A program's main function.

    Args:
        program: The message of that name, of coremltools' ``MIL_pb2``.
        weights: The file that its large constants lie in.

    Raises:
        NotImplementedError: If it has an operator that is none of
            :data:`tasks.runtime.mil.operators.OPERATORS`.
        ValueError: If a constant is damaged.
    """

    def __init__(self, program: Any, weights: Path) -> None:
        main = program.functions["main"]
        self._kinds = program.DESCRIPTOR.file.enum_types_by_name["DataType"].values_by_number
        self._weights = weights.read_bytes() if weights.is_file() else b""
        self._steps, self._constants = [], {}
        for step in main.block_specializations[main.opset].operations:
            if step.type == "const":
                self._constants[step.outputs[0].name] = self._value(step.attributes["val"])
            elif step.type == "classify" or step.type in OPERATORS:
                self._steps.append(step)
            else:
                raise NotImplementedError(f"the operator {step.type}")

    @property
    def operators(self) -> set[str]:
        """Kinds of operator that it is made of."""
        return {step.type for step in self._steps}

    def run(self, inputs: Mapping[str, NDArray[Any]]) -> dict[str, Any]:
        """All values by name, for inputs by name.

        Of a classifier the probabilities stand in order under the name of the dictionary that
        they are in Core ML.
        """
        known: dict[str, Any] = {**self._constants, **inputs}
        for step in self._steps:
            lists = {name: self._arguments(bound, known) for name, bound in step.inputs.items()}
            # Only what is called so takes any number; one of them alone is still several.
            given: dict[str, Any] = {
                name: one if name == "values" else one[0] for name, one in lists.items()
            }
            if step.type == "classify":
                found: Any = (given["probabilities"].argmax(), given["probabilities"])
            else:
                found = OPERATORS[step.type](**given)
            several = found if isinstance(found, tuple) else (found,)
            known |= zip((one.name for one in step.outputs), several, strict=True)
        return known

    def _arguments(self, bound: Any, known: Mapping[str, Any]) -> list[Any]:
        return [
            known[one.name] if one.WhichOneof("binding") == "name" else self._value(one.value)
            for one in bound.arguments
        ]

    def _value(self, value: Any) -> Any:
        """A constant: an array, a text or a list of texts."""
        kept = value.immediateValue
        if value.WhichOneof("value") == "immediateValue" and kept.WhichOneof("value") == "list":
            return [self._value(one) for one in kept.list.values]
        told = value.type.tensorType
        if self._kinds[told.dataType].name == "STRING":
            return kept.tensor.strings.values[0]
        dtype = np.dtype(_DTYPES[self._kinds[told.dataType].name])
        shape = [one.constant.size for one in told.dimensions]
        if value.WhichOneof("value") == "blobFileValue":
            return self._stored(value.blobFileValue.offset, dtype).reshape(shape)
        field = kept.tensor.WhichOneof("value")
        if field == "bytes":
            return np.frombuffer(kept.tensor.bytes.values, dtype).reshape(shape)
        values = getattr(kept.tensor, field).values if field else []
        return np.array(values, dtype).reshape(shape)

    def _stored(self, offset: int, dtype: np.dtype[Any]) -> NDArray[Any]:
        try:
            mark, _, size, place = _ENTRY.unpack_from(self._weights, offset)
            if mark == _MARK:
                return np.frombuffer(self._weights, dtype, size // dtype.itemsize, place)
        except struct.error:
            pass
        raise ValueError(f"no weights at byte {offset}")
