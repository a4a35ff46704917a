"""Flags that only some applications take: others refuse them instead of ignoring them."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import MISSING, Field, fields, is_dataclass
from typing import Any, ClassVar

from datasets.errors import InputError
from tasks.flag_values import flag_of


class SpecialFlags:
    """A dataclass of flags for any application, of which each takes some.

    It names those that all take; every other one is special, so a new flag is refused by all
    applications until one says that it takes it.
    """

    FOR_ALL: ClassVar[tuple[str, ...]]
    __dataclass_fields__: ClassVar[dict[str, Field[Any]]]

    @classmethod
    def special(cls) -> tuple[str, ...]:
        """Names of the fields that only some applications take."""
        return tuple(one.name for one in fields(cls) if one.name not in cls.FOR_ALL)

    def refuse_unless(self, takes: Collection[str], task: str) -> None:
        """Refuse flags that would do nothing for a task: special ones that it does not take.

        Raises:
            InputError: Naming the first that was given.
        """
        special = self.special()
        for one in fields(self):
            if one.name in special and one.name not in takes:
                _refuse_given(one.name, getattr(self, one.name), _unset(one), self.reason(task))

    def reason(self, task: str) -> str:
        """Why a flag is refused."""
        return f"the weights are for {task}"


def _unset(one: Field[Any]) -> Any:
    """What a flag holds that nobody gave."""
    return one.default if one.default_factory is MISSING else one.default_factory()


def _refuse_given(name: str, value: Any, unset: Any, reason: str) -> None:
    if is_dataclass(value):
        for one in fields(value):
            inner, default = getattr(value, one.name), getattr(unset, one.name)
            _refuse_given(one.name, inner, default, reason)
    elif value != unset:
        shown = "" if isinstance(value, bool) else f" {value}"
        raise InputError(f"--{flag_of(name)}{shown}: {reason}")
