"""Starts networks of attributes from other weights, and opens their teachers."""

from __future__ import annotations

from pathlib import Path

from datasets.types import ClassMap
from tasks.classification.model import class_rows
from tasks.classification.teachers import open_own_teacher, open_teacher
from tasks.distillation.spec import DistillSpec
from tasks.distillation.teacher import Teacher
from tasks.face_attributes.application import FACE_ATTRIBUTES
from tasks.face_attributes.model import AttributeNet
from tasks.face_attributes.spec import TASK
from tasks.start_network import start_with_classes
from tasks.weights.card import Card


def start_attribute_net(
    model: AttributeNet, attributes: ClassMap, path: Path
) -> tuple[Card, list[str]]:
    """Fill a network for fine-tuning; see :func:`~tasks.start_network.start_with_classes`."""
    rows = (*class_rows(model.body), "thresholds")
    return start_with_classes(model, attributes, path, task=TASK, rows=rows, noun="the attributes")


def open_attribute_teacher(spec: DistillSpec, attributes: ClassMap) -> Teacher:
    """The teacher that ``spec.teacher`` names; own weights may have attributes in any order.

    A network from torchvision or any Python function has one output for each attribute, in the
    order of the data.

    Args:
        spec: Options of distillation.
        attributes: Attributes of the data.

    Raises:
        InputError: If it is not available, or lacks an attribute.
    """
    name = spec.teacher
    assert name is not None
    if not Path(name).exists():
        return open_teacher(spec, attributes)
    return open_own_teacher(
        name,
        FACE_ATTRIBUTES,
        attributes,
        lambda names: f"{', '.join(names)}; take those by --attributes",
    )
