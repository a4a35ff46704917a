"""Metrics as tables: for the terminal, and for a page."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

# In place of an undefined metric, as in COCO's summary.
ABSENT = -1.0


def metrics_text(
    shown: Mapping[str, str], meanings: Mapping[str, str], notes: Iterable[str] = ()
) -> str:
    """A line per metric for the terminal, with its meaning, and notes below.

    Args:
        shown: Each metric's value as text, all of the same width; missing ones are left out.
        meanings: Meanings of the metrics, in order.
        notes: Sentences below the table.
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
    """Rows (name, value, meaning) for a page; metrics without a value are left out."""
    return [(name, metrics[name], text) for name, text in meanings.items() if name in metrics]


def columns_text(
    titles: Sequence[str], rows: Sequence[Sequence[str]], longest: int | None = None
) -> str:
    """A table for the terminal: names on the left, numbers aligned on the right.

    Args:
        titles: Column titles; the first is that of the names. Spaces in a title widen its column.
        rows: Cells, the name first.
        longest: Number of letters after which a name is cut off; None shows whole names.
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
