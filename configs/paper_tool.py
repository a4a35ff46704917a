"""Flags of ``tools/paper.py``."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from configs.common import Common
from datasets.errors import InputError

NUM_TABLES = 14


@dataclass(frozen=True)
class Paper:
    """Print the MobileNets paper's tables beside computed costs and the results of your runs.

    Each printed cost is compared with the computed one: the table shows "match", or "no" and the
    reason. The metrics of finished runs fill the measured column. With --out FOLDER the tables and
    figures 4 and 5 are also written to paper.html, figure4.svg and figure5.svg.
    """

    table: tuple[int, ...] = ()
    """Numbers of the tables to print, 1 to 14; by default all."""
    runs: tuple[Path, ...] = ()
    """Folders to search for finished runs; by default runs/, if it exists."""
    results: bool = False
    """Print instead what all runs have reached: a Markdown table per application, with each run's
    main metric, its 95 % interval, what the paper prints for this network, task and number of
    classes, the minutes and the command."""
    markdown: bool = False
    """Print the tables in Markdown."""
    common: Common = field(default_factory=Common)

    def __post_init__(self) -> None:
        for number in self.table:
            if not 1 <= number <= NUM_TABLES:
                raise InputError(f"--table {number}: choose from 1 to {NUM_TABLES}")
        if self.markdown and self.common.json:
            raise InputError("--markdown and --json: choose one of them")
        if self.results and (self.table or self.markdown or self.common.out is not None):
            raise InputError("--results: prints Markdown tables of all runs; leave out the others")
        self.common.refuse_as_report_of(self.runs)
