"""Trackers: local unless asked for more, one run in a tracker for each run folder."""

import json
import sys
from pathlib import Path
from types import ModuleType
from typing import Any, ClassVar

import pytest
from lightning.pytorch.loggers.logger import Logger

from datasets.errors import InputError
from tasks.fitting import trackers
from tasks.fitting.trackers import IDS_NAME, tracking


class StandIn(Logger):
    """Takes the arguments of Lightning's loggers, and keeps what it gets."""

    made: ClassVar[list["StandIn"]] = []

    def __init__(self, **options: Any) -> None:
        super().__init__()
        self.options, self.config = options, dict[str, Any]()
        self.made.append(self)

    @property
    def name(self) -> str:
        """Name of the logger."""
        return "stand-in"

    @property
    def version(self) -> str:
        """The run's id in the tracker."""
        return str(self.options.get("id") or self.options.get("run_id") or "new")

    def log_metrics(self, metrics: dict[str, float], step: int | None = None) -> None:
        """Nothing is logged here."""

    def log_hyperparams(self, params: Any, *args: Any, **kwargs: Any) -> None:
        """Keep the configuration."""
        self.config = params


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[StandIn]:
    """Lightning's loggers replaced, and the packages there; the loggers that are made."""
    for name in ("WANDB_MODE", "WANDB_PROJECT", "MLFLOW_TRACKING_URI", "MLFLOW_EXPERIMENT_NAME"):
        monkeypatch.delenv(name, raising=False)
    for name in ("WANDB_ERROR_REPORTING", "MLFLOW_DISABLE_TELEMETRY"):
        monkeypatch.setenv(name, "")
        monkeypatch.delenv(name)
    monkeypatch.setattr(StandIn, "made", [])
    monkeypatch.setattr("lightning.pytorch.loggers.WandbLogger", StandIn)
    monkeypatch.setattr("lightning.pytorch.loggers.MLFlowLogger", StandIn)
    monkeypatch.setattr(trackers.importlib.util, "find_spec", lambda name: name)
    wandb = ModuleType("wandb")
    wandb.ended = []  # type: ignore[attr-defined]
    wandb.finish = lambda: wandb.ended.append(True)  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "wandb", wandb)
    (tmp_path / "config.json").write_text('{"fit": {"lr": 1}}')
    return StandIn.made


@pytest.mark.parametrize("empty", [False, True])
def test_nothing_leaves_the_machine_unasked(
    made: list[StandIn], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, empty: bool
) -> None:
    if empty:
        for name in ("WANDB_MODE", "MLFLOW_TRACKING_URI"):
            monkeypatch.setenv(name, "")
    with tracking(("wandb", "mlflow"), tmp_path, first=True) as found:
        assert found == made
    wandb, mlflow = (one.options for one in made)
    assert wandb["offline"]
    assert wandb["save_dir"] == tmp_path
    assert mlflow["tracking_uri"] == "sqlite:///mlflow.db"
    assert made[0].config == {"fit": {"lr": 1}}


def test_the_environment_says_where(
    made: list[StandIn], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WANDB_MODE", "online")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://host:5000")
    with tracking(("wandb", "mlflow"), tmp_path, first=True):
        assert not made[0].options["offline"]
        assert made[1].options["tracking_uri"] == "http://host:5000"


def test_a_resumed_run_is_the_same_one(made: list[StandIn], tmp_path: Path) -> None:
    for _ in range(2):
        with tracking(("wandb", "mlflow"), tmp_path, first=True):
            pass
    first, _, again, mlflow = made
    assert (first.config, again.config) == ({"fit": {"lr": 1}}, {}), "which MLflow never changes"
    assert again.version == first.version != "new"
    assert mlflow.options["run_id"] == "new"
    (tmp_path / IDS_NAME).write_text("{")
    with pytest.raises(InputError, match=IDS_NAME), tracking(("wandb",), tmp_path, first=True):
        pass


def test_other_processes_log_nothing(made: list[StandIn], tmp_path: Path) -> None:
    with tracking(("wandb",), tmp_path, first=False) as found:
        assert not found
    assert not made
    assert not (tmp_path / IDS_NAME).exists()


def test_a_missing_package_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trackers.importlib.util, "find_spec", lambda _: None)
    message = "--logger wandb: pip install wandb, which this project's extra 'wandb' names"
    with pytest.raises(InputError, match=message), tracking(("wandb",), tmp_path, first=True):
        pass


@pytest.mark.usefixtures("made")
def test_a_tracker_that_cannot_be_opened_is_a_message(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(**_: object) -> None:
        raise ConnectionError("no server at host:5000")

    monkeypatch.setattr("lightning.pytorch.loggers.MLFlowLogger", fail)
    with (
        pytest.raises(InputError, match="--logger mlflow: cannot be opened: no server at host"),
        tracking(("wandb", "mlflow"), tmp_path, first=True),
    ):
        pass
    assert sys.modules["wandb"].ended == [True]
    assert json.loads((tmp_path / "config.json").read_text())
