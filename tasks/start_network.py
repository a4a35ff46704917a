"""Starts networks with the weights of another file, for fine-tuning."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from backbone.flavour import refuse_other_flavour
from datasets.errors import InputError
from datasets.types import ClassMap
from tasks.flag_values import flag_of
from tasks.weights.card import Card
from tasks.weights.file import BODY_PREFIX, load_into
from tasks.weights.head_files import load_weights

if TYPE_CHECKING:
    from tasks.body_network import BodyNetwork

# Fields in which two bodies must agree, and the meaning of a card that does not state them.
BODY_FIELDS: Mapping[str, Any] = {"backbone": None, "alpha": 1.0, "variant": "standard"}


def read_start(
    model: BodyNetwork, path: Path, *, any_input: bool = False
) -> tuple[dict[str, Tensor], Card]:
    """The weights and card of a file of any task, from which at least the body can be used.

    Args:
        model: Network to start.
        path: Run folder or weights file.
        any_input: Whether the network may preprocess images differently.

    Raises:
        InputError: If body, width, variant or flavour differ; the message names both sides.
    """
    state, card = load_weights(path)
    refuse_other_model(model.spec.to_json(), card, path)
    ours, theirs = model.body.flavour, card.flavour
    if any_input:
        theirs = replace(theirs, input=ours.input)
    refuse_other_flavour(str(path), theirs, ours)
    return state, card


def refuse_other_model(
    spec: Mapping[str, Any], card: Card, path: Path, names: Mapping[str, Any] = BODY_FIELDS
) -> None:
    """Check that a network has the architecture of the weights that it starts from.

    Args:
        spec: Architecture of the network, as in its card.
        card: Card of the weights.
        path: Path of the weights, for messages.
        names: Fields to compare, each with the meaning of a card that does not state it.

    Raises:
        InputError: If a field differs; the message names both sides and the flag to use.
    """
    for name, usual in names.items():
        ours, theirs = spec[name], card.model.get(name, usual)
        if ours != theirs:
            flag = flag_of(name)
            choice = f"{flag} {theirs}" if not isinstance(ours, bool) else flag
            raise InputError(
                f"{path}: the weights have {name} {theirs}, the model to train {ours}; "
                f"choose --{'no-' if theirs is False else ''}{choice}"
            )


def with_body_of(fresh: Mapping[str, Tensor], state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """A network's fresh tensors, with the body of other weights in place of its own.

    Tensors that the weights lack are left out, so that :func:`~tasks.weights.file.load_into` names
    them.
    """
    return {
        key: state[key] if key.startswith(BODY_PREFIX) else value
        for key, value in fresh.items()
        if key in state or not key.startswith(BODY_PREFIX)
    }


def start_with_classes(
    model: BodyNetwork, classes: ClassMap, path: Path, *, task: str, rows: Iterable[str], noun: str
) -> tuple[Card, list[str]]:
    """Fill a network of classes with the weights of another model.

    The body comes from weights of any task; resolution and stem stride may differ. From a network
    of the same task the head is used too: the same classes keep their rows, in any order; new
    classes keep their fresh ones.

    Args:
        model: Network to fill.
        classes: Its classes.
        path: Run folder or weights file.
        task: Task of the network.
        rows: Names of its tensors that have a row for each class.
        noun: Name of the classes in messages.

    Returns:
        The card of the weights, and the names of the classes that start with fresh rows.

    Raises:
        InputError: If body, width, variant or flavour differ; the message names both sides.
    """
    state, card = read_start(model, path)
    fresh = model.state_dict()
    if card.task != task:
        load_into(model, with_body_of(fresh, state), str(path))
        return card, list(classes.names)
    columns = torch.from_numpy(classes.labels_in(card.classes)[1:]) - 1
    for key in rows:
        if key not in state or len(state[key]) != len(card.classes):
            raise InputError(f"{path}: {key!r} has not one row for each of {noun}")
        if state[key].shape[1:] == fresh[key].shape[1:]:  # Else loading names both shapes.
            chosen, known = fresh[key].clone(), columns >= 0
            chosen[known] = state[key][columns[known]]
            state[key] = chosen
    load_into(model, state, str(path))
    return card, [n for n, c in zip(classes.names, columns.tolist(), strict=True) if c < 0]
