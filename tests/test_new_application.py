"""An application that the product does not have goes through every door, by its records alone.

``tests/age`` is its folder; this test adds its three records to the three tuples, and edits
nothing else.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from configs.serve import Serve
from datasets import kinds
from datasets.images import read_image
from tasks import applications, load
from tasks.open_model import open_model
from tasks.runtime.open import open_export, read_card
from tests import json_results
from tests.age.application import AGE
from tests.age.config import AGE_PRESETS
from tests.age.data import AGES, draw_ages
from tests.age.recipe import AGE_RECIPE
from tests.conftest import Tool
from tests.tools.page_client import ask, picture_of, serving
from tools import cli, recipes
from tools.flows.flags import read_flags
from tools.flows.grid import train_or_grid
from tools.service.opening import open_service

pytestmark = pytest.mark.slow

Train = Callable[..., tuple[int, str, str]]
QUICK = ("--threads", "1", "--workers", "0")


@pytest.fixture
def age(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """The three tuples with one more record each; and a folder of drawn faces."""
    monkeypatch.setattr(applications, "APPLICATIONS", (*applications.APPLICATIONS, AGE))
    monkeypatch.setattr(recipes, "RECIPES", (*recipes.RECIPES, AGE_RECIPE))
    monkeypatch.setattr(kinds, "KINDS", (AGES, *kinds.KINDS))
    monkeypatch.setattr(json_results, "fault_of", lambda *_: "")  # Schemas lack its own fields.
    monkeypatch.chdir(tmp_path)
    return draw_ages(tmp_path / "faces", count=60)


@pytest.fixture
def train(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Train:
    """What tools/train_age.py would be: the two lines of every training tool."""

    def main() -> None:
        config = read_flags(AGE_PRESETS)
        cli.result(config.common, *train_or_grid(AGE_RECIPE, config))

    def run(*args: object) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["tools/train_age.py", *map(str, args), *QUICK])
        status = 0
        try:
            cli.run(main)
        except SystemExit as stop:
            status = int(stop.code or 0)
        return status, *capsys.readouterr()

    return run


def done(result: tuple[int, str, str]) -> str:
    status, out, err = result
    assert status == 0, err
    return out


def test_it_goes_through_every_door(age: Path, train: Train, tool: Tool, tmp_path: Path) -> None:
    checked = json.loads(done(tool("check_data", age, "--json")))
    assert (checked["task"], checked["images"]) == ("age", 60)

    run = tmp_path / "run"
    report = json.loads(done(train("--data", age, "--epochs", 6, "--out", run, "--json")))
    assert report["metrics"].keys() == {"within10", "mae"}
    assert "birthday" in (run / "report.html").read_text(encoding="utf-8")
    assert read_card(run).task == "age"

    evaluated = json.loads(
        done(tool("evaluate", run, "--data", age, "--out", tmp_path / "ev", "--json", *QUICK[:2]))
    )
    assert evaluated["metrics"] == report["metrics"]

    photos = sorted(age.glob("*.png"))[:5]
    args = ("--out", tmp_path / "predicted", "--json", *QUICK[:2])
    told = json.loads(done(tool("predict", run, *photos, *args)))
    years = [row["years"] for row in told["photos"]]
    assert len(set(years)) == 5
    assert [one.years for one in load(run, device="cpu")(photos)] == pytest.approx(years)
    assert (tmp_path / "predicted" / photos[0].name).exists()

    exported = json.loads(done(tool("export", run, "--samples", age, "--json")))
    assert exported["checked"]["differences"].keys() == {"years"}
    session = open_export(run / "model.onnx", 1)
    found = session([read_image(file, upright=True) for file in photos])
    assert [float(one["years"][0]) for one in found] == pytest.approx(years, abs=0.1)
    again = json.loads(
        done(
            tool("evaluate", run / "model.onnx", "--data", age, "--out", tmp_path / "e2", "--json")
        )
    )
    assert again["metrics"]["mae"] == pytest.approx(report["metrics"]["mae"], abs=0.1)

    int8 = ("--int8", "--calibrate", age, "--labelled", age, "--max-drop", 100)
    small = json.loads(done(tool("export", run, "--samples", age, *int8, "--json")))
    assert small["scores"]["metric"] == "within ten years"
    assert open_model(run / "model.int8.onnx").application is AGE

    card = done(tool("upload", run, "me/ages", "--dry-run", "--out", tmp_path / "hub"))
    assert "nothing was sent" in card
    text = (tmp_path / "hub" / "README.md").read_text(encoding="utf-8")
    assert "birthday" in text
    assert "tools/train_age.py" in text


def test_a_run_that_is_resumed_is_the_same(age: Path, train: Train, tmp_path: Path) -> None:
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    done(train("--data", age, "--epochs", 2, "--out", whole))
    done(train("--data", age, "--epochs", 2, "--out", parts))
    (parts / "report.json").unlink()
    done(train("--resume", parts))
    assert (whole / "metrics.csv").read_text() == (parts / "metrics.csv").read_text()
    one, other = open_model(whole), open_model(parts)
    for name, tensor in one.network.state_dict().items():
        assert tensor.equal(other.network.state_dict()[name]), name


def test_the_page_answers(age: Path, train: Train, tmp_path: Path) -> None:
    done(train("--data", age, "--epochs", 1, "--out", tmp_path / "run"))
    service, shelf = open_service(Serve((tmp_path / "run",), port=0))
    (row,) = shelf.describe()
    assert (row["task"], row["note"], row["images"]) == ("Ages", AGE.use_note, 1)
    with serving(service):
        status, reply = ask(service, "draw=true", sorted(age.glob("*.png"))[0].read_bytes())
    assert status == 200, reply
    assert reply["answers"][0].keys() == {"years"}
    assert re.fullmatch(r"-?[\d.]+ years", reply["shown"]["summary"])
    assert picture_of(reply).format == "JPEG"


def test_a_teacher_that_nobody_asks_is_refused(age: Path, train: Train, tmp_path: Path) -> None:
    status, _, err = train("--data", age, "--out", tmp_path / "run", "--teacher", "nobody")
    assert status == 2
    assert "--teacher nobody: the training of age learns from labels alone" in err


def test_a_grid_of_it(age: Path, train: Train, tmp_path: Path) -> None:
    grid = ("--grid", "alpha=.25,.5", "--epochs", 1, "--json")
    found = json.loads(done(train("--data", age, "--out", tmp_path / "grid", *grid)))
    assert [row["model"]["alpha"] for row in found["rows"]] == [0.25, 0.5]
    assert np.isfinite([row["within10"] for row in found["rows"]]).all()


def test_unknown_names_raise(
    train: Train, age: Path, tool: Tool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without its record nothing falls through to another application."""
    done(train("--data", age, "--epochs", 1, "--out", tmp_path / "run"))
    for module, name, own in (
        (applications, "APPLICATIONS", AGE),
        (recipes, "RECIPES", AGE_RECIPE),
        (kinds, "KINDS", AGES),
    ):
        others = tuple(one for one in getattr(module, name) if one is not own)
        monkeypatch.setattr(module, name, others)
    for name, args in (
        ("evaluate", ()),
        ("predict", (str(next(age.glob("*.png"))),)),
        ("export", ()),
        ("upload", ("me/ages", "--dry-run")),
    ):
        status, _, err = tool(name, tmp_path / "run", *args)
        assert status == 2, err
        assert "'age'" in err
