"""What a campaign found, as a table."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field


@dataclass
class Tally:
    """Counts of how things ended, and what went wrong.

    Attributes:
        title: Of the part of the campaign.
        counts: By what was tried and how it ended.
        wrong: Of each kind of fault how often, and the first of it.
    """

    title: str
    counts: Counter[tuple[str, str]] = field(default_factory=Counter)
    wrong: dict[str, tuple[int, str]] = field(default_factory=dict)

    def note(self, what: str, outcome: str) -> None:
        """Count one."""
        self.counts[what, outcome] += 1

    def fault(self, kind: str, text: str) -> bool:
        """Count a fault; whether it is the first of its kind."""
        number, first = self.wrong.get(kind, (0, text))
        self.wrong[kind] = number + 1, first
        return number == 0

    def table(self) -> str:
        """Rows by what was tried, columns by outcome, and the faults below."""
        outcomes = sorted({outcome for _, outcome in self.counts})
        whats = list(dict.fromkeys(what for what, _ in self.counts))
        width = max([len("all"), *map(len, whats)])
        lines = [f"{self.title:{width}}" + "".join(f"{one:>12}" for one in outcomes)]
        for what in [*whats, "all"]:
            cells = [
                sum(n for (w, o), n in self.counts.items() if o == one and what in (w, "all"))
                for one in outcomes
            ]
            lines.append(f"{what:{width}}" + "".join(f"{cell or '-':>12}" for cell in cells))
        for kind, (number, first) in sorted(self.wrong.items(), key=lambda row: -row[1][0]):
            lines.append(f"WRONG {number:5} x {kind}\n    {first}")
        return "\n".join(lines)


def conclude(tallies: Sequence[Tally]) -> int:
    """Print all tables; the exit status."""
    for tally in tallies:
        print(f"\n{tally.table()}", flush=True)
    wrong = sum(number for tally in tallies for number, _ in tally.wrong.values())
    print(f"\n{wrong or 'nothing'} went wrong", flush=True)
    return 1 if wrong else 0
