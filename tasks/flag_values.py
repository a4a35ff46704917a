"""Ranges of the values that flags may have; other values are refused by the flag's name."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

from datasets.errors import InputError

Interval = Literal["(0, 1]", "[0, 1)", "[0, 1]", "(0, 1)", "[0, 2)"]
_INSIDE: dict[Interval, Callable[[float], bool]] = {
    "(0, 1]": lambda value: 0 < value <= 1,
    "[0, 1)": lambda value: 0 <= value < 1,
    "[0, 1]": lambda value: 0 <= value <= 1,
    "(0, 1)": lambda value: 0 < value < 1,
    "[0, 2)": lambda value: 0 <= value < 2,
}


def flag_of(name: str) -> str:
    """A field's name in the form of its flag, without the dashes in front."""
    return name.replace("_", "-")


def require_within(flags: Any, interval: Interval, *names: str) -> None:
    """Check that fields of a dataclass are in an interval, as all functions here do.

    Args:
        flags: The dataclass.
        interval: The interval.
        names: Names of the fields.

    Raises:
        InputError: If one is not; the message names the flag and its value.
    """
    _require(flags, _INSIDE[interval], f"is not in {interval}", names)


def require_between_0_and_1(flags: Any, *names: str) -> None:
    """Check that fields are above 0 and below 1."""
    _require(flags, _INSIDE["(0, 1)"], "is not between 0 and 1", names)


def require_with_data(config: Any) -> None:
    """Refuse ``--format`` and ``--images`` without ``--data``. Raises InputError."""
    for name in ("format", "images"):
        if getattr(config, name) is not None and config.data is None:
            raise InputError(f"--{name} {getattr(config, name)}: goes with --data")


def require_at_least(flags: Any, least: int, *names: str) -> None:
    """Check that fields are finite and not below a number."""
    _require(flags, lambda value: least <= value < float("inf"), f"must be {least} or more", names)


def require_above_0(flags: Any, *names: str) -> None:
    """Check that fields are finite and above 0."""
    _require(flags, lambda value: 0 < value < float("inf"), "must be above 0", names)


def _require(
    flags: Any, holds: Callable[[float], bool], complaint: str, names: tuple[str, ...]
) -> None:
    for name in names:
        value = getattr(flags, name)
        if value is not None and not holds(value):
            raise InputError(f"--{flag_of(name)} {value} {complaint}")
