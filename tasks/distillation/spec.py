"""The options of distillation. It imports nothing slow."""

from __future__ import annotations

import re
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from datasets.errors import InputError
from tasks.flag_values import flag_of, require_above_0, require_at_least, require_within

# File in a folder of teacher targets that states what they depend on.
HEADER_NAME = "targets.json"
TIMM, TORCHVISION = "timm:", "torchvision:"
_PYTHON = re.compile(r"[A-Za-z_][\w.]*:[A-Za-z_]\w*")


def is_python(teacher: str | None) -> bool:
    """Whether a teacher is given as MODULE:FUNCTION, which is code that would be run."""
    foreign = (teacher or "").startswith((TIMM, TORCHVISION))
    return not foreign and _PYTHON.fullmatch(teacher or "") is not None


@dataclass(frozen=True)
class DistillSpec:
    """The teacher, and the weight of its loss."""

    teacher: str | None = None
    """Teacher to learn from: a run folder or weights file; timm:NAME or torchvision:NAME with
    ImageNet weights from the local cache; or MODULE:FUNCTION, an installed Python function (or one
    on PYTHONPATH) that turns images (B, 3, S, S) with values in 0..255 into logits (B, classes);
    such a teacher must be named again with --resume. The teacher sees the same augmented images as
    the student."""
    teacher_weights: Path | None = None
    """File with the weights of a timm or torchvision teacher; nothing is downloaded."""
    temperature: float = 4.0
    """Number above 0 by which the logits of teacher and student are divided before they are
    compared."""
    distill_weight: float = 0.9
    """Weight of the teacher's loss, above 0 and up to 1; the loss of the labels gets the rest. At
    1 labels are not used."""
    targets: Path | None = None
    """Folder of teacher targets, the stored answers of the teacher. It is filled before the first
    training and then read instead of running the teacher, for any student with the same data,
    size, augmentation and seed. Without --teacher an existing folder is used unchanged."""
    top_k: int = 50
    """Number of probabilities to store per image, the highest ones; the remainder is spread evenly
    over the other classes."""

    def __post_init__(self) -> None:
        """Refuse values that cannot train. Raises InputError naming the flag and its value."""
        require_above_0(self, "temperature")
        require_within(self, "(0, 1]", "distill_weight")
        require_at_least(self, 1, "top_k")
        foreign = (self.teacher or "").startswith((TIMM, TORCHVISION))
        if self.teacher_weights is not None and not foreign:
            raise InputError(
                f"--teacher-weights {self.teacher_weights} goes with --teacher timm:NAME or "
                "torchvision:NAME"
            )
        for field in () if self.is_on else fields(self):
            if getattr(self, field.name) != field.default:
                raise InputError(
                    f"--{flag_of(field.name)} {getattr(self, field.name)} does nothing without "
                    "--teacher or --targets"
                )

    @property
    def is_on(self) -> bool:
        """Whether there is a teacher, or stored targets."""
        return self.teacher is not None or self.targets is not None

    def refuse_unused(self, loss: Any) -> None:
        """Refuse flags of a label loss if labels are not used.

        Args:
            loss: Dataclass of the label loss; its ``dropout`` applies to any loss.

        Raises:
            InputError: If one was given; the message names the first.
        """
        if not self.is_on or self.distill_weight < 1:
            return
        for field in fields(loss):
            value = getattr(loss, field.name)
            if field.name != "dropout" and value != field.default:
                shown = " ".join(map(str, value)) if isinstance(value, tuple) else value
                raise InputError(
                    f"--{flag_of(field.name)} {shown} does nothing beside a teacher that "
                    "gives all of them: leave it out, or learn from labels as well by "
                    "--distill-weight .5"
                )
