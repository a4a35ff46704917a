"""What the number tells."""

from typing import Any

from datasets.images import Image
from tasks.application import Column, ImageAnswer, Reply
from tasks.classification.draw import draw_answer
from tasks.reporting.pictures import for_screen
from tasks.runtime.session import Answer as Outputs


class AgeAnswers:
    """Years, in every form that doors ask for."""

    def read(self, outputs: Outputs) -> float:
        return float(outputs["years"][0])

    def draw(self, image: Image, answer: float) -> Image:
        return draw_answer(image, [f"{answer:.0f} years"], [min(max(answer / 100, 0.0), 1.0)])

    def to_json(self, answer: float) -> dict[str, Any]:
        return {"years": answer}

    def line(self, answer: float) -> str:
        return f"{answer:.1f} years"

    def reply(self, image: Image, answer: float) -> Reply:
        rows: list[tuple[str | float, ...]] = [("years", answer)]
        picture = self.draw(for_screen(image), answer)
        columns = (Column("what"), Column("value", "number"))
        return Reply(picture, self.line(answer), "by the look of it", columns, rows)


class AgeAnswer(ImageAnswer[float]):
    """Years, by name."""

    @property
    def years(self) -> float:
        return self.value
