"""Classifiers from weights files, as the start of another one."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor

from backbone.body import Body
from backbone.flavour import refuse_other_flavour
from datasets.errors import InputError
from datasets.types import ClassMap
from tasks.classification.model import Classifier
from tasks.classification.spec import TASK, ClassifierSpec
from tasks.fitting.spec import flag_of
from tasks.weights.card import Card
from tasks.weights.file import BODY_PREFIX, load_into
from tasks.weights.head_files import load_weights


def start_classifier(model: Classifier, classes: ClassMap, path: Path) -> tuple[Card, list[str]]:
    """Fill a classifier with the weights of another model, for fine-tuning.

    The body comes from weights of any task; resolution and stem stride may differ. From a
    classifier the head comes too: the same classes keep their rows, whatever their
    column; new classes keep their fresh ones.

    Args:
        model: To be filled.
        classes: Its classes.
        path: Run folder or weights file.

    Returns:
        The card of the weights, and the names of the classes that start anew.

    Raises:
        InputError: If body, width, variant or flavour differ, naming both sides.
    """
    state, card = load_weights(path)
    refuse_other_body(model.spec, card, path)
    refuse_other_flavour(str(path), card.flavour, model.body.flavour)
    fresh = model.state_dict()
    if card.task != TASK:
        body = {key: value for key, value in state.items() if key.startswith(BODY_PREFIX)}
        head = {key: value for key, value in fresh.items() if not key.startswith(BODY_PREFIX)}
        load_into(model, {**head, **body}, str(path))
        return card, list(classes.names)
    columns = torch.from_numpy(classes.labels_in(card.classes)[1:]) - 1
    for key in class_rows(model.body):
        if key not in state or len(state[key]) != len(card.classes):
            raise InputError(f"{path}: {key!r} has not one row for each of the card's classes")
        state[key] = _choose_rows(state[key], fresh[key], columns)
    load_into(model, state, str(path))
    new = [n for n, c in zip(classes.names, columns.tolist(), strict=True) if c < 0]
    return card, new


def class_rows(body: Body) -> tuple[str, str]:
    """Names of a model's tensors with a row for each class; the rest of a head has none."""
    return f"head.{body.class_layer}.weight", f"head.{body.class_layer}.bias"


def refuse_other_body(spec: ClassifierSpec, card: Card, path: Path) -> None:
    """Check that a model's body is that of the weights it is to start from.

    Raises:
        InputError: If body, width or variant differ, naming both sides.
    """
    wanted = spec.to_json()
    for name, standard in (("backbone", None), ("alpha", 1.0), ("variant", "standard")):
        ours, theirs = wanted[name], card.model.get(name, standard)
        if ours != theirs:
            raise InputError(
                f"{path}: the weights have {name} {theirs}, the model to train {ours}; "
                f"choose --{flag_of(name)} {theirs}"
            )


def _choose_rows(old: Tensor, fresh: Tensor, columns: Tensor) -> Tensor:
    """Rows of ``old`` for known classes, else of ``fresh``; column -1 is unknown."""
    chosen, known = fresh.clone(), columns >= 0
    if old.shape[1:] == fresh.shape[1:]:  # Else the caller's check names both shapes.
        chosen[known] = old[columns[known]]
        return chosen
    return old
