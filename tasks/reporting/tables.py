"""Metrics as tables: for the terminal, and for a page."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

# In place of a figure that nothing there could tell, as COCO prints it.
ABSENT = -1.0


def metrics_text(
    shown: Mapping[str, str], meanings: Mapping[str, str], notes: Iterable[str] = ()
) -> str:
    """A line per metric for the terminal, with its meaning, and notes below.

    ``shown`` has each metric's value as text, all of the same width; ``meanings`` gives the order.
    Metrics that were not measured are left out.
    """
    width = max(map(len, meanings))
    lines = [
        f"  {name:{width}s} {shown[name]}   {meaning}"
        for name, meaning in meanings.items()
        if name in shown
    ]
    return "\n".join([*lines, *(f"  {note}" for note in notes)])


def metric_rows(
    metrics: Mapping[str, str | float], meanings: Mapping[str, str]
) -> list[tuple[str, str | float, str]]:
    """Rows (name, value, meaning) for a page; metrics that were not measured are left out."""
    return [(name, metrics[name], text) for name, text in meanings.items() if name in metrics]


def columns_text(
    titles: Sequence[str], rows: Sequence[Sequence[str]], longest: int | None = None
) -> str:
    """A table for the terminal: names on the left, figures aligned on the right.

    Args:
        titles: Column titles; the first is the names'. Blanks in a title widen its column.
        rows: Cells, the name first.
        longest: Letters after which a name is cut off; None shows names whole.
    """
    first = max((len(row[0][:longest]) for row in rows), default=len(titles[0]))
    columns = zip(titles, *rows, strict=True)
    widths = [first, *(max(map(len, column)) for column in list(columns)[1:])]
    lines = []
    for name, *cells in (titles, *rows):
        shown = name if name == titles[0] else name[:longest]
        figures = (f"{cell:>{width}s}" for cell, width in zip(cells, widths[1:], strict=True))
        lines.append("  ".join([f"  {shown:{first}s}", *figures]).rstrip())
    return "\n".join(lines)
