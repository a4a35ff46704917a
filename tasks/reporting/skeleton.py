"""Writes ``report.html`` and ``report.json`` for every run, and determines their order."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from backbone.cost import Cost
from tasks.fitting.stopwatch import REPORT_NAME, Stopwatch, write_summary
from tasks.reporting.html_page import Page
from tasks.reporting.plots import history_plot

PAGE_NAME = "report.html"
Sections = Callable[[Page], None]


@dataclass(frozen=True)
class RunFacts:
    """What is known about a run or an evaluation, for any application."""

    title: str  # of the page
    command: str  # that made it
    facts: Sequence[tuple[str, str]]  # name and value pairs for the summary table
    cost: Cost | None = None  # for one image; None where one figure would not tell it
    history: Sequence[tuple[int, str, float]] = ()  # rows of the training: step, name, value
    watch: Stopwatch | None = None  # for the run's minutes; None after a mere evaluation
    files: Sequence[FilesTable] = ()  # what became of the files of the data


class FilesTable(NamedTuple):
    """What the files below a path are used as."""

    title: str  # names the path
    rows: Sequence[Sequence[str]]  # how many, used as what or why not, and which
    data: Mapping[str, Any]  # the same for report.json


class Curves(NamedTuple):
    """A plot of the training."""

    names: Sequence[str]  # names in the history; losses come alone
    caption: str


@dataclass(frozen=True)
class MetricsTable:
    """The section of metrics."""

    rows: Sequence[Sequence[str | float]]  # cells, the metric's name first, its meaning last
    head: Sequence[str] = ("", "", "")
    title: str = "Metrics"
    note: str = ""  # sentence under the title


@dataclass(frozen=True)
class Report:
    """The part of a report that is specific to an application."""

    headline: Sequence[tuple[str, str]]  # large figures (number, word), before those of the cost
    summary: Mapping[str, Any]  # first keys of ``report.json``, the metrics among them
    details: Mapping[str, Any] = field(default_factory=dict)  # keys between the cost and the facts
    cases: Mapping[str, Any] = field(default_factory=dict)  # keys behind the facts: single images
    num_images: int | None = None  # that were evaluated, for the headline; None leaves that out
    per: str = "image"  # noun of what the cost is for
    in_millions: bool = False  # mult-adds of the headline in millions, not billions
    stopped: str = ""  # why the training ended before its time; stands above everything else
    page_facts: Sequence[tuple[str, str]] = ()  # that ``report.json`` holds elsewhere
    opening: Sections = lambda _: None  # draws the sections between the facts and the training
    curves: Sequence[Curves] = ()
    curves_note: str = ""  # sentence over these plots
    metrics: MetricsTable | None = None  # None where other sections hold them
    sections: Sections = lambda _: None  # draws the sections behind the metrics
    use_note: str = ""  # what the answers must not be used for; empty if nothing needs saying


def write_report(
    folder: Path, run: RunFacts, report: Report, *, page: bool = True
) -> dict[str, Any]:
    """Write ``report.html`` and ``report.json``; return the latter.

    Drawing the page takes longer than all the rest; ``report.json`` marks a run as finished, and
    is always written.

    Args:
        folder: Folder to write to.
        run: Facts about the run.
        report: The application's part.
        page: Whether to write the page.

    Raises:
        OSError: If a file cannot be written.
    """
    if page:
        _draw(run, report).write(folder / PAGE_NAME)
    summary = dict(report.summary)
    if run.cost is not None:
        summary["cost"] = {"mult_adds": run.cost.mult_adds, "params": run.cost.params}
    files = {"files": [table.data for table in run.files]} if run.files else {}
    summary |= {**report.details, "facts": dict(run.facts), **files, **report.cases}
    return write_summary(folder, summary, run.watch)


def report_file(folder: Path) -> Path:
    """The file to open for a run or evaluation: the page, or else the JSON report."""
    page = folder / PAGE_NAME
    return page if page.exists() else folder / REPORT_NAME


def _draw(run: RunFacts, report: Report) -> Page:
    """The page, from the headline to the note on use."""
    page = Page(run.title, run.command)
    if report.stopped:
        page.section("The training stopped", report.stopped)
    figures = list(report.headline)
    if run.cost is not None:
        cost = run.cost
        millions = f"{cost.mult_adds / 1e6:.1f} M"
        adds = millions if report.in_millions else f"{cost.mult_adds / 1e9:.3f} B"
        figures.append((adds, f"mult-adds per {report.per}"))
        figures.append((f"{cost.params / 1e6:.3f} M", "parameters"))
    if report.num_images is not None:
        figures.append((str(report.num_images), "images"))
    page.headline(figures)
    page.table(("", ""), [*run.facts, *report.page_facts])
    report.opening(page)
    if report.curves and run.history:
        page.section("Training", report.curves_note)
        page.plots((history_plot(run.history, names), text) for names, text in report.curves)
    if report.metrics is not None:
        page.section(report.metrics.title, report.metrics.note)
        page.table(report.metrics.head, report.metrics.rows)
    report.sections(page)
    for table in run.files:
        page.section("Files", table.title)
        page.table(("", "", ""), table.rows)
    if report.use_note:
        page.section("Use", report.use_note)
    return page
