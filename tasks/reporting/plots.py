"""Plots that the reports of several tasks share."""

from __future__ import annotations

from collections.abc import Sequence

import matplotlib as mpl
import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import LogFormatter
from numpy.typing import NDArray

from tasks.reporting.pictures import shorten

_SHOWN_CLASSES = 20
_LABEL_LENGTH = 28

mpl.rcParams["svg.fonttype"] = "none"
mpl.rcParams["font.size"] = 9


def history_plot(history: Sequence[tuple[int, str, float]], names: Sequence[str]) -> Figure:
    """Values over steps; losses are smoothed, and drawn on a logarithmic axis.

    Args:
        history: Rows (step, name, value).
        names: Names to draw; losses have ``loss`` in their names and are drawn alone.
    """
    figure = Figure(figsize=(5, 3))
    axes = figure.add_subplot()
    for name in names:
        rows = [(step, value) for step, n, value in history if n == name]
        if not rows:
            continue
        steps, values = np.array(rows).T
        if "loss" in name:
            width = max(1, len(values) // 50)  # The mean over a fiftieth of the run.
            padded = np.pad(values, (width - 1, 0), mode="edge")
            values = np.convolve(padded, np.ones(width) / width, mode="valid")
            axes.set_yscale("log")
            for set_formatter in (axes.yaxis.set_major_formatter, axes.yaxis.set_minor_formatter):
                set_formatter(LogFormatter(minor_thresholds=(2, 0.4)))  # 3, not 3 x 10^0.
        axes.plot(steps, values, label=name, marker="" if len(rows) > 30 else ".")
    axes.set_xlabel("step")
    axes.grid(alpha=0.3)
    if axes.lines:
        axes.legend()
    return figure


def most_confused(table: NDArray[np.int64], limit: int = _SHOWN_CLASSES) -> NDArray[np.int64]:
    """The classes with the most confusions, at most ``limit``, in their own order.

    The table (C, C) contains counts, rows true, columns predicted.
    """
    wrong = table.sum(1) + table.sum(0) - 2 * np.diag(table)
    return np.sort(np.argsort(-wrong, kind="stable")[:limit])


def confusion_plot(table: NDArray[np.int64], labels: Sequence[str]) -> Figure:
    """Counts, coloured by their share of the true class; only the most confused of many classes.

    The table is (C, C), rows true, columns predicted, with a label for each row.
    """
    keep = most_confused(table)
    chosen = table[keep][:, keep]
    # matplotlib reads text between two dollar signs as a formula.
    shown = [shorten(labels[index], _LABEL_LENGTH).replace("$", r"\$") for index in keep]
    # Counts of all predictions for a class, including columns that are not shown.
    share = chosen / np.maximum(table[keep].sum(axis=1, keepdims=True), 1)
    side = 2.2 + 0.32 * len(shown)
    figure = Figure(figsize=(side, side))
    axes = figure.add_subplot()
    axes.imshow(share, cmap="Blues", vmin=0, vmax=1)
    axes.set_xticks(range(len(shown)), shown, rotation=90)
    axes.set_yticks(range(len(shown)), shown)
    axes.set(xlabel="predicted", ylabel="true")
    for row, column in zip(*np.nonzero(chosen), strict=True):
        colour = "white" if share[row, column] > 0.5 else "black"
        text = str(chosen[row, column])
        axes.text(column, row, text, ha="center", va="center", color=colour, fontsize=7)
    return figure
