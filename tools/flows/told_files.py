"""The use of each file below the data that a tool opens: in one line, and for its report."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from datasets.errors import InputError, NotRecognised
from datasets.kinds import holding
from datasets.ledger import Ledger, traced
from datasets.names import odd_file
from tasks.applications import photo_application
from tasks.reporting.skeleton import FilesTable
from tasks.weights.card import Card
from tools import cli
from tools.flows.recipe import Notes
from tools.flows.run_folder import is_first


@contextmanager
def told_files(*paths: Path | None) -> Iterator[list[Ledger]]:
    """The ledger of each path, complete once the data is opened within the block.

    Only the first process searches the folders.

    Args:
        paths: Paths of the data; None for a flag that was not given.

    Raises:
        InputError: If a path is a pipe or similar, or the data is of another kind than needed; the
            message then names the tool for it.
    """
    ledgers: list[Ledger] = []
    for path in paths:
        if path is not None and (what := odd_file(path)):
            raise InputError(f"{path}: is {what}, and neither a file nor a folder of data")
    try:
        with traced() as trace:
            yield ledgers
    except NotRecognised as error:
        kind = holding(error.path)
        if kind is None:
            raise
        tool = photo_application(kind.task, error.path).train_tool
        raise InputError(
            f"{error.path}: holds {kind.name}, which {cli.command(tool)} trains on and "
            f"{cli.command('evaluate')} measures its models on; here it is {error.why}"
        ) from error
    if is_first():
        ledgers += trace.account(*(path for path in paths if path is not None))
    for ledger in ledgers:
        cli.say(ledger.line())


def stand_ins(ledgers: Sequence[Ledger]) -> Notes:
    """Report which part is used for validation if there is none of that name; returns rows."""
    notes = [
        (
            "validated on",
            f"the part {one.stand_in!r} of {one.root}, which has none of its own to validate on",
        )
        for one in ledgers
        if one.stand_in
    ]
    for what, text in notes:
        cli.say(f"{what} {text}")
    return notes


def card_of_parts(card: Card, ledgers: Sequence[Ledger]) -> Card:
    """A card that names the part which was used for validation in place of one of that name."""
    named = [one.stand_in for one in ledgers if one.stand_in]
    if not named:
        return card
    return replace(card, trained_on={**card.trained_on, "validated_on": named[0]})


def files_tables(ledgers: Sequence[Ledger]) -> list[FilesTable]:
    """Tables of what the files of the data are used as, for a report."""
    return [FilesTable(one.title, one.rows(), one.to_json()) for one in ledgers]
