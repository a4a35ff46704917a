"""Reads TensorFlow's GraphDef, a protocol-buffers message, as nodes with their attributes."""

from __future__ import annotations

import math
import struct
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from backbone.formats.wire import as_bytes, as_int, as_text, read_fields, read_varint

# Largest number of values that the constants of a file may expand to, all together; a MobileNet v1
# has four million of all kinds.
_MOST = 2**26
_DTYPES: dict[int, Any] = {1: "<f4", 2: "<f8", 3: "<i4", 4: "u1", 9: "<i8", 12: "u1", 19: "<f2"}
# Fields of a TensorProto that hold values one by one, and how the fixed ones are packed.
_VALUES = {5: "<f4", 6: "<f8", 7: "", 10: ""}


class Budget:
    """Number of values that a file's constants may still expand to."""

    def __init__(self) -> None:
        self._left = _MOST

    def take(self, count: int) -> None:
        """Raises ValueError if there are too many."""
        self._left -= count
        if self._left < 0:
            raise ValueError(f"constants of more than {_MOST} values")


@dataclass(frozen=True)
class Node:
    """A node of a graph.

    Attributes:
        name: Name of the node and of its first output.
        op: Kind of operation.
        inputs: Names of the nodes that it reads, without those that only have to run before it.
        attrs: Attributes: numbers, texts, lists of them, shapes, or an array (``value``).
    """

    name: str
    op: str
    inputs: tuple[str, ...]
    attrs: Mapping[str, Any]


def parse_graph(data: memoryview) -> Iterator[Node]:
    """The nodes of a GraphDef.

    Args:
        data: The message.

    Raises:
        IndexError: If the data is not such a message.
        ValueError: If a constant does not fit.
    """
    budget = Budget()
    for number, value in read_fields(data):
        if number == 1:
            yield _parse_node(as_bytes(value), budget)


def _parse_node(data: memoryview, budget: Budget) -> Node:
    name, op, inputs, attrs = "", "", [], {}
    for number, value in read_fields(data):
        if number == 1:
            name = as_text(value)
        elif number == 2:
            op = as_text(value)
        elif number == 3:
            inputs.append(as_text(value))
        elif number == 5:
            entry = dict(read_fields(as_bytes(value)))
            attr = as_bytes(entry.get(2, memoryview(b"")))
            attrs[as_text(entry[1])] = _parse_attr(attr, budget)
    return Node(name, op, input_names(inputs), attrs)


def input_names(inputs: Iterable[str]) -> tuple[str, ...]:
    """Names of the nodes that are read: ``x:0`` is x, and ``^x`` only has to run before."""
    return tuple(one.removesuffix(":0") for one in inputs if not one.startswith("^"))


def _parse_attr(data: memoryview, budget: Budget) -> Any:
    for number, value in read_fields(data):
        if number == 1:
            return _parse_list(as_bytes(value))
        if number == 2:
            return as_text(value)
        if number in (3, 5, 6):
            return as_int(value)
        if number == 4:
            return struct.unpack("<f", as_bytes(value))[0]
        if number == 7:
            return _parse_shape(as_bytes(value))
        if number == 8:
            return _parse_tensor(as_bytes(value), budget)
    return None


def _parse_list(data: memoryview) -> list[Any]:
    """Texts or integers, packed or not."""
    found: list[Any] = []
    for number, value in read_fields(data):
        if number == 2:
            found.append(as_text(value))
        elif number == 3 and isinstance(value, int):
            found.append(value)
        elif number == 3:
            found += _varints(as_bytes(value))
    return found


def _varints(data: memoryview) -> list[int]:
    found, at = [], 0
    while at < len(data):
        number, at = read_varint(data, at)
        found.append(number - 2**64 if number >= 2**63 else number)
    return found


def _parse_shape(data: memoryview) -> list[int]:
    """Sides of a shape, -1 where one is open."""
    sides = []
    for number, value in read_fields(data):
        if number == 2:
            side = as_int(dict(read_fields(as_bytes(value))).get(1, 0))
            sides.append(side - 2**64 if side >= 2**63 else side)
    return sides


def _parse_tensor(data: memoryview, budget: Budget) -> NDArray[Any] | None:
    """A constant; None if it holds no numbers."""
    kind, shape, content = 0, list[int](), memoryview(b"")
    values: list[Any] = []
    for number, value in read_fields(data):
        if number == 1:
            kind = as_int(value)
        elif number == 2:
            shape = _parse_shape(as_bytes(value))
        elif number == 4:
            content = as_bytes(value)
        elif number in _VALUES and isinstance(value, int):
            values.append(value - 2**64 if value >= 2**63 else value)
        elif number in _VALUES:
            packed, form = as_bytes(value), _VALUES[number]
            values += np.frombuffer(packed, form).tolist() if form else _varints(packed)
    if kind not in _DTYPES:
        return None
    count = math.prod(shape)
    if min(shape, default=0) < 0 or count > _MOST:
        raise ValueError(f"a constant of shape {shape}")
    if len(content):
        return np.frombuffer(content, _DTYPES[kind]).reshape(shape)
    array = np.asarray(values or [0], _DTYPES[kind])
    if len(array) > max(count, 1):
        raise ValueError(f"{len(array)} values for a constant of shape {shape}")
    budget.take(count)
    # The last value is repeated for all that follow.
    return np.pad(array, (0, count - len(array)), mode="edge")[:count].reshape(shape)
