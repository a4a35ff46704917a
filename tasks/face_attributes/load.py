"""Networks of attributes that start from the weights of another model."""

from __future__ import annotations

from pathlib import Path

from datasets.types import ClassMap
from tasks.classification.model import class_rows
from tasks.face_attributes.model import AttributeNet
from tasks.face_attributes.spec import TASK
from tasks.start_network import start_with_classes
from tasks.weights.card import Card


def start_attribute_net(
    model: AttributeNet, attributes: ClassMap, path: Path
) -> tuple[Card, list[str]]:
    """Fill a network for fine-tuning; as :func:`~tasks.start_network.start_with_classes`."""
    rows = (*class_rows(model.body), "thresholds")
    return start_with_classes(model, attributes, path, task=TASK, rows=rows, noun="the attributes")
