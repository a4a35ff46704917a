"""No resume writes over the results of a training whose checkpoint is lost."""

import json
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest

from configs.classification import TrainCls
from configs.common import Common
from datasets.errors import InputError
from tools.classification.recipe import CLASSIFICATION_RECIPE
from tools.dcgan.judge import train_once
from tools.fine_grained.recipe import DogsRun
from tools.flows.grid import train_or_grid
from tools.flows.stages import is_begun, read_report

LOST = "no last.ckpt to resume from, and beginning anew would write over"


@pytest.mark.parametrize("result", ["model.safetensors", "metrics.csv", "report.json"])
def test_results_without_their_checkpoint_stay(tmp_path: Path, result: str) -> None:
    (tmp_path / "config.json").write_text("{}")
    assert not is_begun(tmp_path)
    (tmp_path / result).touch()
    with pytest.raises(InputError, match=f"{LOST} .*{result}"):
        is_begun(tmp_path)
    (tmp_path / "last.ckpt").touch()
    assert is_begun(tmp_path)


def test_every_stage_asks_for_it(tmp_path: Path) -> None:
    """Runs of a grid, second stages, classifiers of a GAN and of an experiment."""
    config = replace(
        TrainCls(), grid=("alpha=0.25",), resume=tmp_path, common=Common(out=tmp_path)
    )
    inside = tmp_path / "mobilenet_v1-a0.25-224-seed0"
    inside.mkdir()
    (inside / "metrics.csv").touch()
    with pytest.raises(InputError, match=f"{inside}: {LOST}"):
        train_or_grid(CLASSIFICATION_RECIPE, config)
    (tmp_path / "model.safetensors").touch()
    dogs = SimpleNamespace(config=SimpleNamespace(resume=tmp_path))
    with pytest.raises(InputError, match=LOST):
        DogsRun.resumes(dogs, tmp_path)  # type: ignore[arg-type]
    nothing: dict[str, object] = {"train": None, "val": None, "path": tmp_path, "device": "cpu"}
    with pytest.raises(InputError, match=LOST):
        train_once(config, folder=tmp_path, outer=tmp_path, **nothing)  # type: ignore[arg-type]


def test_a_damaged_report_is_named(tmp_path: Path) -> None:
    report = tmp_path / "report.json"
    assert read_report(tmp_path) is None
    for text, told in (("{", "column"), ("[]", "object"), ("{}", "no field 'metrics'")):
        report.write_text(text)
        with pytest.raises(InputError, match=rf"{report}: .*{told}.*; delete"):
            read_report(tmp_path, "metrics")
    report.write_text(json.dumps({"metrics": {"top1": 1.0}}))
    assert read_report(tmp_path, "metrics") == {"metrics": {"top1": 1.0}}
