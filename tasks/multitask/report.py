"""The report of a run of several heads: each head's metric, alone for comparison, and costs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

from tasks.application import Metric
from tasks.multitask.cost import PassCost
from tasks.reporting.html_page import Page
from tasks.reporting.skeleton import Curves, Report

_COST_NOTE = (
    "One image; times are medians on the CPU, all measured in turn in one process. The first "
    "head's network is the reference: what one answer costs."
)
# Parts of a cost, in the order of the tables.
_COMPARED = ("together", "separate", "one")


@dataclass(frozen=True)
class HeadRow:
    """The result of a head."""

    name: str
    data: str  # what it was trained on
    metric: Metric  # that it is measured by
    meaning: str
    value: float  # in the common trunk
    alone: float | None = None  # on a trunk of its own; None if that was not trained


@dataclass(frozen=True)
class ReportData:
    """The contents of a report of several heads."""

    rows: Sequence[HeadRow]  # heads that were trained
    kept: Sequence[str]  # names of those that stayed as they were
    costs: Sequence[PassCost]  # by input size
    params: tuple[int, int]  # parameters of trunk and heads, and of networks of their own


def make_report(data: ReportData) -> Report:
    """The part of the report that is specific to several heads."""
    losses = [f"loss_{row.name}" for row in data.rows]
    # Only metrics in 0..1 share one scale.
    measures = [f"{row.name}/{row.metric.name}" for row in data.rows if row.metric.best == 1]
    return Report(
        headline=[(f"{row.value:.3f}", f"{row.name}, {row.metric.name}") for row in data.rows],
        summary={
            "heads": {
                row.name: {"metric": row.metric.name, "value": row.value, "alone": row.alone}
                for row in data.rows
            },
            "kept": list(data.kept),
            "costs": [
                {
                    "size": cost.size,
                    "heads": list(cost.heads),
                    "mult_adds": {name: getattr(cost, name) for name in _COMPARED},
                    "ms": cost.ms,
                }
                for cost in data.costs
            ],
            "params": {"together": data.params[0], "separate": data.params[1]},
        },
        opening=partial(_write_opening, data=data),
        curves=(
            Curves(losses, "loss over steps (smoothed)"),
            Curves(measures, "validation over steps"),
        ),
        curves_note="Balanced losses begin at 1 each.",
    )


def _write_opening(page: Page, data: ReportData) -> None:
    """Heads and costs."""
    page.section("Heads", "Each in the common trunk, and where it was trained, alone.")
    page.table(
        ("head", "measure", "common trunk", "alone", "data", "its report"),
        [
            (
                row.name,
                f"{row.metric.name}: {row.meaning}",
                row.value,
                "-" if row.alone is None else row.alone,
                row.data,
                f"reports/{row.name}/report.html",
            )
            for row in data.rows
        ],
    )
    page.section("Cost", _COST_NOTE)
    page.table(
        ("input", "heads", "", "one pass for all", "networks apart", "first head's", "ratio"),
        [row for cost in data.costs for row in _cost_rows(cost)],
    )


def _cost_rows(cost: PassCost) -> list[tuple[str | float, ...]]:
    size, heads = f"{cost.size} pixels", ", ".join(cost.heads)
    adds = [f"{getattr(cost, name) / 1e6:.2f}" for name in _COMPARED]
    rows: list[tuple[str | float, ...]] = [(size, heads, "M mult-adds", *adds, cost.ratio)]
    if cost.ms:
        times = [f"{cost.ms[name]:.2f}" for name in _COMPARED]
        ratio = cost.ms["together"] / cost.ms["one"]
        rows.append((size, heads, "ms", *times, ratio))
    return rows


def format_report(data: ReportData) -> str:
    """The table as lines of text."""
    lines = ["  head        measure     common trunk   alone"]
    for row in data.rows:
        alone = "-" if row.alone is None else f"{row.alone:.3f}"
        lines.append(f"  {row.name:<11} {row.metric.name:<11} {row.value:>12.3f} {alone:>7}")
    for name in data.kept:
        lines.append(f"  {name:<11} as it was")
    lines.append("")
    for cost in data.costs:
        lines.append(f"  {cost.size} pixels: {', '.join(cost.heads)}")
        for _, _, unit, together, separate, one, ratio in _cost_rows(cost):
            lines.append(
                f"    {unit:<12} one pass for all {together}, networks apart {separate}, "
                f"{cost.heads[0]} alone {one}: {ratio:.2f} times"
            )
    together, separate = (f"{number / 1e6:.3f}" for number in data.params)
    lines.append(f"  M parameters: {together} together, {separate} apart")
    return "\n".join(lines)
