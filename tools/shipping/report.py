"""Sections of the hand-over's report: what was tried, why this network, and what more gives."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tasks.reporting.html_page import Page
from tasks.timing import Spread
from tools.shipping.candidates import PRECISIONS, Candidate
from tools.shipping.halving import Selection
from tools.shipping.packing import Packed
from tools.shipping.plan import Plan, Trial
from tools.shipping.shipment import Shipment
from tools.speed.accuracies import Shape, known_accuracies
from tools.speed.budget import Option, front

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_NEXT = 3


@dataclass(frozen=True)
class Final:
    """Figures of the exported file.

    Attributes:
        metric: Title of the main metric.
        value: Its value on held-out images, in points of 100.
        interval: Ends of its 95 % interval, in points; None if it cannot be computed.
        images: Number of held-out images.
        time: Time per image, measured again.
        bytes: Size of the file.
    """

    metric: str
    value: float
    interval: tuple[float, float] | None
    images: int
    time: Spread
    bytes: int

    @property
    def text(self) -> str:
        """The figures in one line."""
        between = ""
        if self.interval is not None:
            between = f" (95 %: {self.interval[0]:.1f} to {self.interval[1]:.1f})"
        return (
            f"{self.metric} {self.value:.1f} %{between} on {self.images} held-out images; "
            f"{self.time.ms:.2f} ms, {self.bytes / 1e6:.2f} MB"
        )


@dataclass(frozen=True)
class Shipped:
    """Everything that the report shows."""

    shipment: Shipment
    plan: Plan
    selection: Selection
    trial: Trial
    packed: Packed
    final: Final
    curve: Sequence[tuple[int, float]]

    @property
    def scores(self) -> dict[str, float]:
        """The last score of each network in the selection, in points."""
        return {
            one.name: 100 * one.score for standings in self.selection.rounds for one in standings
        }

    @property
    def planned_ms(self) -> float:
        """Time per image by the plan."""
        cost = self.trial.candidate.cost(self.packed.precision)
        return cost.ms if cost else math.nan


def why(shipped: Shipped) -> str:
    """Reasons for the network and its precision."""
    scores, trial, rounds = shipped.scores, shipped.trial, shipped.selection.rounds
    parts = []
    if not rounds:
        parts.append(f"{trial.name} is the only network that was trained")
    else:
        others = [one for one in rounds[-1] if one.name != trial.name]
        beaten = ", ".join(f"{one.name} ({100 * one.score:.1f})" for one in others)
        parts.append(
            f"{trial.name} ({scores[trial.name]:.1f}) came out ahead of {beaten} in the last "
            f"round, by {shipped.final.metric} on images for the selection alone"
        )
        ranked = [one.name for one in shipped.selection.ranking]
        if ranked[0] != trial.name:
            parts.append(
                f"{', '.join(ranked[: ranked.index(trial.name)])} lost too much in 8 bits"
            )
    parts.append(f"the file is {shipped.packed.precision}: {shipped.packed.why}")
    packed = shipped.packed
    if packed.float_score is not None and packed.score is not None:
        parts.append(
            f"on the images for the selection the float file reaches {packed.float_score:.1f}, "
            f"the shipped one {packed.score:.1f}"
        )
    args = shipped.shipment.args
    limit = args.latency_ms if args.profile is None else None  # A phone's; the time is from here.
    if limit is not None and shipped.final.time.ms > limit:
        parts.append(
            f"measured again, it takes {shipped.final.time.ms:.2f} ms, more than the limit of "
            f"{limit:g} ms and the {shipped.planned_ms:.2f} ms of the plan, as on a busy machine"
        )
    return "; ".join(parts) + "."


def more_data(shipped: Shipped) -> str:
    """What more images would give, by two points of the learning curve; empty without them.

    The quarter may be everything if there are very few images.
    """
    if len(shipped.curve) < 2 or shipped.curve[0][0] >= shipped.curve[1][0]:
        return ""
    (few, low), (all_, high) = shipped.curve
    doublings = math.log2(all_ / few)
    gain = 100 * (high - low) / doublings
    text = (
        f"trained in the same way on {few} images, {shipped.trial.name} reaches {100 * low:.1f}, "
        f"on all {all_} {100 * high:.1f}: {gain:+.1f} points for each doubling so far"
    )
    if gain < 0.5:
        return f"{text}; more images of this kind would give little"
    return f"{text}. Gains shrink; expect up to {gain:.1f} points from twice as many images"


def more_time(shipped: Shipped) -> list[str]:
    """What a larger budget would permit: the next networks, with published differences."""
    args, chosen = shipped.shipment.args, shipped.trial.candidate
    larger = [
        (cost, one, precision)
        for one in shipped.plan.candidates
        if not one.within(args) and one.mult_adds > chosen.mult_adds
        for precision in PRECISIONS
        if (cost := one.cost(precision)) is not None
    ]
    larger.sort(key=lambda row: (row[0].ms, row[0].bytes))
    lines = []
    for cost, one, precision in larger[:_NEXT]:
        published = _published(shipped, one, precision)
        lines.append(
            f"{one.name} {precision}: {cost.ms:.2f} ms, {cost.mb:.2f} MB "
            f"({cost.ms - shipped.planned_ms:+.2f} ms){published}"
        )
    return lines


def _published(shipped: Shipped, one: Candidate, precision: str) -> str:
    """Published accuracies of a larger network and the shipped one; empty if there are none."""
    application, variant = shipped.shipment.recipe.application, shipped.shipment.variant
    found = []
    for candidate, number in (
        (one, precision),
        (shipped.trial.candidate, shipped.packed.precision),
    ):
        shape = Shape(application, variant, candidate.alpha, candidate.size)
        found.append({row.origin: row for row in known_accuracies(shape, number)})
    for origin, row in found[0].items():
        if origin in found[1]:
            return f"; {row.percent:g} % against {found[1][origin].percent:g} % {row.told}"
    return ""


def draw(page: Page, shipped: Shipped) -> None:
    """The sections, in front of those of the application."""
    page.section("Why this network", why(shipped))
    plots = [(_front_figure(shipped), "Time per image and score in the selection, with the limit")]
    if shipped.selection.rounds:
        plots.append((_rounds_figure(shipped), "Score of each network after its rounds"))
    page.plots(plots)
    page.section(
        "What was tried",
        "Time and size of untrained networks in the target's runtime; score in points on the "
        "images for the selection, after the last round that a network took part in.",
    )
    rows, scores = [], shipped.scores
    for one in sorted(shipped.plan.candidates, key=lambda one: -one.mult_adds):
        cells = [cell for p in PRECISIONS for cell in _cells(one, p)]
        score = f"{scores[one.name]:.1f}" if one.name in scores else "-"
        shown = "shipped" if one.name == shipped.trial.name else ""
        within = ", ".join(one.within(shipped.shipment.args)) or "-"
        rows.append((one.name, *cells, within, score, shown))
    head = ("network", "float ms", "MB", "int8 ms", "MB", "within the budget", "score", "")
    page.table(head, rows)
    reason = "too few images" if shipped.shipment.args.curve else "--no-curve"
    page.section("What more images would give", more_data(shipped) or f"Not measured: {reason}.")
    lines = more_time(shipped)
    page.section(
        "What more time or size would permit",
        "" if lines else "No larger network was measured; --alpha and --resolution add some.",
    )
    if lines:
        page.text("\n".join(lines))


def _cells(one: Candidate, precision: str) -> tuple[str, str]:
    cost = one.cost(precision)
    return ("-", "-") if cost is None else (f"{cost.ms:.2f}", f"{cost.mb:.2f}")


def _front_figure(shipped: Shipped) -> Figure:
    """Scores over times, with the Pareto front and the limit."""
    from matplotlib.figure import Figure

    args, scores = shipped.shipment.args, shipped.scores
    scores = scores or {shipped.trial.name: shipped.final.value}
    options = [
        Option(f"{one.name} {precision}", cost.ms, cost.mb, one.mult_adds, scores[one.name])
        for one in shipped.plan.candidates
        if one.name in scores
        for precision in one.within(args)
        if (cost := one.cost(precision)) is not None
    ]
    figure = Figure(figsize=(6, 4))
    axes = figure.add_subplot()
    points = [(one.ms, one.percent or 0.0) for one in options]
    axes.scatter([x for x, _ in points], [y for _, y in points], color="#2a78d6")
    best = front(options, lambda one: one.ms)
    axes.plot([one.ms for one in best], [one.percent or 0.0 for one in best], color="#2a78d6")
    for one in options:
        axes.annotate(one.name, (one.ms, one.percent or 0.0), fontsize=8, rotation=20)
    if args.latency_ms is not None:
        axes.axvline(args.latency_ms, color="#888", linestyle="--")
    axes.set_xlabel("ms per image")
    axes.set_ylabel(f"{shipped.final.metric}, %")
    return figure


def _rounds_figure(shipped: Shipped) -> Figure:
    """The score of each network after each of its rounds."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6, 4))
    axes = figure.add_subplot()
    for trial in shipped.plan.trials:
        rows = [one for standings in shipped.selection.rounds for one in standings]
        mine = [one for one in rows if one.name == trial.name]
        shares = [100 * one.epochs / trial.length.epochs for one in mine]
        axes.plot(shares, [100 * one.score for one in mine], marker="o", label=trial.name)
    axes.set_xlabel("share of the full training, %")
    axes.set_ylabel(f"{shipped.final.metric}, %")
    axes.legend(fontsize=8)
    return figure
