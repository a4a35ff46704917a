"""What the reports of all tasks have in common."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from backbone.cost import Cost
from datasets.ledger import Ledger
from tasks.fitting.history import METRICS_NAME, read_metrics
from tasks.fitting.stopwatch import Stopwatch
from tasks.reporting.skeleton import FilesTable, RunFacts
from tasks.weights.card import Card
from tools.cli import shown_command

Facts = Sequence[tuple[str, str]]


def model_text(card: Card) -> str:
    """The architecture that a card tells, in a line."""
    return ", ".join(f"{name} {value}" for name, value in card.model.items())


def time_text(seconds: float, count: int, device: str) -> str:
    """How long an evaluation took."""
    return f"{seconds:.1f} s for {count} photos on {device}"


def files_tables(ledgers: Sequence[Ledger]) -> list[FilesTable]:
    """What became of the files of the data, for a report."""
    return [FilesTable(one.title, one.rows(), one.to_json()) for one in ledgers]


def run_facts(
    folder: Path,
    title: str,
    card: Card,
    cost: Cost,
    own: Facts,
    watch: Stopwatch | None,
    files: Sequence[Ledger] = (),
) -> RunFacts:
    """What is known of a run or an evaluation of one network.

    Args:
        folder: Folder of the run, with the history of its training if there was one.
        title: Title of the report.
        card: Card of the network.
        cost: Cost of the network for one image.
        own: Rows of the report's summary below the network's.
        watch: Stopwatch of the run; None for an evaluation.
        files: What became of the files of the data.
    """
    network = [("model", model_text(card)), ("cost", str(cost)), ("weights", card.source)]
    return RunFacts(
        title,
        shown_command(),
        [*network, *own],
        cost=cost,
        history=read_metrics(folder / METRICS_NAME),
        watch=watch,
        files=files_tables(files),
    )
