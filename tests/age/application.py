"""The application's record."""

from tasks.application import Metric, Network, NoOptions, PhotoApplication
from tests.age.answer import AgeAnswer, AgeAnswers
from tests.age.evaluator import MEANINGS
from tests.age.spec import TASK


def _network() -> Network[NoOptions]:
    from tests.age.network import NETWORK

    return NETWORK


AGE: PhotoApplication[NoOptions] = PhotoApplication(
    name=TASK,
    title="Ages",
    train_tool="train_age",
    outputs={"years": "(1,) float32 years"},
    answers=lambda *_: AgeAnswers(),
    answer=AgeAnswer,
    network=_network,
    metric=Metric("within10", "within ten years"),
    compared_by=Metric("within10", "within ten years, %"),
    variants={"": (64, 48)},
    meanings=MEANINGS,
    use_note="Do not take a guess for a birthday.",
)
