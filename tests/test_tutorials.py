"""The notebooks of docs/tutorials/ run cell by cell, on built-in data and with few steps."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from datasets.builtin.shapes_and_breeds import draw_shapes
from tests.house import ROOT

FOLDER = ROOT / "docs/tutorials"
# What takes the place of a notebook's settings, and texts that it must then have printed.
SMALL: dict[str, tuple[dict[str, Any], tuple[str, ...]]] = {
    "detector_on_your_data": (
        {"SCENES": 16, "SIZE": 64, "EPOCHS": 1},
        ("train: 16 images", "AP50", "MB", "file:"),
    ),
    "classifier_to_phone": (
        {"SIZE": 32, "EPOCHS": 8, "BATCH": 8, "MAX_DROP": 100.0},
        ("train: 253 images", "int8", "in INT8", "ms per image", "circle, "),
    ),
}


def cells(name: str) -> list[dict[str, Any]]:
    """Cells of a notebook."""
    found = json.loads((FOLDER / f"{name}.ipynb").read_text(encoding="utf-8"))["cells"]
    return list(found)


def settings_in(cell: dict[str, Any]) -> set[str]:
    """Names that a cell of settings gives a value."""
    return set(re.findall(r"(?m)^([A-Z_]+) = ", "".join(cell["source"])))


@pytest.mark.slow
@pytest.mark.parametrize("name", SMALL)
def test_a_notebook_runs(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    settings, printed = SMALL[name]
    place: dict[str, Any] = {}
    for number, cell in enumerate(cells(name)):
        if cell["cell_type"] != "code":
            continue
        exec(compile("".join(cell["source"]), f"{name}, cell {number}", "exec"), place)
        if "parameters" in cell["metadata"].get("tags", ()):
            assert settings.keys() <= settings_in(cell)
            place |= settings
            if name == "classifier_to_phone":  # Data that are there, and have no parts.
                draw_shapes(Path("drawn"), num_train=40, num_val=1, size=32)
                Path("drawn/train").rename(place["DATA"])
    out = capsys.readouterr().out
    for text in printed:
        assert text in out, out


def test_every_notebook_is_run_and_has_no_outputs() -> None:
    assert sorted(SMALL) == sorted(file.stem for file in FOLDER.glob("*.ipynb"))
    for name in SMALL:
        code = [cell for cell in cells(name) if cell["cell_type"] == "code"]
        assert not any(cell["outputs"] or cell["execution_count"] for cell in code)
        assert sum("parameters" in cell["metadata"].get("tags", ()) for cell in code) == 1
