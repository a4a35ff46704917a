"""Answers from a classifier's probabilities: the most likely classes, best first."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from datasets.images import Image
from tasks.application import Column, ImageAnswer, Reply
from tasks.classification.draw import draw_answer
from tasks.reporting.pictures import for_screen
from tasks.runtime.session import Answer as Outputs

_SHARES = {"type": "array", "items": {"type": "number", "minimum": 0, "maximum": 1}}
SCHEMA: dict[str, Any] = {
    "type": "object",
    "description": "The most likely classes, best first.",
    "additionalProperties": False,
    "required": ["classes", "probabilities"],
    "properties": {
        "classes": {"type": "array", "items": {"type": "string"}},
        "probabilities": _SHARES,
    },
}


class Answer(NamedTuple):
    """The most likely classes of an image, best first, with probabilities in 0..1."""

    names: list[str]
    probabilities: list[float]


class ClassAnswers:
    """Presents a classifier's outputs: the ``top`` classes, or all if there are fewer."""

    def __init__(self, names: Sequence[str], top: int = 5) -> None:
        self.names, self.top = names, top

    def read(self, outputs: Outputs) -> Answer:
        """The most likely classes; among equally likely ones the first."""
        shares = outputs["probabilities"]
        best = np.argsort(-shares, kind="stable")[: self.top]
        return Answer([self.names[column] for column in best.tolist()], shares[best].tolist())

    def draw(self, image: Image, answer: Answer) -> Image:
        """The image with a bar per class."""
        return draw_answer(image, answer.names, answer.probabilities)

    def to_json(self, answer: Answer) -> dict[str, Any]:
        """Classes and their probabilities."""
        return {"classes": answer.names, "probabilities": answer.probabilities}

    def line(self, answer: Answer) -> str:
        """``cat 0.93, dog 0.05``."""
        return ", ".join(f"{name} {share:.2f}" for name, share in zip(*answer, strict=True))

    def reply(self, image: Image, answer: Answer) -> Reply:
        """Bars, and a table of the classes."""
        names, shares = answer
        return Reply(
            self.draw(for_screen(image), answer),
            names[0],
            f"with a probability of {shares[0]:.1%}",
            (Column("class"), Column("probability", "share")),
            list(zip(names, shares, strict=True)),
        )


class ClassAnswer(ImageAnswer[Answer]):
    """The classes of an image, best first."""

    answers: ClassAnswers

    @property
    def name(self) -> str:
        """The most likely class."""
        return self.value.names[0]

    @property
    def probability(self) -> float:
        """Probability of the most likely class, 0..1."""
        return self.value.probabilities[0]

    @property
    def names(self) -> list[str]:
        """All classes, the most likely first."""
        return [name for name, _ in self.top(len(self.answers.names))]

    @property
    def probabilities(self) -> list[float]:
        """Probabilities of :attr:`names`, 0..1, summing to 1."""
        return [share for _, share in self.top(len(self.answers.names))]

    def top(self, count: int = 5) -> list[tuple[str, float]]:
        """The most likely classes with their probabilities; fewer where there are fewer."""
        found = ClassAnswers(self.answers.names, max(count, 0)).read(self.outputs)
        return list(zip(*found, strict=True))
