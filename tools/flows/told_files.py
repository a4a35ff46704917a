"""What became of the files below the data that a tool opens: in one line, and for its report."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from datasets.ledger import Ledger, traced
from tasks.reporting.skeleton import FilesTable
from tools import cli
from tools.flows.run_folder import is_first


@contextmanager
def told_files(*paths: Path | None) -> Iterator[list[Ledger]]:
    """The ledger of each path, once what is opened meanwhile is open.

    Only the first process looks through the folders.

    Args:
        paths: Of the data; None where a flag names none.
    """
    ledgers: list[Ledger] = []
    with traced() as trace:
        yield ledgers
    if is_first():
        ledgers += trace.account(*(path for path in paths if path is not None))
    for ledger in ledgers:
        cli.say(ledger.line())


def files_tables(ledgers: Sequence[Ledger]) -> list[FilesTable]:
    """What became of the files of the data, for a report."""
    return [FilesTable(one.title, one.rows(), one.to_json()) for one in ledgers]
