"""Answers from the probabilities of attributes: those that are present, the most likely first."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from datasets.images import Image
from tasks.application import Column, ImageAnswer, Reply
from tasks.classification.draw import draw_answer
from tasks.reporting.pictures import for_screen
from tasks.runtime.session import Answer as Outputs

# Number of bars under an image.
_DRAWN = 8


SCHEMA: dict[str, Any] = {
    "type": "object",
    "description": "The attributes that are present, and the probabilities of all.",
    "additionalProperties": False,
    "required": ["present", "probabilities"],
    "properties": {
        "present": {"type": "array", "items": {"type": "string"}},
        "probabilities": {
            "type": "object",
            "additionalProperties": {"type": "number", "minimum": 0, "maximum": 1},
        },
    },
}


class Traits(NamedTuple):
    """The attributes that an image shows, according to the model; the most likely first."""

    names: list[str]  # of all attributes
    probabilities: list[float]  # in 0..1
    present: list[bool]  # whether each reaches its threshold

    @property
    def seen(self) -> list[str]:
        """The attributes that are present."""
        return [name for name, there in zip(self.names, self.present, strict=True) if there]


class AttributeAnswers:
    """Presents the outputs of a network of attributes."""

    def __init__(self, names: Sequence[str]) -> None:
        self.names = names

    def read(self, outputs: Outputs) -> Traits:
        """All attributes by probability; among equally likely ones the first."""
        shares = outputs["probabilities"]
        order = np.argsort(-shares, kind="stable")
        names = [self.names[column] for column in order.tolist()]
        return Traits(names, shares[order].tolist(), outputs["present"][order].tolist())

    def draw(self, image: Image, answer: Traits) -> Image:
        """The image with a bar for each of the most likely attributes."""
        return draw_answer(image, answer.names[:_DRAWN], answer.probabilities[:_DRAWN])

    def to_json(self, answer: Traits) -> dict[str, Any]:
        """The attributes that are present, and the probabilities of all."""
        shares = dict(zip(answer.names, answer.probabilities, strict=True))
        return {"present": answer.seen, "probabilities": shares}

    def line(self, answer: Traits) -> str:
        """The attributes that are present."""
        return ", ".join(answer.seen) or "none"

    def reply(self, image: Image, answer: Traits) -> Reply:
        """Bars, and a table of all attributes."""
        told = ["yes" if there else "no" for there in answer.present]
        return Reply(
            self.draw(for_screen(image), answer),
            ", ".join(answer.seen) or "None",
            f"of {len(answer.names)} attributes, as far as an image shows",
            (Column("attribute"), Column("probability", "share"), Column("answer")),
            list(zip(answer.names, answer.probabilities, told, strict=True)),
        )


class AttributeAnswer(ImageAnswer[Traits]):
    """The attributes of an image, the most likely first."""

    @property
    def names(self) -> list[str]:
        """All attributes, the most likely first."""
        return self.value.names

    @property
    def probabilities(self) -> list[float]:
        """Probabilities of :attr:`names`, 0..1."""
        return self.value.probabilities

    @property
    def present(self) -> list[str]:
        """The attributes whose probability reaches their threshold."""
        return self.value.seen

    def top(self, count: int = 5) -> list[tuple[str, float]]:
        """The most likely attributes with their probabilities; fewer where there are fewer."""
        return list(zip(self.names, self.probabilities, strict=True))[: max(count, 0)]
