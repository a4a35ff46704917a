"""Conversion of configurations to JSON and back, so that a run folder can be run again."""

from __future__ import annotations

import contextlib
import dataclasses
import types
import typing
from pathlib import Path
from typing import Any, TypeVar

from datasets.errors import InputError

Config = TypeVar("Config")
# How YAML writes them.
_NO_VALUE = ("null", "~", "")
_TRUTH = {"true": True, "false": False}


def to_json(config: object) -> dict[str, Any]:
    """Nested plain dict of a dataclass; paths become strings."""
    assert dataclasses.is_dataclass(config)
    return {
        key: to_json(value) if dataclasses.is_dataclass(value) else _plain(value)
        for key, value in ((f.name, getattr(config, f.name)) for f in dataclasses.fields(config))
    }


def _plain(value: object) -> object:
    if isinstance(value, tuple):
        return [_plain(one) for one in value]
    return str(value) if isinstance(value, Path) else value


def from_json(cls: type[Config], data: object, *, texts: bool = False) -> Config:
    """Rebuild a dataclass from JSON or YAML; fields that the file lacks keep their defaults.

    Args:
        cls: Class to build.
        data: Its fields, nested.
        texts: Numbers and truth values may be text, as the YAML reader leaves them.

    Raises:
        InputError: If the file has a field that the class does not have, or a value of the wrong
            type: such a value would otherwise reach paths and loops unchecked.
    """
    assert dataclasses.is_dataclass(cls)
    if not isinstance(data, dict):
        raise InputError(f"{data!r:.40} where a table of settings belongs")
    hints = typing.get_type_hints(cls)
    unknown = data.keys() - hints.keys()
    if unknown:
        raise InputError(
            f"unknown setting {sorted(unknown)[0]!r}: is it of another tool or version?"
        )
    values = {key: _typed(hints[key], value, key, texts) for key, value in data.items()}
    return typing.cast("Config", cls(**values))


def _typed(kind: Any, value: Any, key: str, texts: bool = False) -> Any:
    """A value from a file, converted to a field's type. Raises InputError if the type is wrong."""
    if dataclasses.is_dataclass(kind):
        return from_json(typing.cast("type[Any]", kind), value, texts=texts)
    origin, inner = typing.get_origin(kind), typing.get_args(kind)
    if origin in (typing.Union, types.UnionType):
        if type(None) in inner and (value is None or (texts and value in _NO_VALUE)):
            return None
        for one in inner:
            if one is not type(None):
                with contextlib.suppress(InputError):
                    return _typed(one, value, key, texts)
    elif origin is tuple and isinstance(value, list):
        each = inner[:1] * len(value) if inner[-1] is ... else inner
        if len(each) == len(value):
            pairs = zip(each, value, strict=True)
            return tuple(_typed(one, item, key, texts) for one, item in pairs)
    elif origin is typing.Literal and type(value) in map(type, inner) and value in inner:
        return value
    elif kind is Path and isinstance(value, str) and "\0" not in value:
        return Path(value)
    elif kind in (type(value), typing.Any) or (kind is float and type(value) is int):
        return value
    elif texts and isinstance(value, str):
        with contextlib.suppress(KeyError, ValueError):
            return _TRUTH[value.lower()] if kind is bool else kind(value)
    raise InputError(f"setting {key!r}: {value!r:.60} is no {getattr(kind, '__name__', kind)}")
