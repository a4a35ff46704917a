"""The result of the pruning experiment: a table, a plot, a page."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from configs.prune import Prune
from tasks.body_spec import ClassifierSpec
from tasks.classification.network import classifier_cost
from tasks.dcgan.comparison import Span, over_photos
from tasks.fitting.stopwatch import REPORT_NAME
from tasks.reporting.html_page import Page
from tasks.weights.atomic_write import replacing
from tasks.weights.card import Card
from tools import cli

# The network with which the others are compared.
BASE = "scratch"
_HEAD = (
    "network",
    "M mult-adds",
    "top-1",
    "each seed",
    "gain",
    "95 % over images",
    "MB",
    "top-1 INT8",
    "lost in INT8",
    "95 % over images",
    "MB INT8",
    "minutes",
)
_FLOAT_COLOUR, _INT8_COLOUR = "#123a6b", "#d9822b"


@dataclass(frozen=True)
class Answers:
    """Answers of an export of ``size`` bytes: 1 for each correct held-out image, else 0."""

    size: int
    right: list[int]


@dataclass
class Network:
    """A row of the table: a network, and its results in each training."""

    name: str
    card: Card
    plain: list[Answers] = field(default_factory=list)
    int8: list[Answers] = field(default_factory=list)
    minutes: list[float] = field(default_factory=list)

    def add(self, plain: Answers, int8: Answers, minutes: float | None = None) -> None:
        """Add the results of one training."""
        self.plain.append(plain)
        self.int8.append(int8)
        if minutes is not None:
            self.minutes.append(minutes)

    def row(self, base: Network) -> dict[str, Any]:
        """The network's row in the report, compared with another network."""
        spec = ClassifierSpec(**self.card.model)
        cost = classifier_cost(spec, len(self.card.classes))
        gain = over_photos(_shares(self.plain) - _shares(base.plain))
        lost = over_photos(_shares(self.int8) - _shares(self.plain))
        return {
            "network": self.name,
            "alpha": spec.alpha,
            "mult_adds": cost.mult_adds,
            "params": cost.params,
            "float": _figures(self.plain),
            "gain": gain._asdict(),
            "int8": _figures(self.int8),
            "int8_minus_float": lost._asdict(),
            "minutes": statistics.mean(self.minutes) if self.minutes else None,
        }


def _shares(answers: Sequence[Answers]) -> NDArray[np.float64]:
    """(P,) share of the trainings whose answer is correct, image by image."""
    shares: NDArray[np.float64] = np.array([one.right for one in answers], np.float64).mean(axis=0)
    return shares


def _figures(answers: Sequence[Answers]) -> dict[str, Any]:
    seeds = [statistics.mean(one.right) for one in answers]
    return {
        "top1": statistics.mean(seeds),
        "spread": statistics.stdev(seeds) if len(seeds) > 1 else None,
        "seeds": seeds,
        "bytes": round(statistics.mean(one.size for one in answers)),
    }


def write_experiment(
    config: Prune, networks: Sequence[Network], folder: Path, *, photos: int
) -> tuple[dict[str, Any], str]:
    """Write ``report.json``, ``report.html`` and ``report.png``.

    Returns:
        Content of ``report.json``, and the table as text.

    Raises:
        OSError: If a file cannot be written.
    """
    base = next(one for one in networks if one.name == BASE)
    rows = [one.row(base) for one in networks]
    note = (
        f"Top-1 of exports on {photos} held-out images, which choose nothing: last epoch of "
        f"{config.epochs}, {config.seeds} seeds, mean +- standard deviation. Gains over "
        f"{BASE!r} in float, with 95 % intervals from a bootstrap over the images: other seeds "
        "differ besides. wide is the network that was pruned and that teaches; its own training "
        "is not in the minutes. pruned-untrained has its batch norm measured anew, no more."
    )
    data = {"folder": folder, "photos": photos, "note": note, "rows": rows}
    figure = draw_rows(rows)
    with replacing(folder / "report.png") as temporary:
        figure.savefig(temporary, format="png", dpi=120, bbox_inches="tight")
    page = Page(f"Pruned to alpha {config.alpha:g}, distilled, or both?", config.command)
    page.plots([(figure, "top-1 on held-out images")])
    page.table(_HEAD, [_cells(row) for row in rows])
    page.section("How", note)
    page.write(folder / "report.html")
    cli.write_json(folder / REPORT_NAME, data)
    return data, f"{_as_text(rows)}\n\n{note}\n\nreport: {folder / 'report.html'}"


def _cells(row: dict[str, Any]) -> tuple[str, ...]:
    """A row of the printed table, under ``_HEAD``."""
    plain, int8 = row["float"], row["int8"]
    gain, lost = Span(**row["gain"]), Span(**row["int8_minus_float"])
    is_base = row["network"] == BASE
    return (
        row["network"],
        f"{row['mult_adds'] / 1e6:.1f}",
        _mean(plain),
        " ".join(f"{one:.3f}" for one in plain["seeds"]),
        "" if is_base else f"{gain.mean:+.3f}",
        "" if is_base else _between(gain),
        f"{plain['bytes'] / 1e6:.2f}",
        _mean(int8),
        f"{lost.mean:+.3f}",
        _between(lost),
        f"{int8['bytes'] / 1e6:.2f}",
        "" if row["minutes"] is None else f"{row['minutes']:.1f}",
    )


def _mean(figures: dict[str, Any]) -> str:
    spread = figures["spread"]
    return f"{figures['top1']:.3f}" + ("" if spread is None else f" +- {spread:.3f}")


def _between(span: Span) -> str:
    return f"{span.low:+.3f} to {span.high:+.3f}"


def _as_text(rows: Sequence[dict[str, Any]]) -> str:
    """The table for the terminal."""
    table = [_HEAD, *(_cells(row) for row in rows)]
    widths = [max(len(cell) for cell in column) for column in zip(*table, strict=True)]
    lines = ("  ".join(c.ljust(w) for c, w in zip(line, widths, strict=True)) for line in table)
    return "\n".join(line.rstrip() for line in lines)


def draw_rows(rows: Sequence[dict[str, Any]]) -> Figure:
    """Top-1 of each network: a large mark for the mean, small ones for the seeds."""
    figure = Figure(figsize=(6.5, 0.9 + 0.55 * len(rows)))
    axes = figure.add_subplot()
    kinds = (("float", -0.13, "o", _FLOAT_COLOUR), ("int8", 0.13, "D", _INT8_COLOUR))
    for kind, shift, marker, colour in kinds:
        places = [place + shift for place in range(len(rows))]
        means = [row[kind]["top1"] for row in rows]
        name = "float" if kind == "float" else "INT8"
        axes.plot(means, places, marker, color=colour, label=name)
        for place, row in zip(places, rows, strict=True):
            seeds = row[kind]["seeds"]
            axes.plot(seeds, [place] * len(seeds), color=colour, alpha=0.5, linewidth=2)
            axes.plot(seeds, [place] * len(seeds), "|", color=colour, markersize=9)
    names = [f"{row['network']}\n{row['mult_adds'] / 1e6:.1f} M mult-adds" for row in rows]
    axes.set_yticks(range(len(rows)), names)
    axes.invert_yaxis()
    axes.set_xlabel("top-1 on held-out images")
    axes.grid(axis="x", alpha=0.3)
    axes.legend(loc="lower center", bbox_to_anchor=(0.5, 1), ncols=2, frameon=False)
    return figure
