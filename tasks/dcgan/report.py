"""The report of a GAN's run: scores, course of the training, sample sheets over time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
import PIL.Image

from tasks.dcgan.scores import MEANINGS
from tasks.dcgan.task import SAMPLES_FOLDER, WINDOW
from tasks.reporting.html_page import Page
from tasks.reporting.pictures import Image
from tasks.reporting.plots import history_plot
from tasks.reporting.skeleton import Report
from tasks.reporting.tables import columns_text
from tasks.weights.atomic_write import replacing

GAME_NAME = "game.png"
_SHEETS = 6
_SHARES = ("precision", "recall", "density", "coverage")
# Titles of the score columns, in the order of their meanings.
_TITLES = ("", "pictures", "frechet", "   kid", "+- error", *_SHARES[:3], "cover")


class ScoreRow(NamedTuple):
    """Scores of a number of images by :data:`~tasks.dcgan.scores.MEANINGS`, and their source."""

    name: str
    pictures: int
    figures: dict[str, float]


@dataclass(frozen=True)
class ReportData:
    """The contents of a GAN's report.

    Attributes:
        folder: Folder of the run, with its sample sheets.
        minutes: Duration in minutes, over all starts.
        stopped: Why the training stopped before its end; empty if it did not.
        features: Title of the Frechet distance.
        rows: Rows of the table of scores; the first is the generator's.
        history: Rows (step, name, value) of the training.
        neighbours: Generated images beside the image that is nearest to each.
    """

    folder: Path
    minutes: float
    stopped: str
    features: str
    rows: Sequence[ScoreRow]
    history: Sequence[tuple[int, str, float]]
    neighbours: Sequence[tuple[Image, str]]


def make_report(data: ReportData) -> Report:
    """The part of the report that is specific to a GAN; its page also writes ``game.png``."""
    own = data.rows[0].figures
    return Report(
        headline=[
            (f"{own['frechet']:.2f}", data.features),
            *((f"{own[name]:.3f}", name) for name in _SHARES),
        ],
        summary={
            "metrics": own,
            "measure": data.features,
            "scores": [
                {"name": row.name, "pictures": row.pictures, **row.figures} for row in data.rows
            ],
            "stopped": data.stopped,
        },
        stopped=data.stopped,
        page_facts=[("minutes", f"{data.minutes:.1f}")],
        sections=partial(_write_sections, data=data),
    )


def _write_sections(page: Page, data: ReportData) -> None:
    """Scores, course of the training, and the nearest images."""
    page.section(
        "Scores against the training images",
        f"{data.features}. Such figures compare with each other only, and a Frechet distance only "
        "with one of as many images: fewer give a larger one.",
    )
    page.table(
        ("", "pictures", *MEANINGS),
        [(row.name, row.pictures, *(row.figures[name] for name in MEANINGS)) for row in data.rows],
    )
    page.table(("", ""), list(MEANINGS.items()))
    _write_game(page, data)
    page.section(
        "Nearest images",
        "Left: generated. Right: the nearest by features of the training images that were scored. "
        "Twins are learned by heart.",
    )
    page.pictures(data.neighbours)


def scores_text(rows: Sequence[ScoreRow]) -> str:
    """The table of scores for the terminal."""
    cells = []
    for name, pictures, figures in rows:
        shown = (f"{figures[one]:.{2 if one == 'frechet' else 3}f}" for one in MEANINGS)
        cells.append((name, str(pictures), *shown))
    return columns_text(_TITLES, cells)


def _write_game(page: Page, data: ReportData) -> None:
    """Curves, and the images from the same random numbers over time."""
    if not data.history:
        return
    page.section("The game", f"Means over {WINDOW} steps each.")
    figure = history_plot(data.history, ("d_real", "d_fake", "variety"))
    figure.axes[0].set_ylim(0, None)
    with replacing(data.folder / GAME_NAME) as temporary:
        figure.savefig(temporary, format="png", dpi=120, bbox_inches="tight")
    page.plots(
        [
            (
                figure,
                "how sure the discriminator is that images (d_real) and generated images "
                "(d_fake) are real; how unlike each other generated images are, of images",
            ),
            (history_plot(data.history, ("loss_d", "loss_g")), "losses (smoothed)"),
            (history_plot(data.history, ("frechet",)), "Frechet distance over steps"),
            (history_plot(data.history, _SHARES), "the other scores over steps"),
        ]
    )
    page.section("Samples over time", "A row per class, always the same random numbers.")
    sheets = sorted((data.folder / SAMPLES_FOLDER).glob("step-*.png"))
    some = np.linspace(0, len(sheets) - 1, min(len(sheets), _SHEETS)).round().astype(int)
    page.pictures((np.asarray(PIL.Image.open(sheets[k])), sheets[k].stem) for k in some)
