"""What the chooser found: networks that were measured, and which of them the budget leads to."""

from __future__ import annotations

from dataclasses import dataclass

from tools.speed.accuracies import Accuracy, Origin
from tools.speed.budget import Option, Verdict
from tools.speed.measuring import Measurement


@dataclass(frozen=True)
class Row:
    """A network in one precision, measured.

    Attributes:
        name: For people.
        size: Side of its input in pixels.
        precision: ``float32`` or ``int8``.
        measured: Time, size and cost.
        accuracies: All that is known, each with its origin.
        command: How to come by it.
    """

    name: str
    size: int
    precision: str
    measured: Measurement
    accuracies: tuple[Accuracy, ...]
    command: str

    def by(self, origin: Origin) -> Accuracy | None:
        """What one origin says."""
        return next((one for one in self.accuracies if one.origin == origin), None)

    def option(self, origin: Origin) -> Option:
        """For the choice, by the accuracies of one origin."""
        told = self.by(origin)
        found = self.measured
        return Option(
            self.name, found.ms, found.mb, found.mult_adds, told.percent if told else None
        )


@dataclass(frozen=True)
class Choice:
    """Everything that was found.

    Attributes:
        rows: Networks, by rising time.
        origin: Whose accuracies were compared.
        verdict: What the budget leads to.
        front: Names on the Pareto front of accuracy over time.
        where: Chip, runtime and threads.
        metric: What accuracies are, in percent.
    """

    rows: tuple[Row, ...]
    origin: Origin
    verdict: Verdict
    front: tuple[str, ...]
    where: str
    metric: str

    def row(self, option: Option | None) -> Row | None:
        """The row of an option."""
        return next((row for row in self.rows if option and row.name == option.name), None)
