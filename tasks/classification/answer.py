"""Answers from a classifier's probabilities: the most likely classes, best first."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from datasets.images import Image
from tasks.application import Column, Reply
from tasks.classification.draw import draw_answer
from tasks.reporting.pictures import for_screen
from tasks.runtime.session import Answer as Outputs


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
