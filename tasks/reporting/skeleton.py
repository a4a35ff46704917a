"""What every run leaves: ``report.html`` and ``report.json``, and the order of what is in them.

An application gives a :class:`Report` with what it alone shows; what all of them show, and where
it stands, is written here once.
"""

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
    """What is known of a run or an evaluation, whatever the application.

    Attributes:
        title: Title of the page.
        command: Command line that made it.
        facts: Name and value pairs for the summary table.
        cost: Cost of the network for one image; None where one figure would not tell it.
        history: Rows (step, name, value) of the training; empty after a mere evaluation.
        watch: Stopwatch of the run, for its minutes; None after a mere evaluation.
        files: What became of the files of the data.
    """

    title: str
    command: str
    facts: Sequence[tuple[str, str]]
    cost: Cost | None = None
    history: Sequence[tuple[int, str, float]] = ()
    watch: Stopwatch | None = None
    files: Sequence[FilesTable] = ()


class FilesTable(NamedTuple):
    """What became of the files below a path.

    Attributes:
        title: What the path is, with how many files there are.
        rows: How many, used as what or why not, and which.
        data: The same for ``report.json``.
    """

    title: str
    rows: Sequence[Sequence[str]]
    data: Mapping[str, Any]


class Curves(NamedTuple):
    """A plot of the training.

    Attributes:
        names: Names in the history; losses come alone.
        caption: What the plot shows.
    """

    names: Sequence[str]
    caption: str


@dataclass(frozen=True)
class MetricsTable:
    """The section of metrics.

    Attributes:
        rows: Cells, the metric's name first, its meaning last.
        head: Column titles.
        title: Title of the section.
        note: Sentence under the title.
    """

    rows: Sequence[Sequence[str | float]]
    head: Sequence[str] = ("", "", "")
    title: str = "Metrics"
    note: str = ""


def _nothing(_: Page) -> None:
    """No sections."""


@dataclass(frozen=True)
class Report:
    """What an application alone shows of a run.

    Attributes:
        headline: Its large figures (number, word), before those of the cost.
        summary: First keys of ``report.json``, the metrics among them.
        details: Keys between the cost and the facts.
        cases: Keys behind the facts: single images, for a person to look at.
        num_images: How many were evaluated, for the headline; None leaves that out.
        per: What the cost is of: an image, a photo.
        in_millions: Mult-adds of the headline in millions, not billions.
        stopped: Why the training ended before its time; stands above everything else.
        page_facts: Facts of the page that ``report.json`` holds elsewhere.
        opening: Draws the sections between the facts and the training.
        curves: Plots of the training.
        curves_note: Sentence over these plots.
        metrics: Section of metrics; None where other sections hold them.
        sections: Draws the sections behind the metrics.
        use_note: What the answers must not be used for; empty if nothing needs saying.
    """

    headline: Sequence[tuple[str, str]]
    summary: Mapping[str, Any]
    details: Mapping[str, Any] = field(default_factory=dict)
    cases: Mapping[str, Any] = field(default_factory=dict)
    num_images: int | None = None
    per: str = "image"
    in_millions: bool = False
    stopped: str = ""
    page_facts: Sequence[tuple[str, str]] = ()
    opening: Sections = _nothing
    curves: Sequence[Curves] = ()
    curves_note: str = ""
    metrics: MetricsTable | None = None
    sections: Sections = _nothing
    use_note: str = ""


def write_report(
    folder: Path, run: RunFacts, report: Report, *, page: bool = True
) -> dict[str, Any]:
    """Write ``report.html`` and ``report.json``; return the latter.

    Args:
        folder: Folder of the run or evaluation.
        run: What is known of it.
        report: What its application shows.
        page: Whether to draw the page, which takes longer than all the rest; ``report.json``
            marks a run as finished, and is always written.

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
    """What to open of a run or evaluation: the page, or where none was drawn, the figures."""
    page = folder / PAGE_NAME
    return page if page.exists() else folder / REPORT_NAME


def _draw(run: RunFacts, report: Report) -> Page:
    """The page, from the headline to the note on use."""
    page = Page(run.title, run.command)
    if report.stopped:
        page.section("The training stopped", report.stopped)
    images = [] if report.num_images is None else [(str(report.num_images), "images")]
    page.headline([*report.headline, *_cost_figures(run.cost, report), *images])
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


def _cost_figures(cost: Cost | None, report: Report) -> list[tuple[str, str]]:
    if cost is None:
        return []
    millions = f"{cost.mult_adds / 1e6:.1f} M"
    adds = millions if report.in_millions else f"{cost.mult_adds / 1e9:.3f} B"
    return [
        (adds, f"mult-adds per {report.per}"),
        (f"{cost.params / 1e6:.3f} M", "parameters"),
    ]
