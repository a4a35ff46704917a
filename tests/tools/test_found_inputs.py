"""The tools on data as people have them: names of any bytes, and sets of their own to test on."""

import json
import os
from pathlib import Path

import cv2
import numpy as np
import pytest

from tests.conftest import Tool

SMALL = ("--preset", "demo", "--size", 32, "--batch-size", 4, "--epochs", 1, "--workers", 0)
ODD = os.fsdecode(b"ch\xe2ton")


def write_classes(root: Path, names: tuple[str, ...], count: int, seed: int) -> Path:
    rng = np.random.default_rng(seed)
    for name in names:
        (root / name).mkdir(parents=True)
        for k in range(count):
            photo = rng.integers(0, 255, (32, 32, 3), np.uint8)
            data = cv2.imencode(".jpg", photo)[1].tobytes()
            (root / name / f"{k}.jpg").write_bytes(data)
    return root


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("sets") / "photos"
    data = write_classes(root, (ODD, "dog"), 10, seed=0)
    (data / ODD / "0.jpg").rename(data / ODD / f"{ODD}.jpg")
    return data


@pytest.fixture
def run(tool: Tool, photos: Path, tmp_path: Path) -> Path:
    status, _, err = tool("train_cls", "--data", photos, "--out", tmp_path / "run", *SMALL)
    assert status == 0, err
    assert "20 files: 20 images, 0 annotation files, 0 passed over" in err
    return tmp_path / "run"


@pytest.mark.slow
def test_names_of_any_bytes_reach_the_end(run: Path, photos: Path, tool: Tool) -> None:
    for name in ("report.json", "report.html", "predictions.csv"):
        assert r"ch\xe2ton" in (run / name).read_text(encoding="utf-8").replace("\\\\", "\\"), name
    out = run.parent / "found"
    status, text, err = tool("predict", run, photos / ODD, "--out", out, "--json")
    assert status == 0, err
    assert r"ch\xe2ton.jpg" in json.dumps(json.loads(text)).replace("\\\\", "\\")
    assert (out / f"{ODD}.jpg").is_file()


@pytest.mark.slow
def test_reports_hold_the_table_of_files(run: Path, photos: Path, tool: Tool) -> None:
    (files,) = json.loads((run / "report.json").read_text(encoding="utf-8"))["files"]
    assert (files["seen"], files["used"]["images"], files["passed_over"]) == (20, 20, {})
    assert f"files below {photos}" in (run / "report.html").read_text(encoding="utf-8")
    out = run.parent / "fifth"
    status, _, err = tool("evaluate", run, "--data", photos, "--out", out, "--workers", 0)
    assert status == 0, err
    (files,) = json.loads((out / "report.json").read_text(encoding="utf-8"))["files"]
    (reason,) = files["passed_over"]
    rest = files["passed_over"][reason]["files"]
    assert files["used"]["images"] + rest == 20
    assert f"20 files: {20 - rest} images, 0 annotation files, {rest} passed over" in err
    assert "that are not used here" in reason


@pytest.mark.slow
def test_all_of_another_set_is_measured(run: Path, photos: Path, tool: Tool) -> None:
    test = write_classes(run.parent / "test", (ODD, "dog"), 10, seed=1)

    def measure(data: Path, *flags: object) -> tuple[int, str]:
        out = run.parent / f"of-{data.name}-{len(flags)}"
        status, _, err = tool(
            "evaluate", run, "--data", data, "--out", out, "--workers", 0, *flags
        )
        assert status == 0, err
        rows = len((out / "predictions.csv").read_text(encoding="utf-8").splitlines()) - 1
        assert f"measuring {rows} images: " in err
        return rows, err.split("images: ")[1].splitlines()[0]

    assert measure(test) == (20, f"all of {test}")
    rows, said = measure(photos)
    assert rows < 10
    assert said.startswith(f"the fifth of {photos} that was held out")
    moved = photos.rename(photos.with_name("moved"))
    try:
        assert measure(moved)[0] == rows
    finally:
        moved.rename(photos)
    assert measure(photos, "--split", "all") == (20, f"all of {photos}")
    few, said = measure(test, "--split", "val")
    assert few < 20
    assert said == f"a fifth of {test}, as --split val asks for"
