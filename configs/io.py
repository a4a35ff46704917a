"""Configurations to JSON and back, so that a run folder tells how to run it again."""

from __future__ import annotations

import dataclasses
import typing
from pathlib import Path
from typing import Any, TypeVar

from datasets.errors import InputError

Config = TypeVar("Config")


def to_json(config: object) -> dict[str, Any]:
    """Nested plain dict of a dataclass; paths become text."""
    assert dataclasses.is_dataclass(config)
    return {
        key: to_json(value) if dataclasses.is_dataclass(value) else _plain(value)
        for key, value in ((f.name, getattr(config, f.name)) for f in dataclasses.fields(config))
    }


def _plain(value: object) -> object:
    if isinstance(value, tuple):
        return [_plain(one) for one in value]
    return str(value) if isinstance(value, Path) else value


def from_json(cls: type[Config], data: dict[str, Any]) -> Config:
    """Rebuild a dataclass; fields that the file lacks keep their defaults.

    Raises:
        InputError: If the file has a field that the class does not know.
    """
    assert dataclasses.is_dataclass(cls)
    hints = typing.get_type_hints(cls)
    unknown = data.keys() - hints.keys()
    if unknown:
        raise InputError(f"unknown setting {sorted(unknown)[0]!r}: written by another version?")
    values: dict[str, Any] = {}
    for key, value in data.items():
        kind = hints[key]
        if dataclasses.is_dataclass(kind):
            values[key] = from_json(typing.cast("type[Any]", kind), value)
        elif typing.get_origin(kind) is tuple:
            item = typing.get_args(kind)[0]
            values[key] = tuple(Path(one) if item is Path else one for one in value)
        elif value is not None and Path in (kind, *typing.get_args(kind)):
            values[key] = Path(value)
        else:
            values[key] = value
    return typing.cast("Config", cls(**values))
