"""What the reports of all applications share: order, tables, pictures."""

import json
from pathlib import Path

import numpy as np
import pytest

from backbone.cost import Cost
from tasks.reporting.html_page import Page
from tasks.reporting.pictures import shorten, tile
from tasks.reporting.skeleton import Curves, MetricsTable, Report, RunFacts, write_report
from tasks.reporting.tables import columns_text, metric_rows, metrics_text

MEANINGS = {"top1": "share that is right", "median_km": "half are nearer", "loss": "mean loss"}


def full_report() -> Report:
    """A report that has something in every place."""

    def opening(page: Page) -> None:
        page.section("Opening")

    def sections(page: Page) -> None:
        page.section("Sections")

    return Report(
        headline=[("0.750", "top-1")],
        summary={"metrics": {"top1": 0.75}},
        details={"detail": 1},
        cases={"worst": ["a.jpg"]},
        num_images=60,
        per="image",
        stopped="the game was over",
        page_facts=[("minutes", "1.5")],
        opening=opening,
        curves=(Curves(("loss",), "falls"),),
        curves_note="A note on curves.",
        metrics=MetricsTable(metric_rows({"top1": 0.75}, MEANINGS), note="A note on metrics."),
        sections=sections,
        use_note="Not for that.",
    )


@pytest.mark.slow
def test_a_page_has_everything_in_its_place(tmp_path: Path) -> None:
    cost = Cost(mult_adds=569_000_000, params=4_240_000, layers=())
    history = [(step, "loss", 1 / step) for step in (1, 2, 3)]
    run = RunFacts("Title", "tools/x.py", [("data", "set")], cost=cost, history=history)
    summary = write_report(tmp_path, run, full_report())
    assert list(summary) == ["folder", "metrics", "cost", "detail", "facts", "worst"]
    assert summary["cost"] == {"mult_adds": 569_000_000, "params": 4_240_000}
    assert summary["facts"] == {"data": "set"}
    assert json.loads((tmp_path / "report.json").read_text()) == summary
    page = (tmp_path / "report.html").read_text()
    expected = (
        "tools/x.py",
        "the game was over",
        "<b>0.750</b>top-1",
        "<b>0.569 B</b>mult-adds per image",
        "<b>4.240 M</b>parameters",
        "<b>60</b>images",
        "<td>data</td><td>set</td>",
        "<td>minutes</td><td>1.5</td>",
        "<h2>Opening</h2>",
        "<h2>Training</h2>",
        "A note on curves.",
        "<figcaption>falls</figcaption>",
        "<h2>Metrics</h2>",
        "A note on metrics.",
        "share that is right",
        "<h2>Sections</h2>",
        "Not for that.",
    )
    places = [page.find(text) for text in expected]
    assert -1 not in places, expected[places.index(-1)]
    assert places == sorted(places)


def test_what_a_run_lacks_is_left_out(tmp_path: Path) -> None:
    """A network whose cost is no single figure, measured without having been trained."""
    report = Report(
        headline=[("1", "figure")], summary={}, curves=(Curves(("loss",), "loss over steps"),)
    )
    summary = write_report(tmp_path, RunFacts("Title", "command", []), report)
    assert summary == {"folder": str(tmp_path), "facts": {}}
    page = (tmp_path / "report.html").read_text()
    assert "<h2>" not in page
    assert "mult-adds" not in page


def test_metrics_come_in_the_order_of_their_meanings() -> None:
    shown = {"loss": " 0.500", "top1": " 0.750", "other": " 1.000"}
    assert metrics_text(shown, MEANINGS, ["A note."]).splitlines() == [
        "  top1       0.750   share that is right",
        "  loss       0.500   mean loss",
        "  A note.",
    ]
    assert metric_rows({"loss": 0.5, "median_km": "-"}, MEANINGS) == [
        ("median_km", "-", "half are nearer"),
        ("loss", 0.5, "mean loss"),
    ]


def test_columns_are_aligned_and_long_names_cut() -> None:
    rows = [("a long name", "0.5", "12"), ("b", "10.25", "-")]
    assert columns_text(("class", "share", "    photos"), rows, 6).splitlines() == [
        "  class   share      photos",
        "  a long    0.5          12",
        "  b       10.25           -",
    ]
    assert columns_text(("class", "share"), []) == "  class  share"


@pytest.mark.parametrize("size", [(20, 40), (400, 30), (1, 1), (64, 64)])
def test_a_tile_holds_the_whole_image(size: tuple[int, int]) -> None:
    drawn = tile(np.full((*size, 3), 255, np.uint8), 64, (10, 20, 30))
    assert drawn.shape == (64, 64, 3)
    white = (drawn == 255).all(axis=2)
    rows, columns = np.flatnonzero(white.any(axis=1)), np.flatnonzero(white.any(axis=0))
    scale = 64 / max(size)
    assert (len(rows), len(columns)) == tuple(max(round(side * scale), 1) for side in size)
    assert (drawn[~white] == (10, 20, 30)).all()
    # In the middle, to a pixel.
    assert abs(rows[0] - (63 - rows[-1])) <= 1
    assert abs(columns[0] - (63 - columns[-1])) <= 1


def test_a_name_that_is_cut_says_so() -> None:
    assert shorten("Alder hound", 11) == "Alder hound"
    assert shorten("Alder hounds", 11) == "Alder houn…"
