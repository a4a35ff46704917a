"""A run that is repeated from its stored configuration, elsewhere, is the same bit for bit."""

import json
import shutil
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from configs.classification import CLS_PRESETS
from datasets.images import save_image
from tests.conftest import Tool
from tests.tools.mistakes import expect
from tests.tools.runs import assert_same_run
from tools.flows.run_folder import save_config
from tools.flows.tuning import tune_batch_size, tune_rate

FLAGS = (
    *("--preset", "demo", "--alpha", 0.25, "--size", 32, "--epochs", 2, "--eval-every", 1),
    *("--threads", 1, "--workers", 0, "--device", "cpu"),
)


@pytest.fixture
def skewed(tmp_path: Path) -> Path:
    """Sixty bright images and six dark ones, in a folder for each class."""
    rng = np.random.default_rng(0)
    for name, tone, count in (("bright", 150, 60), ("dark", 20, 6)):
        (tmp_path / "here" / "tones" / name).mkdir(parents=True)
        for k in range(count):
            image = rng.integers(tone, tone + 100, (32, 32, 3), dtype=np.uint8)
            save_image(tmp_path / "here" / "tones" / name / f"{k}.png", image)
    return tmp_path / "here" / "tones"


@pytest.mark.slow
def test_with_the_data_elsewhere_and_what_was_found(
    skewed: Path, tool: Tool, tmp_path: Path
) -> None:
    one, two = tmp_path / "one", tmp_path / "two"
    search = ("--find-lr", "--find-batch-size", "--resample", 1)
    args = ("--data", skewed, *search, *FLAGS, "--out", one)
    status, _, err = tool("train_cls", *args, report=False)
    assert status == 0, err
    assert (one / "learning_rate.png").exists()
    saved = json.loads((one / "config.json").read_text())
    assert (saved["find_lr"], saved["find_batch_size"], saved["fit"]["batch_size"]) == (0, 0, 8)
    assert f"learning rate {saved['fit']['lr']:g}, found in place of 0.004" in err
    facts = json.loads((one / "report.json").read_text())["facts"]
    assert facts["batch size"].startswith("8, found in place of 64: 20 steps in an epoch")
    moved = Path(shutil.move(skewed, tmp_path / "there"))
    again = ("--config", one / "config.json", "--data", moved, "--out", two)
    status, _, err = tool("train_cls", *again, report=False)
    assert status == 0, err
    assert not (two / "learning_rate.png").exists()
    assert_same_run(one, two)


def test_several_processes_search_nothing(
    skewed: Path, tool: Tool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WORLD_SIZE", "2")
    args = ("--data", skewed, "--find-lr", *FLAGS, "--out", tmp_path / "run")
    expect(tool("train_cls", *args, report=False), "--find-lr: searches on one process")
    assert not (tmp_path / "run").exists()


def test_a_resumed_fold_or_run_of_a_grid_searches_nothing(tmp_path: Path) -> None:
    """It is resumed with the flags of all, and its own configuration has what it found."""
    asked = replace(CLS_PRESETS["demo"], find_lr=True, find_batch_size=True)
    found = replace(asked.fit, lr=0.5, batch_size=2)
    save_config(replace(asked, fit=found, find_lr=False, find_batch_size=False), tmp_path)
    run: Any = SimpleNamespace(config=replace(asked, resume=tmp_path))
    for tune in (tune_batch_size, tune_rate):
        assert not tune(run, tmp_path, "cpu", None)
    assert run.config.fit == found
    assert (run.config.find_lr, run.config.find_batch_size) == (False, False)


def test_a_grid_of_what_is_searched_is_refused(tool: Tool, tmp_path: Path) -> None:
    args = ("--find-lr", "--grid", "lr=.1,.01", "--out", tmp_path / "run", "--device", "cpu")
    expect(tool("train_cls", *args, report=False), "--grid lr=...: --find-lr would put another")
