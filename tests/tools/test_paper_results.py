"""What runs have reached: a table per application."""

import json
from pathlib import Path

import pytest
import torch

from backbone.flavour import Flavour
from datasets.types import ClassMap
from tasks.body_spec import ClassifierSpec
from tasks.weights.card import Card
from tasks.weights.file import save_weights
from tasks.weights.names import WEIGHTS_NAME
from tests.conftest import Tool
from tests.tools.mistakes import expect


@pytest.mark.slow
def test_results_of_runs(tool: Tool, tmp_path: Path) -> None:
    """The best first, with the paper's print where network and number of classes are its own."""
    names = [f"c{number}" for number in range(120)]
    for name, alpha, size, classes, top1 in (
        ("small", 0.5, 160, names, 0.7),
        ("paper", 1.0, 224, names, 0.8),
        ("other", 1.0, 224, names[:2], 0.6),
        ("unfinished", 1.0, 224, names, 0.9),
    ):
        spec = ClassifierSpec(alpha=alpha, size=size)
        card = Card("classification", spec.to_json(), Flavour(), ClassMap.from_names(classes))
        folder = tmp_path / name
        folder.mkdir()
        save_weights(folder / WEIGHTS_NAME, {"w": torch.zeros(2)}, card)
        metrics = {"top1": top1, "top1_low": top1 - 0.01, "top1_high": top1 + 0.01}
        report = {"metrics": metrics, "images": 90, "minutes": 2.5}
        if name != "unfinished":
            (folder / "report.json").write_text(json.dumps(report))
        (folder / "config.json").write_text(json.dumps({"command": f"tools/train_dogs.py {name}"}))
    status, text, err = tool("paper", "--results", "--runs", tmp_path, "--json")
    assert status == 0
    assert f"left out: {tmp_path / 'unfinished'}" in err
    rows = json.loads(text)["results"]["classification"]
    assert [Path(row["folder"]).name for row in rows] == ["paper", "small", "other"]
    assert [row["printed"] for row in rows] == ["83.3", "", ""]
    status, text, _ = tool("paper", "--results", "--runs", tmp_path)
    assert status == 0
    assert "### Classification" in text
    assert (
        "| mobilenet_v1 1.0-224 | 90 | 0.800 | 0.790 to 0.810 | 83.3 | 2.5 | "
        "`tools/train_dogs.py paper` |" in text
    )
    expect(tool("paper", "--results", "--table", 3), "--results")
