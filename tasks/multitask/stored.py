"""Weights files of several heads on one trunk, and of single heads.

A file contains the trunk as every weights file contains its body, so that any model can start from
it, and each head's own tensors below ``heads.NAME.``; its card contains the card that each head
would have in a separate file. Files of single heads are in a folder beside it (see
:mod:`tasks.weights.head_files`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeVar

from torch import Tensor

from datasets.errors import InputError
from datasets.names import refuse_unsafe_name
from datasets.types import ClassMap
from tasks.multitask.spec import HEADS, TASK
from tasks.weights.card import Card
from tasks.weights.file import BODY_PREFIX, load_tensors, save_weights
from tasks.weights.head_files import refuse_other_trunk, trunk_digest
from tasks.weights.names import HEADS_FOLDER

_PREFIX = "heads."
State = dict[str, Tensor]
Value = TypeVar("Value")


@dataclass(frozen=True)
class StoredHead:
    """A head as stored in files."""

    state: State  # its tensors without the trunk's; norms of its own begin with ``body.``
    card: Card  # as in a file of its own

    @property
    def owns_norms(self) -> bool:
        """Whether it has batch norms of its own."""
        return any(name.startswith(BODY_PREFIX) for name in self.state)


@dataclass(frozen=True)
class Stored:
    """A file of several heads in memory."""

    path: Path  # where it was read, for messages
    card: Card
    body: State  # tensors of the trunk, with the prefix of a body
    heads: dict[str, StoredHead]  # by name

    def head(self, name: str) -> StoredHead:
        """A head by its name. Raises InputError listing the existing heads if there is none."""
        if name not in self.heads:
            there = ", ".join(self.heads) or "none"
            raise InputError(f"{self.path}: has no head {name!r}; it has {there}")
        return self.heads[name]

    def single(self, name: str) -> tuple[State, Card]:
        """Weights with the trunk's, and card of a head. Raises InputError if there is none."""
        head = self.head(name)
        return {**self.body, **head.state}, head.card

    def with_heads(self, heads: Mapping[str, StoredHead]) -> Stored:
        """The same trunk under other heads, in the suite's order."""
        order = [*HEADS, *(name for name in heads if name not in HEADS)]
        return replace(self, heads={name: heads[name] for name in order if name in heads})

    def fingerprint(self, name: str) -> str:
        """Digest of the parts of the trunk that a head uses."""
        return trunk_digest(self.body, self.head(name).state)

    def save(self, path: Path) -> None:
        """Write everything to one file. Raises OSError if it cannot be written."""
        state = dict(self.body)
        for name, head in self.heads.items():
            state |= {f"{_PREFIX}{name}.{key}": tensor for key, tensor in head.state.items()}
        cards = {name: head.card.to_json() for name, head in self.heads.items()}
        save_weights(path, state, replace(self.card, model={**self.card.model, "heads": cards}))

    def save_heads(self, folder: Path) -> None:
        """Write each head to ``NAME.safetensors``. Raises OSError if one cannot be written."""
        for name, head in self.heads.items():
            card = replace(head.card, trunk=self.fingerprint(name))
            file = f"{refuse_unsafe_name(name, 'head')}.safetensors"
            save_weights(folder / file, head.state, card)

    def attach(self, name: str, path: Path) -> Stored:
        """Add a head from a separate file, wherever it is.

        Args:
            name: Name of the head.
            path: Its file.

        Raises:
            InputError: If it is not such a file, or was trained on another trunk.
        """
        state, card = load_tensors(path)
        if not card.trunk:
            raise InputError(
                f"{path}: is no head's file: these lie in the folder {HEADS_FOLDER}/ of a run of "
                "train_multi.py"
            )
        refuse_other_trunk(self.body, state, card, head=path, trunk=self.path)
        head = StoredHead(state, replace(card, trunk=""))
        return self.with_heads({**self.heads, name: head})

    def finished(self, metrics: Mapping[str, float]) -> Stored:
        """The file of a finished run; metrics, named ``head/metric``, go to the heads' cards.

        If all heads have their own norms, the trunk gets the first one's, so that other models can
        start from it.
        """
        heads = {}
        for name, head in self.heads.items():
            found = _below(f"{name}/", metrics)
            heads[name] = replace(
                head, card=replace(head.card, metrics=found or head.card.metrics)
            )
        body = self.body
        if heads and all(head.owns_norms for head in heads.values()):
            first = next(iter(heads.values())).state
            body = {key: first.get(key, tensor).clone() for key, tensor in body.items()}
        return replace(self, heads=heads, body=body)


def multi_card(spec: Mapping[str, Any], cards: Mapping[str, Card], *, card: Card) -> Card:
    """The card of a file of several heads, with flavour and source of another card.

    Args:
        spec: Architecture of the trunk, as in a classifier's card.
        cards: Cards of the heads.
        card: Card that provides flavour and source.
    """
    model = {**spec, "heads": {name: one.to_json() for name, one in cards.items()}}
    return Card(TASK, model, card.flavour, ClassMap((), ()), source=card.source)


def read_stored(path: Path) -> Stored:
    """Read a run folder or weights file. Raises InputError if it is damaged or of another kind."""
    state, card = load_tensors(path)
    if card.task != TASK:
        raise InputError(f"{path}: these weights are for {card.task}, not for {TASK}")
    told = card.model.get("heads")
    if not isinstance(told, dict):
        raise InputError(f"{path}: the card names no heads")
    body = {key: value for key, value in state.items() if key.startswith(BODY_PREFIX)}
    heads = {}
    for name, data in told.items():
        heads[name] = StoredHead(_below(f"{_PREFIX}{name}.", state), Card.from_json(data))
    return Stored(path, card, body, heads)


def _below(prefix: str, values: Mapping[str, Value]) -> dict[str, Value]:
    """The values whose names have a prefix, by the rest of the name."""
    return {k.removeprefix(prefix): v for k, v in values.items() if k.startswith(prefix)}
