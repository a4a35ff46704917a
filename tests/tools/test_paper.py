"""The paper's tables as a tool: printed beside computed and measured."""

import json
import re
import subprocess
import sys
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
import torch

from backbone.flavour import Flavour
from datasets.locks import unfinished
from datasets.types import ClassMap
from tasks.body_spec import ClassifierSpec
from tasks.detection.spec import DetectorSpec
from tasks.weights.card import Card
from tasks.weights.file import save_weights
from tasks.weights.names import WEIGHTS_NAME
from tests.conftest import Tool
from tests.tools.mistakes import expect
from tests.tools.runs import ROOT
from tools.paper_tables.costs import rounds_to

# (table, row): printed mult-adds, printed params; "" where the paper's figure is not ours, "-"
# where it prints none. Rows of one label in a table are told apart by their position.
PRINTED = {
    1: [*[("-", "-")] * 28, ("569", "4.2")],
    2: [("94.86", "74.59"), ("3.06", "1.06"), ("", "0.02"), ("0.18", "24.33")],
    3: [("462", "2.36"), ("52.3", "0.27"), ("29.6", "0.15"), ("15.1", "0.15")],
    4: [("4866", "29.3"), ("569", "4.2")],
    5: [("325", "2.6"), ("307", "2.9")],
    6: [("569", "4.2"), ("325", "2.6"), ("149", "1.3"), ("41", "0.5")],
    7: [("569", "4.2"), ("418", "4.2"), ("290", "4.2"), ("186", "4.2")],
    8: [("569", "4.2"), ("", ""), ("15300", "138")],
    9: [("76", "1.32"), ("", "1.25"), ("720", "60")],
    10: [("", ""), ("569", "3.3"), ("325", "1.9"), ("418", "3.3"), ("239", "1.9")],
    11: [("-", "-"), ("5.74", "52"), ("0.58", "13")],
    12: [
        ("568", "3.2"), ("149", "0.8"), ("", "0.2"), ("185", "3.2"), ("", "0.8"), ("", "0.2"),
        ("", ""),
    ],
    13: [
        ("34.9", ""), ("3.8", ""), ("1.2", "6.8"), ("64.3", "138.5"), ("118.2", "13.3"),
        ("25.2", "6.1"), ("149.6", "138.5"), ("129.6", "13.3"), ("30.5", "6.1"),
    ],
    14: [("", ""), ("", ""), ("185", ""), ("166", ""), ("", "")],
}  # fmt: skip
# What the reason must name, for every row with a figure that is not ours.
REASONS = {
    (1, 25): "stride 1",
    (2, 2): "transposed digits",
    (8, 1): "5x5",
    (9, 1): "floating-point operations",
    (10, 0): "5.71 B",
    (12, 2): "a tenth above",
    (12, 4): "cut off",
    (12, 5): "a tenth above",
    (12, 6): "in-house",
    (13, 0): "2.5 M parameters more",
    (13, 1): "cut off",
    (14, 0): "FaceNet",
    (14, 1): "286 is 3.7 M under",
    (14, 2): "input size",
    (14, 3): "160 pixels",
    (14, 4): "108 is 2.0 M above",
}


def read(tool: Tool, *args: object) -> dict[int, Any]:
    """Tables by number."""
    status, text, err = tool("paper", "--json", *args)
    assert status == 0, err
    return {table["number"]: table for table in json.loads(text)["tables"]}


def finish(
    folder: Path,
    task: str,
    spec: ClassifierSpec | DetectorSpec,
    classes: int = 2,
    **metrics: float,
) -> Path:
    """A run folder as a training leaves it, with one small tensor for weights."""
    card = Card(
        task,
        spec.to_json(),
        Flavour(),
        ClassMap.from_names([f"class {number}" for number in range(classes)]),
        metrics,
        f"trained from scratch on pets by tools/{folder.name}",
    )
    save_weights(folder / WEIGHTS_NAME, {"w": torch.zeros(2)}, card)
    return folder


@pytest.fixture(scope="module")
def tables() -> dict[int, Any]:
    """All tables without any run, read once."""
    from configs.paper_tables import TABLES
    from tools.paper_tables.costs import check_table
    from tools.paper_tables.text import FilledTable, as_json

    checked = [(table, check_table(table)) for table in TABLES]
    filled = [FilledTable(table, rows, [None] * len(rows)) for table, rows in checked]
    return {table["number"]: table for table in as_json(filled)["tables"]}


@pytest.mark.slow
@pytest.mark.parametrize("number", PRINTED)
def test_what_can_be_reproduced_matches(tables: dict[int, Any], number: int) -> None:
    for row, expected in zip(tables[number]["rows"], PRINTED[number], strict=True):
        for name, text in zip(("mult-adds", "params"), expected, strict=True):
            cost = row["costs"].get(name, {"printed": None, "match": None})
            if text == "-":
                assert cost["printed"] is None
            else:
                assert cost["match"] is bool(text), (row["label"], name, cost)
                assert not text or cost["printed"] == float(text)


@pytest.mark.slow
def test_each_mismatch_has_its_reason(tables: dict[int, Any]) -> None:
    missed = {
        (number, index): row["remark"]
        for number, table in tables.items()
        for index, row in enumerate(table["rows"])
        if row["match"] is False
    }
    assert missed.keys() == REASONS.keys()
    for place, reason in REASONS.items():
        assert missed[place].startswith("no: ")
        assert reason in missed[place]


@pytest.mark.slow
def test_conventions_are_shown(tables: dict[int, Any]) -> None:
    resolution = tables[7]["rows"][2]
    assert resolution["costs"]["mult-adds"]["ours"] == 289.65
    assert "without the fully connected layers (290.68 M" in resolution["remark"]
    assert "with one addition per bias (149.540 B" in tables[13]["rows"][6]["remark"]
    assert "without batch norm" in tables[9]["rows"][0]["remark"]
    assert "1000 outputs" in tables[10]["rows"][1]["remark"]
    assert "must read billion" in tables[11]["rows"][2]["remark"]
    assert tables[1]["rows"][0]["costs"]["layer"]["match"]


@pytest.mark.parametrize(
    ("value", "text", "step", "fits"),
    [
        ("568.74", "569", "", True),
        ("568.49", "569", "", False),
        ("13.79", "13.7", "", False),
        ("15346.6", "15300", "100", True),
        ("15346.6", "15300", "", False),
        ("0.25", "0.3", "", True),
    ],
)
def test_rounding(value: str, text: str, step: str, fits: bool) -> None:
    assert rounds_to(Decimal(value), text, step) is fits


@pytest.mark.slow
def test_prints_all_tables_without_runs(
    tool: Tool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    status, text, err = tool("paper")
    assert status == 0, err
    titles = re.findall(r"^Table (\d+)\. ", text, flags=re.MULTILINE)
    assert titles == [str(number) for number in range(1, 15)]
    assert "printed figures match" in text
    assert "Nothing was measured" in text
    assert not err


@pytest.mark.slow
def test_one_table_and_several(tool: Tool) -> None:
    status, text, _ = tool("paper", "--table", 3)
    assert status == 0
    assert text.count("Table ") == 1
    assert list(read(tool, "--table", 3, 2)) == [2, 3]


@pytest.mark.slow
def test_columns_are_aligned(tool: Tool) -> None:
    _, text, _ = tool("paper", "--table", 6)
    titles, _, *rows = text.splitlines()[1:7]
    end = titles.index("mult-adds M") + len("mult-adds M")
    assert [row[:end].split()[-1] for row in rows] == ["569", "325", "149", "41"]


@pytest.mark.slow
def test_markdown(tool: Tool) -> None:
    _, text, _ = tool("paper", "--table", 9, "--markdown")
    rows = [line for line in text.splitlines() if line.startswith("|")]
    assert len({row.count("|") for row in rows}) == 1
    assert set(rows[1]) == {"|", "-"}
    assert "| no: 1700 counts" in rows[3]


@pytest.mark.slow
def test_runs_fill_the_measured_column(tool: Tool, tmp_path: Path) -> None:
    finish(tmp_path / "a/one", "classification", ClassifierSpec(), top1=0.501)
    best = finish(tmp_path / "a/two", "classification", ClassifierSpec(), top1=0.602)
    finish(tmp_path / "b", "classification", ClassifierSpec(size=192), top1=0.4)
    finish(tmp_path / "c", "classification", ClassifierSpec(variant="shallow"), top1=0.3)
    finish(tmp_path / "d", "detection", DetectorSpec(), AP=0.123)
    finish(tmp_path / "e", "detection", DetectorSpec(head="ssdlite"), AP=0.9)
    finish(tmp_path / "f", "classification", ClassifierSpec(alpha=0.75), classes=120, top1=0.81)
    shown = read(tool, "--runs", tmp_path)
    seven = [row["measured"] for row in shown[7]["rows"]]
    assert seven[0]["percent"] == {"top1": pytest.approx(60.2)}
    assert (seven[0]["runs"], seven[0]["folder"]) == (2, str(best))
    assert "trained from scratch on pets" in seven[0]["source"]
    assert seven[1]["runs"] == 1
    assert seven[2:] == [None, None]
    assert shown[7]["rows"][0]["printed"] == {"top1": 70.6}
    assert shown[5]["rows"][1]["measured"]["percent"]["top1"] == pytest.approx(30)
    detectors = [row["measured"] for row in shown[13]["rows"]]
    assert detectors[2]["percent"] == {"AP": pytest.approx(12.3)}
    assert not any(detectors[:2] + detectors[3:])
    dogs = [row["measured"] for row in shown[10]["rows"]]
    assert [bool(measured) for measured in dogs] == [False, False, True, False, False]


@pytest.mark.slow
def test_several_distances_are_one_measurement(tool: Tool, tmp_path: Path) -> None:
    part = {"km25": 0.2, "km1": 0.05}
    finish(tmp_path / "part", "geolocation", ClassifierSpec(), **part)
    assert read(tool, "--table", 11, "--runs", tmp_path)[11]["rows"][2]["measured"] is None
    whole = {**part, "km2500": 0.7, "km750": 0.5, "km200": 0.3}
    finish(tmp_path / "whole", "geolocation", ClassifierSpec(), **whole)
    _, text, _ = tool("paper", "--table", 11, "--runs", tmp_path)
    assert "79.3 60.3 45.2 31.7 11.4  70.0 50.0 30.0 20.0 5.0" in text


@pytest.mark.slow
def test_text_names_the_data(tool: Tool, tmp_path: Path) -> None:
    run = finish(tmp_path / "deep/run", "classification", ClassifierSpec(), top1=0.25)
    _, text, _ = tool("paper", "--table", 4, "--runs", tmp_path)
    assert re.search(r"MobileNet +70\.6 +25\.0 ", text)
    flat = " ".join(text.split())
    assert f"measured, MobileNet: {run}: trained from scratch on pets" in flat
    assert flat.endswith("Rows measured: 1.")


@pytest.mark.slow
def test_what_was_not_measured_is_left_out(tool: Tool, tmp_path: Path) -> None:
    finish(tmp_path / "absent", "detection", DetectorSpec(), AP=-1.0)
    finish(tmp_path / "nan", "detection", DetectorSpec(), AP=float("nan"))
    finish(tmp_path / "other", "detection", DetectorSpec(), top1=0.4)
    rows = read(tool, "--table", 13, "--runs", tmp_path)[13]["rows"]
    assert not any(row["measured"] for row in rows)


def test_damaged_weights_are_skipped(tool: Tool, tmp_path: Path) -> None:
    good = finish(tmp_path / "good", "classification", ClassifierSpec(), top1=0.5)
    whole = (good / WEIGHTS_NAME).read_bytes()
    for name, content in (("cut", whole[:40]), ("empty", b""), ("noise", b"\xff" * 64)):
        (tmp_path / name).mkdir()
        (tmp_path / name / WEIGHTS_NAME).write_bytes(content)
    bare = tmp_path / "bare" / WEIGHTS_NAME
    bare.parent.mkdir()
    from safetensors.torch import save_file

    save_file({"w": torch.zeros(1)}, bare)
    save_file({"w": torch.zeros(1)}, tmp_path / "empty" / WEIGHTS_NAME, metadata={"card": "[]"})
    status, text, err = tool("paper", "--table", 4, "--runs", tmp_path)
    assert status == 0
    assert "50.0" in text
    warned = [line for line in err.splitlines() if line.startswith("warning: ")]
    assert len(warned) == 4
    assert f"left out: {bare}: these weights carry no card" in err


@pytest.mark.slow
def test_page_and_figures(tool: Tool, tmp_path: Path) -> None:
    runs, out = tmp_path / "runs", tmp_path / "page"
    runs.mkdir()
    status, _, err = tool("paper", "--table", 4, 8, "--runs", runs, "--out", out)
    assert status == 0, err
    assert "figures 4 and 5 show the printed points" in err
    drawn = (out / "figure4.svg").read_text()
    assert "printed in the paper, ImageNet" in drawn
    assert "measured here" not in drawn
    finish(runs / "small", "classification", ClassifierSpec(alpha=0.25, size=96), top1=0.33)
    status, _, err = tool("paper", "--table", 4, 8, "--runs", runs, "--out", out)
    assert status == 0
    assert "show the printed points" not in err
    for name, label in (("figure4", "million mult-adds"), ("figure5", "million parameters")):
        drawn = (out / f"{name}.svg").read_text()
        assert label in drawn
        assert "measured here" in drawn
        assert "96 pixels" in drawn
    page = (out / "paper.html").read_text()
    assert page.count("<h2>") == 3
    assert page.count("data:image/svg+xml") == 2
    assert "torchvision" in page


@pytest.mark.slow
def test_points_of_the_figures(tmp_path: Path) -> None:
    from configs.paper_tables import TABLES
    from tools.paper_tables.runs import find_runs, measured_points, printed_points

    printed = printed_points(TABLES)
    assert len(printed) == 8  # Four widths, three more sizes, and 0.5-160.
    assert max(point.percent for point in printed) == 70.6
    for name, top1 in (("a", 0.2), ("b", 0.4)):
        finish(tmp_path / name, "classification", ClassifierSpec(), top1=top1)
    finish(tmp_path / "c", "classification", ClassifierSpec(variant="shallow"), top1=0.9)
    finish(tmp_path / "d", "classification", ClassifierSpec(backbone="alexnet"), top1=0.9)
    (point,) = measured_points(find_runs([tmp_path]))
    assert point.size == 224
    assert point.percent == pytest.approx(40)
    assert point.params == pytest.approx(3.209, abs=0.001)  # Two classes.


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--table", "15"], "--table 15: choose from 1 to 14"),
        (["--table", "3", "0"], "--table 0: choose from 1 to 14"),
        (["--runs", "nowhere"], "--runs nowhere: no such folder"),
        (["--markdown", "--json"], "--markdown and --json: choose one"),
        (["--tabel", "3"], "--table"),
    ],
)
def test_mistakes_are_named(tool: Tool, flags: list[str], message: str) -> None:
    expect(tool("paper", *flags), message)


@pytest.mark.slow
def test_help_comes_without_torch() -> None:
    code = (
        "import sys; sys.argv = ['paper', '--help']\nimport tools.paper\n"
        "try: tools.paper.main()\nexcept SystemExit as stop: assert not stop.code\n"
        "assert not {'torch', 'matplotlib', 'cv2'} & set(sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT)
    assert done.returncode == 0, done.stderr
    assert "--markdown" in done.stdout


@pytest.mark.slow
def test_foreign_cards_do_no_harm(tool: Tool, tmp_path: Path) -> None:
    spec = ClassifierSpec()
    finish(tmp_path / "a", "classification", spec, top1=0.5)
    finish(tmp_path / "b", "classification", spec, top1=None)
    odd = Card("classification", {"backbone": "later"}, Flavour(), ClassMap((1,), ("cat",)))
    save_weights(tmp_path / "c" / WEIGHTS_NAME, {"w": torch.zeros(1)}, odd)
    none = Card("classification", None, Flavour(), ClassMap((1,), ("cat",)), {"top1": 0.9})
    save_weights(tmp_path / "d" / WEIGHTS_NAME, {"w": torch.zeros(1)}, none)
    flags = ("--table", 4, "--runs", tmp_path, "--out", tmp_path / "page")
    status, text, err = tool("paper", *flags)
    assert status == 0, err
    assert "Rows measured: 1." in text
    assert err.count("warning: ") == 1


def test_out_may_not_be_a_file(tool: Tool, tmp_path: Path) -> None:
    file = tmp_path / "notes.txt"
    file.write_text("mine")
    status, _, err = tool("paper", "--table", 3, "--out", file)
    assert status == 2
    assert "notes.txt" in re.sub(r"[│\s]+", "", err)
    assert file.read_text() == "mine"


@pytest.mark.slow
def test_what_a_killed_one_left_is_removed(tool: Tool, tmp_path: Path) -> None:
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    place = unfinished("figure4.svg").partition("@")[2]
    left = tmp_path / "out" / f".figure4.svg.{gone.pid}@{place}"
    left.parent.mkdir()
    left.touch()
    assert tool("paper", "--table", 8, "--out", left.parent)[0] == 0
    assert not left.exists()
