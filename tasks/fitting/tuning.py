"""The search for a learning rate and a batch size, by Lightning's Tuner."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

import lightning.pytorch as pl
import numpy as np
import torch
from lightning.pytorch.tuner.tuning import Tuner
from torch import Tensor

from datasets.errors import InputError
from tasks.fitting.base import Task
from tasks.fitting.engine import make_trainer, quieten

# Of the range test: its ends, and its number of steps.
_LOWEST, _HIGHEST, _STEPS = 1e-6, 1.0, 100
# Of Lightning's running mean; of the smoothing in its place; of a loss that diverges.
_DECAY, _WIDTH, _RISE = 0.98, 4.0, 0.1
_LEAST = 2  # Images that batch norm needs.


class RateSearch(NamedTuple):
    """A learning-rate range test (Smith, arXiv 1506.01186).

    Attributes:
        rates: Learning rate of each step.
        losses: Loss of each step, smoothed over its neighbours.
        found: A tenth of the rate at which the training begins to diverge.
    """

    rates: list[float]
    losses: list[float]
    found: float


def find_rate(task: Task, loader: Any, device: str) -> RateSearch:
    """Train a hundred steps with ever higher learning rates, by Lightning's range test.

    The network is trained by this: pass one that is not used otherwise. All layers learn at one
    rate here, whatever the task's layer decay is. Lightning's own suggestion is not used: it is
    the steepest point of a running mean whose first values are half of what they should be.

    Args:
        task: Task to train.
        loader: Its training batches.
        device: ``cpu``, ``cuda`` or ``mps``.

    Raises:
        InputError: If there is no loss to go by.
    """
    quieten()
    task.epoch_steps = len(loader)
    with TemporaryDirectory() as folder:
        trainer = _trainer(task, device, folder)
        try:
            tested = Tuner(trainer).lr_find(
                task,
                train_dataloaders=loader,
                min_lr=_LOWEST,
                max_lr=_HIGHEST,
                num_training=_STEPS,
                update_attr=False,
            )
            assert tested is not None
            rates, means = tested.results["lr"], tested.results["loss"]
        except FloatingPointError:  # It diverged within a step, which is what is looked for.
            test: Any = trainer.callbacks[0]  # type: ignore[attr-defined]
            rates, means = test.lrs, test.losses
    losses = smoothed(raw_losses(means))
    if not losses:
        raise InputError("--find-lr: the loss is no number from the first step on; give --lr")
    rates = list(rates)[: len(losses)]
    return RateSearch(rates, losses, diverging_rate(rates, losses) / 10)


def raw_losses(means: Sequence[float]) -> list[float]:
    """The loss of each step, from Lightning's running means of decay .98, up to the first NaN.

    Lightning divides the mean after n steps by 1 - .98 ** (n + 1) instead of .98 ** n.
    """
    found, before = list[float](), 0.0
    for k, mean in enumerate(means):
        total = mean * (1 - _DECAY ** (k + 2))
        if not math.isfinite(total):
            break
        found.append((total - _DECAY * before) / (1 - _DECAY))
        before = total
    return found


def smoothed(losses: Sequence[float]) -> list[float]:
    """Each loss averaged with its neighbours, weighted by a normal distribution of width 4."""
    values, places = np.asarray(losses), np.arange(len(losses))
    weights = np.exp(-0.5 * ((places[:, None] - places) / _WIDTH) ** 2)
    found: list[float] = (weights @ values / weights.sum(axis=1)).tolist()
    return found


def diverging_rate(rates: Sequence[float], losses: Sequence[float]) -> float:
    """The rate from which on the loss stays a tenth above its lowest value; or the last.

    Small losses, as of weights that know the data, rise by more than that and fall again.
    """
    lowest = min(losses)
    limit = lowest + _RISE * abs(lowest)
    last = max(k for k, loss in enumerate(losses) if loss <= limit)
    return rates[min(last + 1, len(rates) - 1)]


class _Sized(pl.LightningDataModule):
    """Training batches of a size that Lightning changes."""

    def __init__(self, loader_of: Callable[[int], Any]) -> None:
        super().__init__()
        self.batch_size = _LEAST
        self._loader_of = loader_of

    def train_dataloader(self) -> Any:
        """The training batches of the present size."""
        return self._loader_of(self.batch_size)

    def val_dataloader(self) -> Any:
        """Nothing is evaluated."""
        return []


def find_batch_size(task: Task, loader_of: Callable[[int], Any], device: str, *, most: int) -> int:
    """The largest power of two, up to ``most``, that fits into the memory of a GPU, by trying.

    Half of the first size that does not fit is taken, so that nothing is at its limit.

    Args:
        task: Task whose network is trained by this.
        loader_of: Function from a batch size to the training batches.
        device: Device with memory of its own; a CPU's operating system would end the process.
        most: Largest size to try.
    """
    quieten()
    task.epoch_steps = 1
    with TemporaryDirectory() as folder:
        found = Tuner(_trainer(task, device, folder)).scale_batch_size(
            task, datamodule=_Sized(loader_of), mode="power", init_val=_LEAST, max_val=most
        )
    assert found is not None
    return max(_LEAST, min(found, most))


def bytes_per_image(task: Task, loader: Any, device: str) -> int:
    """Memory that a training step needs for each image, in bytes, as its tensors state it.

    It is what the forward pass keeps for the backward pass, and half as much again for what is
    needed in between. It does not depend on other programs.

    Args:
        task: Task whose network is trained by this, for one step.
        loader: Its training batches.
        device: Device to train on.
    """
    quieten()
    task.epoch_steps = len(loader)
    own = {parameter.untyped_storage().data_ptr() for parameter in task.parameters()}
    kept: dict[int, int] = {}

    def note(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in own:
            kept[storage.data_ptr()] = storage.nbytes()
        return tensor

    with TemporaryDirectory() as folder:
        trainer = _trainer(task, device, folder, max_steps=1)
        with torch.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor):
            trainer.fit(task, loader)
    return sum(kept.values()) * 3 // (2 * int(loader.batch_size))


def _trainer(task: Task, device: str, folder: str | Path, **options: Any) -> pl.Trainer:
    """A Trainer that leaves no files; the spec's epochs suffice for the steps."""
    task.train()  # Lightning leaves what it finds in evaluation mode there.
    spec = replace(task.fit_spec, epochs=max(task.fit_spec.epochs, _STEPS), frozen_epochs=0)
    return make_trainer(
        spec,
        device,
        is_run=False,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        default_root_dir=folder,
        limit_val_batches=0,
        **options,
    )
