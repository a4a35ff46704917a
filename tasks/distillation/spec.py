"""What a network learns from another one. Nothing heavy is imported here."""

from __future__ import annotations

import re
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from datasets.errors import InputError
from tasks.flag_values import flag_of, require_above_0, require_at_least, require_within

# File in a store of targets that says what they depend on.
HEADER_NAME = "targets.json"
TIMM, TORCHVISION = "timm:", "torchvision:"
_PYTHON = re.compile(r"[A-Za-z_][\w.]*:[A-Za-z_]\w*")


def is_python(teacher: str | None) -> bool:
    """Whether a teacher is named as MODULE:FUNCTION, which is code that would be run."""
    foreign = (teacher or "").startswith((TIMM, TORCHVISION))
    return not foreign and _PYTHON.fullmatch(teacher or "") is not None


@dataclass(frozen=True)
class DistillSpec:
    """The teacher, and how much it counts."""

    teacher: str | None = None
    """Learn from a teacher: a run folder or weights file; timm:NAME or torchvision:NAME with
    ImageNet's weights from the local cache; or MODULE:FUNCTION, installed Python or such on
    PYTHONPATH that turns pictures (B, 3, S, S) of 0..255 into logits (B, classes); a resume must
    name it again. It sees each picture as the student does."""
    teacher_weights: Path | None = None
    """File with the weights of a timm or torchvision teacher; nothing is downloaded."""
    temperature: float = 4.0
    """By which the logits of both are divided before they are compared."""
    distill_weight: float = 0.9
    """Share of the teacher's loss, the rest being the labels'; at 1 labels are not used."""
    targets: Path | None = None
    """Folder of the teacher's stored answers: filled before the first training, then read
    instead of running the teacher, for any student with the same data, size, augmentation and
    seed. Without --teacher a filled one is taken as it is."""
    top_k: int = 50
    """Answers to store per picture; what is left of the probability is spread evenly over the
    other classes."""

    def __post_init__(self) -> None:
        """Refuse what teaches nothing. Raises InputError naming the flag and its value."""
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
        """Whether there is anything to learn from."""
        return self.teacher is not None or self.targets is not None

    def refuse_unused(self, loss: Any) -> None:
        """Refuse flags of a loss against labels where labels are not used.

        ``loss`` is their dataclass; its ``dropout`` serves any loss. Raises InputError naming the
        first flag that was given.
        """
        if not self.is_on or self.distill_weight < 1:
            return
        for field in fields(loss):
            value = getattr(loss, field.name)
            if field.name != "dropout" and value != field.default:
                shown = " ".join(map(str, value)) if isinstance(value, tuple) else value
                raise InputError(
                    f"--{flag_of(field.name)} {shown} does nothing beside a teacher that "
                    "tells all: leave it out, or learn from labels as well by --distill-weight .5"
                )
