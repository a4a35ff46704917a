"""Checks the fields of a card against the types in the code."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import fields
from types import UnionType
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

from datasets.errors import InputError

_SHOWN = 60  # Letters of a value in a message.


def refuse_other_types(values: Mapping[str, Any], kind: type[Any]) -> None:
    """Check that values read from a file have the types of a dataclass's fields.

    Numbers must be finite; an integer counts as a float, a list as a tuple. Names that the
    dataclass does not have are left to the caller.

    Args:
        values: Values by field name.
        kind: The dataclass.

    Raises:
        InputError: If a value has the wrong type; the message names the field, the value and what
            is needed.
    """
    hints = get_type_hints(kind)
    for field in fields(kind):
        if field.name in values:
            needed = _needed(values[field.name], hints[field.name])
            if needed:
                raise InputError(
                    f"{field.name} is {repr(values[field.name])[:60]}; {needed} is needed"
                )


def _needed(value: Any, hint: Any) -> str:
    """Description of what is needed in place of a value; empty if the value is right."""
    origin, inner = get_origin(hint), get_args(hint)
    if origin is Literal:
        return "" if value in inner else f"one of {', '.join(map(str, inner))}"
    if origin is tuple:
        if not isinstance(value, list | tuple):
            return "a list"
        kinds = [inner[0]] * len(value) if inner[-1] is Ellipsis else list(inner)
        if len(kinds) != len(value):
            return f"a list of {len(kinds)}"
        needs = (_needed(one, inside) for one, inside in zip(value, kinds, strict=True))
        return next(filter(None, needs), "")
    if origin in (Union, UnionType):
        wanted = [_needed(value, inside) for inside in inner]
        return "" if "" in wanted else " or ".join(wanted)
    if hint is type(None):
        return "" if value is None else "null"
    if origin is list:
        if not isinstance(value, list):
            return "a list"
        return next(filter(None, (_needed(one, inner[0]) for one in value)), "")
    if hint is bool:
        return "" if isinstance(value, bool) else "true or false"
    if hint is str:
        return "" if isinstance(value, str) else "a text"
    number = isinstance(value, int | float) and not isinstance(value, bool)
    if hint is int:
        return "" if number and isinstance(value, int) else "a whole number"
    if hint is float:
        return "" if number and _is_finite(value) else "a finite number"
    return ""


def _is_finite(value: float) -> bool:
    try:
        return math.isfinite(value)
    except OverflowError:  # A whole number that no float can hold.
        return False
