"""Teachers of attributes: own weights in any order of attributes, torchvision, any Python."""

from __future__ import annotations

from pathlib import Path

import torch

from backbone.layers import fold_batchnorm
from datasets.errors import InputError
from datasets.types import ClassMap
from tasks.classification.teachers import open_teacher
from tasks.distillation.spec import DistillSpec
from tasks.distillation.teacher import Teacher
from tasks.face_attributes.application import FACE_ATTRIBUTES
from tasks.predictor import open_network


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
    model, card = open_network(Path(name), FACE_ATTRIBUTES)
    columns = torch.from_numpy(attributes.labels_in(card.classes)[1:]) - 1
    lacking = [n for n, c in zip(attributes.names, columns.tolist(), strict=True) if c < 0]
    if lacking:
        raise InputError(
            f"--teacher {name}: lacks {len(lacking)} of the data's {len(attributes)} attributes "
            f"({', '.join(lacking[:3])}{', ...' if len(lacking) > 3 else ''}); it knows "
            f"{', '.join(card.classes.names)}; take those by --attributes"
        )
    return Teacher(name, fold_batchnorm(model), size=model.spec.size, columns=columns)
