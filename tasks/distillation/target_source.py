"""Provides a student's training with teacher targets, computed at once or stored before."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from torch import Tensor

from datasets.errors import InputError
from tasks.distillation.losses import softmax_loss
from tasks.distillation.spec import DistillSpec
from tasks.distillation.targets import TargetStore
from tasks.distillation.teacher import Fingerprint, Teacher, is_same


@dataclass(frozen=True)
class TeacherTargets:
    """A teacher's answers for one batch.

    Attributes:
        answers: Function from images (B, 3, S, S), as the student sees them, to logits (B, C).
        spec: Weight of their loss.
    """

    answers: Callable[[Tensor], Tensor]
    spec: DistillSpec

    def join(
        self,
        losses: dict[str, Tensor],
        images: Tensor,
        logits: Tensor,
        compare: Callable[[Tensor, Tensor], Tensor] | None = None,
    ) -> dict[str, Tensor]:
        """A student's losses against labels with the teacher's loss added, each by its weight.

        Args:
            losses: Losses against labels, by name.
            images: Images as the student saw them.
            logits: (B, C) logits of the student.
            compare: Loss between logits of student and teacher; by default that of classes.
        """
        share = self.spec.distill_weight
        answers = self.answers(images)
        if compare is None:
            loss = softmax_loss(logits, answers, self.spec.temperature)
        else:
            loss = compare(logits, answers)
        own = {name: (1 - share) * value for name, value in losses.items()} if share < 1 else {}
        return {**own, "teacher": share * loss}


class TargetSource:
    """A teacher, or its stored answers, for a whole training."""

    def __init__(
        self, spec: DistillSpec, name: str, fingerprint: Fingerprint, source: Teacher | TargetStore
    ) -> None:
        self.spec, self.name, self.fingerprint, self._source = spec, name, fingerprint, source

    def __deepcopy__(self, _memo: dict[int, Any]) -> TargetSource:
        """The same object: a copy of a student for averaging weights has the same teacher."""
        return self

    def refuse_other(self, fingerprint: Fingerprint | None) -> None:
        """Check that a checkpoint had this teacher. Raises InputError if it was another one."""
        if not is_same(fingerprint, self.fingerprint):
            raise InputError(
                f"--teacher {self.name} has other weights than when the run began; go on with "
                "the same ones"
            )

    def teacher_targets(self, epoch: int, image_ids: Sequence[int]) -> TeacherTargets:
        """Teacher targets of a batch: images by index in the data, epochs from 0."""
        if isinstance(self._source, Teacher):
            return TeacherTargets(self._source, self.spec)
        return TeacherTargets(partial(_stored, self._source.read(epoch, image_ids)), self.spec)


def _stored(answers: Tensor, images: Tensor) -> Tensor:
    return answers.to(images.device)
