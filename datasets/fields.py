"""Typed reading of JSON and YAML contents: every error names the file and the place."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from datasets.errors import InputError

# Numbers as files write them; Python itself would accept 1_000 and "infinity", too.
_NUMBER = re.compile(r"[+-]?(\d+(\.\d*)?|\.\d+)([eE][+-]?\d+)?|[+-]?inf|nan", re.ASCII | re.I)
_LARGEST = 2**53  # Above it, floats skip whole numbers.
_SHOWN = 60


class Fields:
    """An object in a file, whose fields are checked as they are read.

    Messages name the file, and the place of the object in it: ``("annotations", 3)``.
    """

    __slots__ = ("file", "place", "values")

    def __init__(
        self, file: Path | str, values: Mapping[str, Any], place: tuple[str | int, ...] = ()
    ) -> None:
        self.file, self.values, self.place = file, values, place

    @classmethod
    def of(cls, file: Path | str, value: object, place: tuple[str | int, ...] = ()) -> Fields:
        """Check that a value is an object.

        Raises:
            InputError: If it is something else.
        """
        if not isinstance(value, dict):
            raise _error(file, place, f"{show(value)}; an object with named fields is needed")
        return cls(file, value, place)

    def error(self, key: str, needed: str) -> InputError:
        """The error for a field that cannot be used.

        Args:
            key: Name of the field.
            needed: Description of what would be right.
        """
        if key not in self.values:
            return _error(self.file, self.place, f"no {key!r}; {needed}")
        return _error(self.file, (*self.place, key), f"{show(self.values[key])}; {needed}")

    def has(self, key: str) -> bool:
        """Whether a field exists and is not null."""
        return self.values.get(key) is not None

    def text(self, key: str) -> str:
        """A text.

        Raises:
            InputError: If it is not a text, or contains what no file system or text file can hold.
        """
        value = self.values.get(key)
        if not isinstance(value, str) or not is_clean(value):
            raise self.error(key, "a text is needed")
        return value

    def number(self, key: str) -> float:
        """A number, which may be infinite or NaN; digits in quotes count.

        Raises:
            InputError: If it is something else.
        """
        value = as_number(self.values.get(key))
        if value is None:
            raise self.error(key, "a number is needed")
        return value

    def numbers(self, key: str, count: int, about: str) -> list[float]:
        """A fixed number of numbers.

        Args:
            key: Name of the field.
            count: How many numbers are needed.
            about: Description of the numbers, for the message.

        Raises:
            InputError: If it is something else.
        """
        value = self.values.get(key)
        found = [as_number(one) for one in value] if isinstance(value, list) else []
        numbers = [one for one in found if one is not None]
        if len(numbers) != count or len(found) != count:
            raise self.error(key, f"{about} are needed")
        return numbers

    def whole(self, key: str, low: int = 0, high: int = 2**31 - 1) -> int:
        """An integer within bounds; ``3.0`` and ``"3"`` count.

        Raises:
            InputError: If it is something else.
        """
        value = as_whole(self.values.get(key))
        if value is None or not low <= value <= high:
            raise self.error(key, f"a whole number from {low} to {high} is needed")
        return value

    def flag(self, key: str) -> bool:
        """True or false, or 1 or 0, in quotes or not; an absent field is false.

        Raises:
            InputError: If it is something else.
        """
        value = self.values.get(key)
        if value is None or isinstance(value, bool):
            return bool(value)
        if isinstance(value, str) and value.strip().lower() in ("true", "false"):
            return value.strip().lower() == "true"
        if (number := as_whole(value)) not in (0, 1):
            raise self.error(key, "0 or 1 is needed")
        return bool(number)

    def key(self, key: str) -> int | str:
        """The key of a row: an integer of any size, or a text.

        ``7``, ``7.0`` and ``"7"`` are the same, because exports mix them.

        Raises:
            InputError: If it is something else.
        """
        value = self.values.get(key)
        whole = as_whole(value)
        if whole is not None:
            return whole
        if not isinstance(value, str) or not value or not is_clean(value):
            raise self.error(key, "a whole number or a text is needed")
        return value

    def objects(self, key: str) -> list[Fields]:
        """A list of objects.

        Raises:
            InputError: If it is something else.
        """
        value = self.values.get(key)
        if not isinstance(value, list):
            raise self.error(key, "a list is needed")
        return [Fields.of(self.file, one, (*self.place, key, k)) for k, one in enumerate(value)]

    def inner(self, key: str) -> Fields:
        """An object inside this one.

        Raises:
            InputError: If it is something else.
        """
        value = self.values.get(key)
        if not isinstance(value, dict):
            raise self.error(key, "an object with named fields is needed")
        return Fields(self.file, value, (*self.place, key))

    def __str__(self) -> str:
        """File and place."""
        place = _path(self.place)
        return f"{self.file}: {place}" if place else str(self.file)


def as_number(value: object) -> float | None:
    """A number, or the number that a text represents; None for anything else."""
    if isinstance(value, float):
        return value
    if isinstance(value, str):
        return float(value) if _NUMBER.fullmatch(value.strip()) else None
    if isinstance(value, bool) or not isinstance(value, int):
        return None
    try:
        return float(value)
    except OverflowError:
        return math.inf if value > 0 else -math.inf


def as_whole(value: object) -> int | None:
    """An integer of any size, as a number or a text; None for anything else."""
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    if isinstance(value, str) and re.fullmatch(r"[+-]?(0|[1-9][0-9]{0,99})", value):
        return int(value)
    if isinstance(value, str) and not re.fullmatch(r"[+-]?\d+\.0*", value, re.ASCII):
        return None
    number = as_number(value)
    if number is None or not number.is_integer() or abs(number) > _LARGEST:
        return None
    return int(number)


def is_clean(text: str) -> bool:
    """Whether a text can be a file name and can be written as UTF-8."""
    return "\0" not in text and not any("\ud800" <= letter <= "\udfff" for letter in text)


def show(value: object) -> str:
    """A value in JSON notation, shortened for a message."""
    if value is None:
        return "null"
    if isinstance(value, dict):
        return "an object"
    if isinstance(value, str | list) and len(value) > _SHOWN:
        return f"{value[:_SHOWN]!r}..."
    text = repr(value)
    return text if len(text) <= 3 * _SHOWN else f"{text[: 3 * _SHOWN]}..."


def _path(place: tuple[str | int, ...]) -> str:
    """A place as messages name it: ``annotations[3].bbox``, or ``line 3: bbox`` in a table."""
    if place and isinstance(place[0], str) and place[0].startswith("line "):
        return ": ".join(one for one in (place[0], _path(place[1:])) if one)
    return "".join(f"[{k}]" if isinstance(k, int) else f".{k}" for k in place).removeprefix(".")


def _error(file: Path | str, place: tuple[str | int, ...], problem: str) -> InputError:
    at = _path(place)
    return InputError(f"{file}: {at}: {problem}" if at else f"{file}: {problem}")
