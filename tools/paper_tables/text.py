"""The paper's tables, checked and measured, as text, Markdown, JSON and sections of a page."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from configs.paper import Table
from tools.paper_tables.costs import LAYER, MULT_ADDS, PARAMS, Checked, CheckedRow
from tools.paper_tables.runs import Measured

if TYPE_CHECKING:
    from tasks.reporting.html_page import Page

_WIDTH = 100
_INDENT = " " * 4
_SOLID = "\N{NO-BREAK SPACE}"


@dataclass(frozen=True)
class FilledTable:
    """A table as printed, its rows with computed costs, and the measured values, if any."""

    table: Table
    rows: list[CheckedRow]
    measured: list[Measured | None]

    @property
    def title(self) -> str:
        """Number and title."""
        return f"Table {self.table.number}. {self.table.title}"

    @property
    def marks(self) -> list[bool]:
        """Whether each printed cost matches."""
        found = [row.figures.get(name) for row in self.rows for name in (MULT_ADDS, PARAMS)]
        return [one.match for one in found if one is not None and one.match is not None]

    def sources(self) -> Iterator[str]:
        """For each measured row, the source of the value and its data."""
        for row, measured in zip(self.rows, self.measured, strict=True):
            if measured is not None:
                count = f"best of {measured.num_runs} runs, " if measured.num_runs > 1 else ""
                run = measured.run
                yield f"measured, {row.label}: {count}{run.folder}: {run.card.source}"


def columns(filled: FilledTable) -> tuple[list[str], list[list[str]]]:
    """Titles, and a text per cell; the last cell of a row is its remark."""
    names = [n for n in (LAYER, MULT_ADDS, PARAMS) if any(n in row.figures for row in filled.rows)]
    titles = ["row"]
    if filled.table.metrics:
        titles += [filled.table.metric, "measured"]
    for name in names:
        unit = next(row.figures[name].unit for row in filled.rows if name in row.figures)
        titles += [f"{name} {unit}".strip(), "ours", ""]
    body = []
    for row, measured in zip(filled.rows, filled.measured, strict=True):
        cells = [row.label]
        if filled.table.metrics:
            accuracy = row.row.accuracy if row.row else ()
            cells += [" ".join(accuracy) or "-", str(measured or "-")]
        for name in names:
            figure = row.figures.get(name)
            mark = {True: "match", False: "no", None: ""}[figure.match if figure else None]
            cells += (
                [figure.printed or "-", figure.ours or "-", mark] if figure else ["-", "-", ""]
            )
        body.append([*cells, row.remark])
    return titles, body


def as_text(tables: Sequence[FilledTable]) -> str:
    """Aligned tables for a terminal."""
    return "\n\n".join([*(_text_of(filled) for filled in tables), summary(tables)])


def _text_of(filled: FilledTable) -> str:
    titles, body = columns(filled)
    widths = [max(len(row[k]) for row in [titles, *body]) for k in range(len(titles))]
    # Numbers to the right; names, layers and marks to the left.
    left = {k for k, title in enumerate(titles) if title in ("", "row", LAYER)}
    if LAYER in titles:
        left.add(titles.index(LAYER) + 1)

    def line(cells: Sequence[str]) -> str:
        pairs = enumerate(zip(cells, widths, strict=True))
        parts = [c.ljust(w) if k in left else c.rjust(w) for k, (c, w) in pairs]
        return "  ".join(parts).rstrip()

    lines = [filled.title, line(titles), "-" * len(line(["-" * w for w in widths]))]
    for *cells, remark in body:
        lines.append(line(cells))
        lines += textwrap.wrap(remark, _WIDTH, initial_indent=_INDENT, subsequent_indent=_INDENT)
    for text in filter(None, [filled.table.note, *filled.sources()]):
        lines += textwrap.wrap(text, _WIDTH, break_on_hyphens=False)
    return "\n".join(lines)


def as_markdown(tables: Sequence[FilledTable]) -> str:
    """Tables for a Markdown page; reasons are in the last column."""
    parts = []
    for filled in tables:
        titles, body = columns(filled)
        lines = [f"### {filled.title}", ""]
        lines += [pipes([*titles, "remark"]), "|" + "---|" * (len(titles) + 1)]
        lines += [pipes(cells) for cells in body]
        for text in filter(None, [filled.table.note, *filled.sources()]):
            lines += ["", text]
        parts.append("\n".join(lines))
    return "\n\n".join([*parts, summary(tables)])


def pipes(cells: Sequence[str]) -> str:
    """A row of a Markdown table."""
    return f"| {' | '.join(cell.replace('|', '&#124;') for cell in cells)} |"


def add_to_page(page: Page, tables: Sequence[FilledTable]) -> None:
    """One section per table."""
    for filled in tables:
        titles, body = columns(filled)
        page.section(filled.title, filled.table.note)
        # Only remarks may break into lines.
        rows = [[*(cell.replace(" ", _SOLID) for cell in cells), last] for *cells, last in body]
        page.table([*titles, "remark"], rows)
        sources = "\n".join(filled.sources())
        if sources:
            page.text(sources)


def as_json(tables: Sequence[FilledTable]) -> dict[str, Any]:
    """Plain data: printed and computed costs, marks, reasons, and what was measured.

    Figures are numbers in their unit, or null where there is none; a layer of table 1 is a text.
    """
    shown = []
    for filled in tables:
        rows = []
        for row, measured in zip(filled.rows, filled.measured, strict=True):
            accuracy = row.row.accuracy if row.row else ()
            rows.append(
                {
                    "label": row.label,
                    "printed": dict(
                        zip(filled.table.metrics, map(_number, accuracy), strict=False)
                    ),
                    "measured": measured and _measured_json(filled.table, measured),
                    "costs": {name: _cost_json(figure) for name, figure in row.figures.items()},
                    "match": row.match,
                    "remark": row.remark,
                }
            )
        shown.append(
            {
                "number": filled.table.number,
                "title": filled.table.title,
                "note": filled.table.note,
                "rows": rows,
            }
        )
    return {"tables": shown}


def _cost_json(figure: Checked) -> dict[str, Any]:
    numbers = {name: _number(getattr(figure, name)) for name in ("printed", "ours", "whole")}
    return {**asdict(figure), **numbers}


def _number(text: str) -> float | str | None:
    """A figure of a table; None for an empty one, and what is no number as it is."""
    try:
        return float(text) if text else None
    except ValueError:
        return text


def _measured_json(table: Table, measured: Measured) -> dict[str, Any]:
    return {
        "percent": dict(zip(table.metrics, measured.values, strict=True)),
        "runs": measured.num_runs,
        "folder": measured.run.folder,
        "source": measured.run.card.source,
    }


def summary(tables: Sequence[FilledTable]) -> str:
    """How many costs match, and whether anything was measured."""
    marks = [mark for filled in tables for mark in filled.marks]
    text = f"{sum(marks)} of {len(marks)} printed figures match; each of the others says why."
    measured = [m for filled in tables for m in filled.measured if m is not None]
    if any(filled.table.metrics for filled in tables):
        text += (
            f" Rows measured: {len(measured)}."
            if measured
            else " Nothing was measured: no finished run was found for any of these rows."
        )
    return text
