"""Networks of attributes that start from the weights of another model."""

from __future__ import annotations

from pathlib import Path

import torch

from backbone.flavour import refuse_other_flavour
from datasets.errors import InputError
from datasets.types import ClassMap
from tasks.classification.load import class_rows, refuse_other_body
from tasks.face_attributes.model import AttributeNet
from tasks.face_attributes.spec import TASK
from tasks.weights.card import Card
from tasks.weights.file import BODY_PREFIX, load_into
from tasks.weights.head_files import load_weights


def start_attribute_net(
    model: AttributeNet, attributes: ClassMap, path: Path
) -> tuple[Card, list[str]]:
    """Fill a network with the weights of another model, for fine-tuning.

    The body comes from weights of any task; from a network of attributes those of the same name
    keep their rows of the head.

    Args:
        model: To be filled.
        attributes: Its columns.
        path: Run folder or weights file.

    Returns:
        The card of the weights, and the names of the attributes that start anew.

    Raises:
        InputError: If body, width, variant or flavour differ, naming both sides.
    """
    state, card = load_weights(path)
    refuse_other_body(model.spec, card, path)
    refuse_other_flavour(str(path), card.flavour, model.body.flavour)
    fresh = model.state_dict()
    start = {
        key: state.get(key, value) if key.startswith(BODY_PREFIX) else value
        for key, value in fresh.items()
    }
    columns = torch.full((len(attributes),), -1)
    if card.task == TASK:
        columns = torch.from_numpy(attributes.labels_in(card.classes)[1:]) - 1
        for key in (*class_rows(model.body), "thresholds"):
            if key not in state or len(state[key]) != len(card.classes):
                raise InputError(f"{path}: {key!r} has not one row for each of the attributes")
            start[key] = fresh[key].clone()
            start[key][columns >= 0] = state[key][columns[columns >= 0]]
    load_into(model, start, str(path))
    return card, [n for n, c in zip(attributes.names, columns.tolist(), strict=True) if c < 0]
