"""A training that improves no more stops, keeps its best weights, and stays stopped."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from datasets.errors import InputError
from tasks.fitting.base import Task
from tasks.fitting.engine import fit
from tasks.fitting.history import METRICS_NAME, read_metrics
from tasks.fitting.spec import FitSpec
from tasks.fitting.stopwatch import Stopwatch


class Scripted(Task):
    """One weight, which each step changes, and a metric that goes by a list."""

    monitor = "score"

    def __init__(self, spec: FitSpec, scores: list[float]) -> None:
        super().__init__(_Network(), spec, seed=0)
        self.scores = scores

    def validation_step(self, batch: Any, batch_idx: int) -> None:
        """Read the score of this epoch."""
        self.log("score", self.scores[self.current_epoch], batch_size=2)


class _Network(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Linear(1, 1)

    def forward(self, images: Tensor, targets: Tensor) -> dict[str, Tensor]:
        return {"all": (self.body(images[:, 0, 0]) - targets).square().mean()}


class _Loader:
    """Two batches an epoch, and no place within one to go on from."""

    def state_dict(self) -> dict[str, Any]:
        """Nothing to keep."""
        return {}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Nothing to take up."""

    def __len__(self) -> int:
        return 2

    def __iter__(self) -> Iterator[dict[str, Any]]:
        for k in range(2):
            images = torch.full((2, 1, 1, 1), float(k + 1))
            yield {"images": images, "targets": torch.ones(2, 1), "files": ["a", "b"]}


def train(
    folder: Path, scores: list[float], *, patience: int, resume: bool = False
) -> list[dict[str, float]]:
    """Metrics of the best weights, each time that there were new ones."""
    kept: list[dict[str, float]] = []
    spec = FitSpec(epochs=8, batch_size=2, eval_every=1, patience=patience, ema_decay=0)
    task = Scripted(spec, scores)
    loader = _Loader()
    fit(
        task,
        loader,
        loader,
        folder=folder,
        device="cpu",
        resume=resume,
        write_best=lambda _state, metrics: kept.append(metrics),
        watch=Stopwatch(),
    )
    return kept


def epochs_of(folder: Path) -> int:
    """Number of epochs that were evaluated."""
    return sum(name == "score" for _, name, _ in read_metrics(folder / METRICS_NAME))


@pytest.mark.slow
def test_it_stops_and_keeps_the_best(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    scores = [0.1, 0.3, 0.2, 0.4, 0.4, 0.3, 0.9, 0.9]
    best = train(tmp_path, scores, patience=2)
    assert [round(one["score"], 1) for one in best] == [0.1, 0.3, 0.4, 0.4]
    assert epochs_of(tmp_path) == 6
    assert "stopped after epoch 6 of 8: 2 evaluations in a row" in capsys.readouterr().err
    assert train(tmp_path, scores, patience=2, resume=True) == []
    assert epochs_of(tmp_path) == 6


@pytest.mark.slow
def test_without_patience_it_trains_to_its_end(tmp_path: Path) -> None:
    assert train(tmp_path, [0.5] * 8, patience=0)
    assert epochs_of(tmp_path) == 8


def test_a_training_without_a_metric_has_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Scripted, "monitor", None)
    with pytest.raises(InputError, match="--patience 2: this training has no metric to go by"):
        train(tmp_path, [], patience=2)
