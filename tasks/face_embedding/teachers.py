"""Teachers of embeddings: own weights, or any Python function."""

from __future__ import annotations

from pathlib import Path

import torch

from backbone.layers import fold_batchnorm
from datasets.errors import InputError
from datasets.types import ClassMap
from tasks.classification.teachers import open_teacher
from tasks.distillation.spec import TIMM, TORCHVISION, DistillSpec
from tasks.distillation.teacher import Teacher
from tasks.face_embedding.alignment import refuse_other_alignment
from tasks.face_embedding.application import FACE_EMBEDDING
from tasks.face_embedding.model import unit
from tasks.predictor import open_network

_PROBES = 2


def open_embedding_teacher(
    spec: DistillSpec, *, dim: int, size: int, alignment: str, data: Path
) -> Teacher:
    """The teacher that ``spec.teacher`` names.

    Args:
        spec: Options of distillation.
        dim: Length of the student's embeddings.
        size: Side of the student's images in pixels.
        alignment: Alignment of the faces in the training data.
        data: Path of the training data, for messages.

    Raises:
        InputError: If it is not available, needs another alignment, or its embeddings have another
            length.
    """
    name = spec.teacher
    assert name is not None
    if name.startswith((TIMM, TORCHVISION)):
        raise InputError(
            f"--teacher {name}: classifies; write MODULE:FUNCTION for a network whose answers "
            "are embeddings"
        )
    if Path(name).exists():
        model, card = open_network(Path(name), FACE_EMBEDDING)
        refuse_other_alignment(card, Path(name), alignment, data)
        teacher = Teacher(name, fold_batchnorm(model), size=model.spec.size)
    else:
        teacher = open_teacher(spec, ClassMap((), ()))
    _check(teacher, dim, size)
    return teacher


def _check(teacher: Teacher, dim: int, size: int) -> None:
    """Check that it returns embeddings of the student's length."""
    pictures = torch.full((_PROBES, 3, size, size), 127, dtype=torch.uint8)
    try:
        answers = teacher(pictures)
        given = tuple(answers.shape)
    except Exception as error:  # Anything may happen in code that is not ours.
        kind = type(error).__name__
        raise InputError(f"--teacher {teacher.name}: fails on images: {kind}: {error}") from error
    if len(given) != 2 or given[0] != _PROBES:
        raise InputError(
            f"--teacher {teacher.name}: answers {given} to {_PROBES} images; "
            f"({_PROBES}, length of an embedding) is needed"
        )
    if given[1] != dim:
        raise InputError(
            f"--teacher {teacher.name}: its embeddings have {given[1]} numbers, the student's "
            f"{dim}; add --dim {given[1]}"
        )
    if not unit(answers).isfinite().all():
        raise InputError(f"--teacher {teacher.name}: its embeddings are not finite numbers")
