"""The application's record."""

from pathlib import Path

from tasks.application import Facts, Metric, Network, NoOptions, PhotoApplication
from tasks.export.compare import share_limits
from tasks.weights.card import Card
from tests.age.answer import AgeAnswers
from tests.age.evaluator import MEANINGS
from tests.age.spec import TASK


def _network() -> Network[NoOptions]:
    from tests.age.network import NETWORK

    return NETWORK


def _answers(_card: Card, _facts: Facts, _options: NoOptions, _path: Path) -> AgeAnswers:
    return AgeAnswers()


AGE = PhotoApplication(
    name=TASK,
    title="Ages",
    train_tool="train_age",
    options=NoOptions,
    outputs={"years": "(1,) float32 years"},
    network=_network,
    answers=_answers,
    metric=Metric("within10", "within ten years"),
    compared_by=Metric("within10", "within ten years, %"),
    variants={"": (64, 48)},
    meanings=MEANINGS,
    limits=share_limits,
    pipeline="image-classification",
    use_note="Do not take a guess for a birthday.",
)
