"""Answers as rows of a table: the plain data of an answer, flattened into cells."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any


def one_row(told: Mapping[str, Any], _names: Sequence[str]) -> list[dict[str, Any]]:
    """An answer in one row.

    Args:
        told: The answer as plain data. Numbers and texts are cells; of a table within it each
            entry is one, by both names: ``region.radius_km``. A list is a cell of JSON.
    """
    return [dict(_cells(told))]


def ranked_row(told: Mapping[str, Any], _names: Sequence[str]) -> list[dict[str, Any]]:
    """Lists of equal length, best first, in one row: ``class_1, probability_1, class_2 ...``.

    Args:
        told: The lists ``classes`` and ``probabilities``.
    """
    row: dict[str, Any] = {}
    pairs = zip(told["classes"], told["probabilities"], strict=True)
    for place, (name, share) in enumerate(pairs, start=1):
        row |= {f"class_{place}": name, f"probability_{place}": share}
    return [row]


def named_row(told: Mapping[str, Any], names: Sequence[str]) -> list[dict[str, Any]]:
    """Names that are present, and a column for the probability of each name, in one row.

    Args:
        told: The list ``present``, and ``probabilities`` by name.
        names: All names, in the order of the columns.
    """
    shares = {name: told["probabilities"][name] for name in names}
    return [{"present": "; ".join(told["present"]), **shares}]


def _cells(told: Mapping[str, Any], above: str = "") -> list[tuple[str, Any]]:
    found: list[tuple[str, Any]] = []
    for name, value in told.items():
        if isinstance(value, Mapping):
            found += _cells(value, f"{above}{name}.")
        else:
            cell = json.dumps(value) if isinstance(value, list) else value
            found.append((f"{above}{name}", "" if cell is None else cell))
    return found
