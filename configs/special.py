"""Flags that only some applications take: the others refuse them instead of ignoring them."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import MISSING, Field, fields, is_dataclass
from typing import Any, ClassVar

from datasets.errors import InputError
from tasks.flag_values import flag_of


class SpecialFlags:
    """A dataclass of flags for any application, of which each application takes some.

    It names the flags that all applications take. Every other flag is special, so a new flag is
    refused by all applications until one declares that it takes it.
    """

    FOR_ALL: ClassVar[tuple[str, ...]]
    __dataclass_fields__: ClassVar[dict[str, Field[Any]]]

    @classmethod
    def special(cls) -> tuple[str, ...]:
        """Names of the fields that only some applications take."""
        return tuple(one.name for one in fields(cls) if one.name not in cls.FOR_ALL)

    def refuse_unless(self, takes: Collection[str], task: str) -> None:
        """Refuse special flags that a task does not take, because they would have no effect.

        Args:
            takes: Names of the special fields that the task takes.
            task: Name of the task, for the message.

        Raises:
            InputError: If one was given; the message names the first.
        """
        special = self.special()
        for one in fields(self):
            if one.name in special and one.name not in takes:
                _refuse_given(one.name, getattr(self, one.name), _unset(one), self.reason(task))

    def reason(self, task: str) -> str:
        """Reason why a flag is refused."""
        return f"the weights are for {task}"


def _unset(one: Field[Any]) -> Any:
    """Value of a field whose flag was not given."""
    return one.default if one.default_factory is MISSING else one.default_factory()


def _refuse_given(name: str, value: Any, unset: Any, reason: str) -> None:
    if is_dataclass(value):
        for one in fields(value):
            inner, default = getattr(value, one.name), getattr(unset, one.name)
            _refuse_given(one.name, inner, default, reason)
    elif value != unset:
        shown = "" if isinstance(value, bool) else f" {value}"
        raise InputError(f"--{flag_of(name)}{shown}: {reason}")
