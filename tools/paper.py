#!/usr/bin/env python
"""Print the paper's tables beside computed and measured values: ``tools/paper.py --table 13``."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from configs.paper_tool import Paper
from tools import cli

if TYPE_CHECKING:
    from tools.paper_tables.runs import Run
    from tools.paper_tables.text import FilledTable

_RUNS = Path("runs")


def main() -> None:
    """Count, compare and print; with ``--out`` also write the page and the figures."""
    args = cli.parse(Paper)
    from configs.paper_tables import TABLES
    from tools.paper_tables.costs import check_table
    from tools.paper_tables.runs import find_runs, measure
    from tools.paper_tables.text import FilledTable, as_json, as_markdown, as_text

    cli.prepare(args.common)
    runs = find_runs(args.runs or ([_RUNS] if _RUNS.is_dir() else []))
    if args.results:
        from tools.paper_tables.results import as_data, as_tables, results_of
        from tools.recipes import RECIPES

        measures = {one.application.name: one.measures for one in reversed(RECIPES)}
        found = results_of(runs, TABLES, measures)
        cli.result(args.common, as_data(found), as_tables(found))
        return
    tables = []
    for table in TABLES:
        if not args.table or table.number in args.table:
            rows = check_table(table)
            measured = [measure(table, r.row, runs) if r.row else None for r in rows]
            tables.append(FilledTable(table, rows, measured))
    text = as_markdown(tables) if args.markdown else as_text(tables)
    cli.result(args.common, as_json(tables), text)
    if args.common.out is not None:
        write_page(args.common.out, tables, runs)


def write_page(folder: Path, tables: Sequence[FilledTable], runs: Sequence[Run]) -> None:
    """Write ``paper.html`` and both figures. Raises OSError if a file cannot be written."""
    from configs.paper_tables import TABLES
    from tasks.reporting.html_page import Page
    from tasks.weights.atomic_write import replacing
    from tools.flows.cost_plots import draw_figures
    from tools.paper_tables.runs import measured_points, printed_points
    from tools.paper_tables.text import add_to_page, summary

    measured = measured_points(runs)
    if not measured:
        cli.say("no MobileNet classifier was measured: figures 4 and 5 show the printed points")
    figures = draw_figures(printed_points(TABLES), measured)
    captions = ("Figure 4. Accuracy over mult-adds", "Figure 5. Accuracy over parameters")
    for figure, name in zip(figures, ("figure4", "figure5"), strict=True):
        with replacing(folder / f"{name}.svg") as temporary:
            figure.savefig(temporary, format="svg", bbox_inches="tight")
    page = Page("The MobileNets paper, printed and computed", summary(tables))
    page.section(
        "Figures 4 and 5",
        "Faint: printed in the paper, on ImageNet. "
        + ("Solid: measured here." if measured else "Nothing was measured here yet."),
    )
    page.plots(zip(figures, captions, strict=True))
    add_to_page(page, tables)
    page.write(folder / "paper.html")
    cli.say(f"written to {folder}: paper.html, figure4.svg, figure5.svg")


if __name__ == "__main__":
    cli.run(main)
