"""Gradient accumulation: a step on several batches is one on all their images."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from datasets.errors import InputError
from tasks.fitting.base import Task
from tasks.fitting.engine import fit, lightning_precision, make_trainer
from tasks.fitting.spec import FitSpec
from tasks.fitting.stopwatch import Stopwatch

IMAGES = torch.arange(24, dtype=torch.float32).view(24, 1, 1, 1) / 10


class Line(nn.Module):
    """One weight and one bias, without batch norm."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Linear(1, 1)
        nn.init.constant_(self.body.weight, 0.5)
        nn.init.constant_(self.body.bias, 0.1)

    def forward(self, images: Tensor, targets: Tensor) -> dict[str, Tensor]:
        return {"all": (self.body(images[:, 0, 0]) - targets).square().mean()}


class LineTask(Task):
    """Has no metric."""

    monitor = None

    def validation_step(self, batch: Any, batch_idx: int) -> None:
        """Nothing is measured."""


class Loader:
    """The images in order, in batches of one size."""

    def __init__(self, size: int) -> None:
        self.size = size

    def state_dict(self) -> dict[str, Any]:
        """Nothing to keep."""
        return {}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Nothing to take up."""

    def __len__(self) -> int:
        return len(IMAGES) // self.size

    def __iter__(self) -> Iterator[dict[str, Any]]:
        for part in IMAGES.split(self.size):
            yield {"images": part, "targets": 1 - part[:, :, 0, 0], "files": ["a"] * len(part)}


def trained(folder: Path, size: int, accumulate: int) -> Task:
    spec = FitSpec(
        epochs=2, batch_size=size, accumulate=accumulate, ema_decay=0, precision="fp32", lr=0.02
    )
    task, loader = LineTask(Line(), spec, seed=0), Loader(size)
    fit(
        task,
        loader,
        loader,
        folder=folder,
        device="cpu",
        resume=False,
        write_best=lambda _state, _metrics: None,
        watch=Stopwatch(),
    )
    return task


@pytest.mark.slow
def test_a_step_on_several_batches_is_one_on_all_their_images(tmp_path: Path) -> None:
    whole = trained(tmp_path / "whole", size=12, accumulate=1)
    parts = trained(tmp_path / "parts", size=4, accumulate=3)
    assert parts.total_steps == whole.total_steps == 4
    for name, value in whole.model.state_dict().items():
        torch.testing.assert_close(parts.model.state_dict()[name], value, rtol=1e-6, atol=1e-7)


@pytest.mark.slow
def test_the_last_step_of_an_epoch_may_have_fewer(tmp_path: Path) -> None:
    task = trained(tmp_path, size=4, accumulate=4)
    assert task.total_steps == 4
    assert task.trainer.global_step == 4


def test_formats_of_each_device(monkeypatch: pytest.MonkeyPatch) -> None:
    for native, found in ((True, "bf16-mixed"), (False, "16-mixed")):
        monkeypatch.setattr("tasks.fitting.engine.has_native_bf16", lambda _, n=native: n)
        assert lightning_precision("auto", "cuda") == found
        assert lightning_precision("auto", "cpu") == ("bf16-mixed" if native else "32-true")
    assert lightning_precision("fp16", "cuda") == "16-mixed"
    assert lightning_precision("bf16", "cpu") == "bf16-mixed"
    assert lightning_precision("fp32", "cuda") == "32-true"
    with pytest.raises(InputError, match="--precision fp16: needs an NVIDIA GPU; cpu takes"):
        lightning_precision("fp16", "cpu")


def test_gpus_add_in_one_order(monkeypatch: pytest.MonkeyPatch) -> None:
    """As resuming exactly needs; the CPU does so anyway."""
    monkeypatch.setattr("tasks.fitting.engine.pl.Trainer", lambda **options: options)
    spec = FitSpec(epochs=1, batch_size=2)
    for device, found in (("cuda", "warn"), ("cpu", None)):
        made: Any = make_trainer(spec, device)
        assert (made["accelerator"], made["deterministic"]) == (device, found)
