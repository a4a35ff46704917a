"""Training, evaluation and export as functions: each configuration finds what the tools run."""

from __future__ import annotations

import threading
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from configs.classification import TrainCls
from configs.common import Common
from configs.deploy import Export
from configs.fine_grained import TrainDogs
from configs.gan import TrainGan
from configs.multitask import TrainMulti
from configs.tools import Evaluate
from datasets.errors import InputError
from tasks import applications
from tasks.fitting.spec import FitSpec
from tests.age.application import AGE
from tests.age.config import AGE_PRESETS, TrainAge
from tests.age.data import draw_ages
from tests.age.recipe import AGE_RECIPE
from tools import cli, recipes
from tools.library import evaluate, export, train, trainings
from tools.recipes import RECIPES


def test_each_configuration_has_its_training(monkeypatch: pytest.MonkeyPatch) -> None:
    ran: list[Any] = []

    def record(*args: Any, report: bool) -> None:
        ran.append((*args, report))

    monkeypatch.setattr(trainings, "train_or_grid", record)
    configs = [recipe.config() for recipe in RECIPES]
    for config in configs:
        trainings.training_of(config)(config, False)
    assert ran == [(recipe, one, False) for recipe, one in zip(RECIPES, configs, strict=True)]
    for other in (TrainMulti(), TrainGan()):
        assert trainings.training_of(other) in dict(trainings._OTHERS).values()
    with pytest.raises(InputError, match="Evaluate: no configuration of a training"):
        train(Evaluate(Path("x")))
    with pytest.raises(InputError, match="pass a configuration"):
        train("runs/mine")


def test_the_call_stands_where_commands_do() -> None:
    import tools.library as library

    config = TrainDogs(fit=replace(TrainDogs().fit, epochs=3), common=Common(out=Path("a b")))
    call = library._call_of("train", config)
    assert call == "train(TrainDogs(common=Common(out='a b'), fit=FitSpec(epochs=3)))"
    with cli.called(call):
        assert cli.shown_command() == call
    assert cli.shown_command().startswith("tools/")


def test_mistakes_are_told(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="gone: no such weights file"):
        evaluate(Evaluate(tmp_path / "gone"))
    with pytest.raises(InputError, match="gone: no such weights file"):
        export(Export(tmp_path / "gone"))
    with pytest.raises(InputError, match=r"no config\.json there"):
        train(TrainCls(resume=tmp_path))


@pytest.mark.slow
def test_a_run_and_going_on_with_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In a thread of its own, as services do; an application that the product does not have."""
    monkeypatch.setattr(applications, "APPLICATIONS", (*applications.APPLICATIONS, AGE))
    monkeypatch.setattr(recipes, "RECIPES", (*recipes.RECIPES, AGE_RECIPE))
    data, run = draw_ages(tmp_path / "faces", count=30), tmp_path / "run"
    demo: TrainAge = AGE_PRESETS["demo"]
    fit: FitSpec = replace(demo.fit, epochs=1)
    common = Common(out=run, threads=1)
    config = replace(demo, data=data, fit=fit, workers=0, common=common)
    found: list[dict[str, Any]] = []
    work = threading.Thread(target=lambda: found.append(train(config, report=False)))
    work.start()
    work.join()
    (first,) = found
    assert first["folder"] == str(run)
    assert "train(TrainAge(" in first["facts"]["weights"]
    asked = Evaluate(run, data=data, workers=0, common=Common(out=tmp_path / "ev", threads=1))
    assert evaluate(asked)["metrics"] == first["metrics"]
    again = train(replace(config, resume=run), report=False)
    assert again["metrics"] == first["metrics"]
