"""Accuracy over mult-adds and over parameters, like figures 4 and 5 of the MobileNets paper."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

mpl.rcParams["svg.fonttype"] = "none"
mpl.rcParams["font.size"] = 9
# The paper's four sizes; other sizes get other colours.
_COLOURS = {224: "#2a78d6", 192: "#d9822b", 160: "#2e9d6b", 128: "#a64ca6"}
_MORE = ("#8c564b", "#c23b5a", "#17a2b8", "#7a7a21", "#555555")
_NEUTRAL = "#555555"
_FAINT = 0.35


@dataclass(frozen=True)
class Point:
    """A standard MobileNet: input in pixels, top-1 (or similar) in percent, costs in millions."""

    size: int
    percent: float
    mult_adds: float
    params: float


def draw_figures(
    printed: Sequence[Point], measured: Sequence[Point], percent: str = "top-1 accuracy, %"
) -> tuple[Figure, Figure]:
    """Figure 4 (over mult-adds) and figure 5 (over parameters), both with a logarithmic x."""
    figures = []
    sizes, more = {point.size for point in (*printed, *measured)}, itertools.cycle(_MORE)
    colours = {size: _COLOURS.get(size) or next(more) for size in sorted(sizes, reverse=True)}
    for attribute, label in (("mult_adds", "million mult-adds"), ("params", "million parameters")):
        figure = Figure(figsize=(7.2, 4.2))
        axes = figure.add_subplot()
        for points, marker, alpha in ((printed, "o", _FAINT), (measured, "D", 1.0)):
            axes.scatter(
                [getattr(point, attribute) for point in points],
                [point.percent for point in points],
                c=[colours[point.size] for point in points],
                marker=marker,
                alpha=alpha,
                s=42,
                linewidths=0,
            )
        _dress(axes, label, percent)
        _add_legend(axes, colours, printed=bool(printed), measured=bool(measured))
        figures.append(figure)
    return figures[0], figures[1]


def _dress(axes: Axes, label: str, percent: str) -> None:
    axes.set_xscale("log")
    # The axis covers only a decade or two: powers of ten alone would leave it nearly empty.
    axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.set_xlabel(f"{label} (logarithmic)")
    axes.set_ylabel(percent)
    axes.grid(alpha=0.25, linewidth=0.6)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)


def _add_legend(axes: Axes, colours: dict[int, str], *, printed: bool, measured: bool) -> None:
    """Legend beside the plot: the meaning of marks, and the input size of each colour."""
    handles = []
    if printed:
        handles.append(_handle("o", _NEUTRAL, "printed in the paper, ImageNet", _FAINT))
    if measured:
        handles.append(_handle("D", _NEUTRAL, "measured here"))
    handles += [_handle("s", colour, f"{size} pixels") for size, colour in colours.items()]
    axes.legend(handles=handles, loc="upper left", bbox_to_anchor=(1.02, 1), frameon=False)


def _handle(marker: str, colour: str, label: str, alpha: float = 1.0) -> Line2D:
    return Line2D([], [], marker=marker, color=colour, alpha=alpha, linestyle="", label=label)
