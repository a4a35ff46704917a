"""Networks of attributes that start from the weights of another model."""

from __future__ import annotations

from pathlib import Path

from datasets.types import ClassMap
from tasks.classification.load import class_rows
from tasks.face_attributes.model import AttributeNet
from tasks.face_attributes.spec import TASK
from tasks.start_network import start_with_classes
from tasks.weights.card import Card


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
    rows = (*class_rows(model.body), "thresholds")
    return start_with_classes(model, attributes, path, task=TASK, rows=rows, noun="the attributes")
