"""The page that a GAN's run leaves: scores, the course of the game, sample sheets over time."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image
from numpy.typing import NDArray

from tasks.dcgan.scores import MEANINGS
from tasks.dcgan.task import SAMPLES_FOLDER, WINDOW
from tasks.reporting.html_page import Page
from tasks.reporting.plots import history_plot
from tasks.weights.atomic_write import replacing, write_text

Picture = NDArray[np.uint8]
GAME_NAME = "game.png"
_SHEETS = 6


@dataclass(frozen=True)
class ScoreRow:
    """Figures of one lot of pictures.

    Attributes:
        name: What made them.
        pictures: How many.
        figures: By the names of :data:`~tasks.dcgan.scores.MEANINGS`.
    """

    name: str
    pictures: int
    figures: dict[str, float]


@dataclass(frozen=True)
class ReportData:
    """What a report is drawn from.

    Attributes:
        title: Of the page.
        command: That made it.
        minutes: That it took, over all starts.
        stopped: Why the training stopped before its end; empty if it did not.
        features: What the Frechet distance is called.
        rows: Of the table of scores; the first is the generator's.
        history: Rows (step, name, value) of the training.
        neighbours: Generated pictures beside the photo that is nearest to each.
        facts: Name and value pairs for the summary table.
    """

    title: str
    command: str
    minutes: float
    stopped: str
    features: str
    rows: Sequence[ScoreRow]
    history: Sequence[tuple[int, str, float]]
    neighbours: Sequence[tuple[Picture, str]]
    facts: Sequence[tuple[str, str]]


def write_report(folder: Path, data: ReportData) -> dict[str, Any]:
    """Write ``report.html``, ``report.json`` and ``game.png``; return the second.

    Raises:
        OSError: If a file cannot be written.
    """
    page = Page(data.title, data.command)
    if data.stopped:
        page.section("The training stopped", data.stopped)
    own = data.rows[0].figures
    page.headline(
        [(f"{own['frechet']:.2f}", data.features)]
        + [(f"{own[name]:.3f}", name) for name in ("precision", "recall", "density", "coverage")]
    )
    page.table(("", ""), [*data.facts, ("minutes", f"{data.minutes:.1f}")])
    _write_scores(page, data)
    _write_game(page, folder, data)
    page.section(
        "Nearest photos",
        "Left: generated. Right: the nearest by features of the training photos that were scored. "
        "Twins are learned by heart.",
    )
    page.pictures(data.neighbours)
    page.write(folder / "report.html")
    summary = _summary(folder, data)
    write_text(folder / "report.json", json.dumps(summary, indent=1))
    return summary


def scores_text(rows: Sequence[ScoreRow]) -> str:
    """The table of scores for the terminal."""
    width = max(len(row.name) for row in rows)
    lines = [
        f"  {'':{width}}  pictures  frechet     kid  +- error  precision  recall  density  cover"
    ]
    for row in rows:
        f = row.figures
        lines.append(
            f"  {row.name:{width}}  {row.pictures:8d}  {f['frechet']:7.2f}  {f['kid']:6.3f}  "
            f"{f['kid_error']:8.3f}  {f['precision']:9.3f}  {f['recall']:6.3f}  "
            f"{f['density']:7.3f}  {f['coverage']:5.3f}"
        )
    return "\n".join(lines)


def _write_scores(page: Page, data: ReportData) -> None:
    page.section(
        "Scores against the training photos",
        f"{data.features}. Such figures compare with each other only, and a Frechet distance only "
        "with one of as many pictures: fewer give a larger one.",
    )
    page.table(
        ("", "pictures", *MEANINGS),
        [(row.name, row.pictures, *(row.figures[name] for name in MEANINGS)) for row in data.rows],
    )
    page.table(("", ""), list(MEANINGS.items()))


def _write_game(page: Page, folder: Path, data: ReportData) -> None:
    """Curves, and how the same random numbers looked over time."""
    if not data.history:
        return
    page.section("The game", f"Means over {WINDOW} steps each.")
    figure = history_plot(data.history, ("d_real", "d_fake", "variety"))
    figure.axes[0].set_ylim(0, None)
    with replacing(folder / GAME_NAME) as temporary:
        figure.savefig(temporary, format="png", dpi=120, bbox_inches="tight")
    page.plots(
        [
            (
                figure,
                "how sure the discriminator is that photos (d_real) and generated pictures "
                "(d_fake) are real; how unlike each other generated pictures are, of photos",
            ),
            (history_plot(data.history, ("loss_d", "loss_g")), "losses (smoothed)"),
            (history_plot(data.history, ("frechet",)), "Frechet distance over steps"),
            (
                history_plot(data.history, ("precision", "recall", "density", "coverage")),
                "the other scores over steps",
            ),
        ]
    )
    page.section("Samples over time", "A row per class, always the same random numbers.")
    page.pictures((np.asarray(PIL.Image.open(file)), file.stem) for file in _some_sheets(folder))


def _some_sheets(folder: Path) -> list[Path]:
    """Sheets of the run, evenly chosen, the first and the last among them."""
    sheets = sorted((folder / SAMPLES_FOLDER).glob("step-*.png"))
    chosen = np.linspace(0, len(sheets) - 1, min(len(sheets), _SHEETS)).round().astype(int)
    return [sheets[index] for index in chosen]


def _summary(folder: Path, data: ReportData) -> dict[str, Any]:
    """What report.json holds."""
    return {
        "folder": str(folder),
        "minutes": data.minutes,
        "metrics": data.rows[0].figures,
        "measure": data.features,
        "scores": [
            {"name": row.name, "pictures": row.pictures, **row.figures} for row in data.rows
        ],
        "stopped": data.stopped,
        "facts": dict(data.facts),
    }
