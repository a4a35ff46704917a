"""The result of the chooser as text and as a page, with the Pareto front drawn."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

from configs.choose import Choose
from tasks.reporting.html_page import Page
from tasks.weights.atomic_write import replacing
from tools import cli
from tools.speed.accuracies import Accuracy, Origin
from tools.speed.budget import Option, Verdict, front
from tools.speed.measuring import Measurement

PAGE_NAME, PICTURE_NAME = "choose.html", "front.png"
_ORIGINS: dict[Origin, str] = {
    "paper": "printed in the paper",
    "tensorflow": "published by TensorFlow's authors",
    "runs": "measured in own runs",
}
_HEADS: dict[Origin, str] = {"paper": "paper", "tensorflow": "TensorFlow", "runs": "own run"}
_MARKS = {"float32": "o", "int8": "D"}
_COLOURS = {"float32": "#2a78d6", "int8": "#d9822b"}


@dataclass(frozen=True)
class Row:
    """A network in one precision, measured, with everything known about its accuracy.

    Its ``size`` is the side of its input in pixels; its command states how to make it.
    """

    name: str
    size: int
    precision: str
    measured: Measurement
    accuracies: tuple[Accuracy, ...]
    command: str

    def by(self, origin: Origin) -> Accuracy | None:
        """The accuracy from one origin."""
        return next((one for one in self.accuracies if one.origin == origin), None)

    def option(self, origin: Origin) -> Option:
        """The option for the choice, by the accuracies of one origin."""
        told = self.by(origin)
        found = self.measured
        return Option(
            self.name, found.ms, found.mb, found.mult_adds, told.percent if told else None
        )


@dataclass(frozen=True)
class Choice:
    """The whole result.

    Attributes:
        rows: Networks, by ascending time.
        origin: Origin of the accuracies that were compared.
        verdict: Result for the budget.
        front: Names on the Pareto front of accuracy over time.
        where: Processor, runtime and threads.
        metric: Name of the accuracies, in percent.
    """

    rows: tuple[Row, ...]
    origin: Origin
    verdict: Verdict
    front: tuple[str, ...]
    where: str
    metric: str

    def row(self, option: Option | None) -> Row | None:
        """The row of an option."""
        return next((row for row in self.rows if option and row.name == option.name), None)


def budget_text(args: Choose) -> str:
    """The budget in words."""
    limits = ((args.latency_ms, "ms"), (args.size_mb, "MB"))
    return " and ".join(f"{most:g} {unit}" for most, unit in limits if most is not None)


def answer_lines(args: Choose, choice: Choice) -> list[str]:
    """The result for the budget, in sentences."""
    budget, verdict = budget_text(args), choice.verdict
    told = f"accuracy {_ORIGINS[choice.origin]}"
    best, nearest, untold = map(choice.row, (verdict.best, verdict.nearest, verdict.untold))
    if best is not None:
        within = f"best within {budget}" if budget else "most accurate"
        return [f"{within}, by {told}: {_describe(best, choice.origin)}", f"  {best.command}"]
    within = f"nothing within {budget} whose" if budget else "no network whose"
    lines = [f"{within} accuracy is known ({_ORIGINS[choice.origin]})"]
    lines += [f"  {reason}" for reason in verdict.reasons]
    if nearest is not None:
        lines.append(f"nearest: {_describe(nearest, choice.origin)}")
    if untold is not None:
        largest = "largest that keeps to it" if budget else "largest"
        lines += [
            f"{largest}, of unknown accuracy: {_describe(untold, choice.origin)}",
            f"  {untold.command}",
        ]
    return lines


def _describe(row: Row, origin: Origin) -> str:
    accuracy = row.by(origin)
    told = f", {accuracy.percent:g} % ({accuracy.told})" if accuracy else ""
    return f"{row.name}: {row.measured.ms:.2f} ms, {row.measured.mb:.2f} MB{told}"


def _columns(choice: Choice) -> list[Origin]:
    """Origins with any accuracy, in a fixed order."""
    told = {one.origin for row in choice.rows for one in row.accuracies}
    return [origin for origin in _ORIGINS if origin in told]


def _cells(row: Row, choice: Choice) -> list[str]:
    accuracies = [row.by(origin) for origin in _columns(choice)]
    return [
        row.name,
        f"{row.measured.ms:.2f}",
        f"{row.measured.p10:.2f}..{row.measured.p90:.2f}",
        f"{row.measured.mb:.2f}",
        f"{row.measured.mult_adds / 1e6:.1f}",
        *("-" if one is None else f"{one.percent:g}" for one in accuracies),
        "front" if row.name in choice.front else "",
    ]


def _titles(choice: Choice) -> list[str]:
    told = [f"{_HEADS[origin]} {choice.metric}" for origin in _columns(choice)]
    return ["network", "ms", "10th..90th", "MB", "M mult-adds", *told, ""]


def as_text(args: Choose, choice: Choice) -> str:
    """The result for the terminal."""
    table = [_titles(choice), *(_cells(row, choice) for row in choice.rows)]
    first, *widths = (max(map(len, column)) for column in zip(*table, strict=True))
    lines = []
    for name, *cells in table:
        figures = (cell.rjust(width) for cell, width in zip(cells, widths, strict=True))
        lines.append("  ".join([name.ljust(first), *figures]).rstrip())
    head = f"{choice.where}; median of an image of 640x480 to its answer, measured here"
    return "\n".join(
        [head, *lines, "", *answer_lines(args, choice), f"\nreport: {args.folder / PAGE_NAME}"]
    )


def draw_front(args: Choose, choice: Choice) -> tuple[Figure, Figure]:
    """Accuracy over time, and over size, with the limits of the budget."""
    costs: tuple[tuple[str, Callable[[Option], float], float | None], ...] = (
        ("ms per image, measured here (logarithmic)", lambda o: o.ms, args.latency_ms),
        ("MB of the file (logarithmic)", lambda o: o.mb, args.size_mb),
    )
    figures = []
    for label, cost, limit in costs:
        figure = Figure(figsize=(7.2, 4.4))
        axes = figure.add_subplot()
        _scatter(axes, choice, cost)
        if limit is not None:
            axes.axvline(limit, color="#c23b5a", linestyle="--", linewidth=1, label="budget")
        _dress(axes, label, f"{choice.metric}, {_ORIGINS[choice.origin]}")
        figures.append(figure)
    return figures[0], figures[1]


def _scatter(axes: Axes, choice: Choice, cost: Callable[[Option], float]) -> None:
    options = [row.option(choice.origin) for row in choice.rows]
    for precision, mark in _MARKS.items():
        chosen = [
            option
            for row, option in zip(choice.rows, options, strict=True)
            if row.precision == precision and option.percent is not None
        ]
        if chosen:
            axes.scatter(
                [cost(option) for option in chosen],
                [option.percent or 0.0 for option in chosen],
                marker=mark,
                c=_COLOURS[precision],
                s=34,
                linewidths=0,
                label=precision,
                zorder=3,
            )
    best = front(options, cost)
    places = [(cost(option), option.percent or 0.0) for option in best]
    if places:
        axes.step(*zip(*places, strict=True), where="post", color="#555555", linewidth=1)
    for option, place in zip(best, places, strict=True):
        # Width and resolution; the mark shows the rest. Nothing is drawn above the front.
        axes.annotate(
            option.name.rpartition(" ")[0].rpartition(" ")[2].replace("$", r"\$"),
            place,
            xytext=(-4, 3),
            textcoords="offset points",
            fontsize=6.5,
            ha="right",
        )


def _dress(axes: Axes, label: str, percent: str) -> None:
    axes.set_xscale("log")
    axes.margins(x=0.12)  # For the names, which stand to the left.
    axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.set_xlabel(label)
    axes.set_ylabel(percent)
    axes.grid(alpha=0.25, linewidth=0.6)
    if axes.get_legend_handles_labels()[0]:
        axes.legend(loc="lower right", frameon=False)


def write_page(args: Choose, choice: Choice, figures: Sequence[Figure]) -> None:
    """Write ``choose.html`` and ``front.png``. Raises OSError if a file cannot be written."""
    with replacing(args.folder / PICTURE_NAME) as temporary:
        figures[0].savefig(temporary, format="png", dpi=150, bbox_inches="tight")
    page = Page(f"Which MobileNet: {args.task}", cli.shown_command())
    best = choice.row(choice.verdict.best)
    if best is not None:
        page.headline(
            [
                (best.name, f"best within {budget_text(args)}".removesuffix(" within ")),
                (f"{best.measured.ms:.2f} ms", "for an image, measured here"),
                (f"{best.measured.mb:.2f} MB", "file"),
            ]
        )
    page.text("\n".join(answer_lines(args, choice)))
    page.section("Accuracy over time and size", f"{choice.where}. Line: the Pareto front.")
    captions = ("Accuracy over time", "Accuracy over size")
    page.plots(zip(figures, captions, strict=True))
    page.section(
        "Networks",
        "Times and sizes were measured here; accuracies were not, unless of own runs. Only those "
        "of one origin are compared. Networks without a figure are not in the plots.",
    )
    page.table(_titles(choice), [_cells(row, choice) for row in choice.rows])
    sources = sorted({one.told for row in choice.rows for one in row.accuracies})
    page.text("Accuracies: " + "; ".join(sources) if sources else "No accuracy is known.")
    page.write(args.folder / PAGE_NAME)
