"""Teachers of attributes: own weights in any order of attributes, torchvision, any Python."""

from __future__ import annotations

from pathlib import Path

from datasets.types import ClassMap
from tasks.classification.teachers import open_own_teacher, open_teacher
from tasks.distillation.spec import DistillSpec
from tasks.distillation.teacher import Teacher
from tasks.face_attributes.application import FACE_ATTRIBUTES


def open_attribute_teacher(spec: DistillSpec, attributes: ClassMap) -> Teacher:
    """The teacher that ``spec.teacher`` names.

    A foreign network has one column for each attribute, in the order of the data.

    Args:
        spec: Names it.
        attributes: Of the data, in the order of the student's columns.

    Raises:
        InputError: If it cannot be had, or lacks an attribute.
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
