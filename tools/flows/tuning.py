"""A batch size and a learning rate that suit a run, found before it begins."""

from __future__ import annotations

import gc
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from matplotlib.figure import Figure

from datasets.errors import InputError
from datasets.memory import CACHE_SHARE, free_memory
from tasks.distillation.target_source import TargetSource
from tasks.fitting.base import Task
from tasks.fitting.engine import rank_and_world
from tasks.fitting.tuning import RateSearch, bytes_per_image, find_batch_size, find_rate
from tasks.predictor import Model
from tasks.weights.atomic_write import replacing
from tools import cli
from tools.flows.recipe import Notes, OpenedRun

PLOT_NAME = "learning_rate.png"
# Fewest steps in an epoch that a search leaves, unless a batch would have fewer images than batch
# norm can do with; and most images in a batch.
_STEPS, _LEAST, _MOST = 20, 8, 1024
_PROBED = 4


def tune(
    run: OpenedRun[Any], folder: Path, device: str, taught: TargetSource | None
) -> tuple[Any, Notes]:
    """Find what the configuration asks for, and put it there.

    The networks of the search are not used otherwise: the run is exactly the one that the values
    found would give as flags, and its stored configuration has these values.

    Args:
        run: Opened run; its configuration gets the values.
        folder: Run folder, for the plot.
        device: Device to train on.
        taught: Source of teacher targets, if there is a teacher.

    Returns:
        The configuration, and rows for the report.

    Raises:
        InputError: If several processes train.
    """
    config, notes = run.config, Notes()
    asked = {"--find-batch-size": config.find_batch_size, "--find-lr": config.find_lr}
    flags = [flag for flag, given in asked.items() if given]
    if not flags:
        return config, notes
    if rank_and_world()[1] > 1:
        raise InputError(
            f"{flags[0]}: searches on one process; do that first, and give all what it finds"
        )
    if config.find_batch_size:
        size, why = _batch_size(run, folder, device, taught)
        notes.append(("batch size", f"{size}, found in place of {config.fit.batch_size}: {why}"))
        _change(run, find_batch_size=False, batch_size=size)
    if config.find_lr:
        search = find_rate(_task(run, folder, taught), run.training_loader(0), device)
        _plot(search, folder / PLOT_NAME)
        rate = float(f"{search.found:.2g}")
        text = f"{rate:g}, found in place of {config.fit.lr:g}: {folder / PLOT_NAME}"
        notes.append(("learning rate", text))
        _change(run, find_lr=False, lr=rate)
    for name, text in notes:
        cli.say(f"{name} {text}")
    gc.collect()  # Loaders and networks of the search.
    return run.config, notes


def _change(run: OpenedRun[Any], *, batch_size: int = 0, lr: float = 0.0, **done: bool) -> None:
    fit = run.config.fit
    fit = replace(fit, batch_size=batch_size or fit.batch_size, lr=lr or fit.lr)
    run.config = replace(run.config, fit=fit, **done)


def _task(run: OpenedRun[Any], folder: Path, taught: TargetSource | None) -> Task:
    """A task with a network of its own, made as the run makes its own one."""
    network, card = run.build(taught)
    application = run.application
    model = Model(application, card, folder, application.pick(run.options()), network=network)
    return run.task(model, run.exam(model, workers=0, tested=False, alone=True), taught)


def _batch_size(
    run: OpenedRun[Any], folder: Path, device: str, taught: TargetSource | None
) -> tuple[int, str]:
    """The size, and the reason for it."""
    most = _power(max(_LEAST, min(_MOST, len(run.train) // _STEPS)))
    why = f"{_STEPS} steps in an epoch if {_LEAST} to {_MOST} images permit"
    if device == "cpu":
        _change(run, batch_size=_PROBED)
        each = bytes_per_image(_task(run, folder, taught), run.training_loader(0), device)
        fits = _power(int(CACHE_SHARE * free_memory()) // max(1, each))
        memory = f"a step needs {each / 1e6:.1f} MB per image"
    else:

        def loader_of(size: int) -> Any:
            _change(run, batch_size=size)
            return run.training_loader(0)

        fits = find_batch_size(_task(run, folder, taught), loader_of, device, most=most)
        torch.cuda.empty_cache()
        memory = "half of the first size that does not fit"
    return (fits, memory) if fits < most else (most, why)


def _power(number: int) -> int:
    """The largest power of two up to a number, and at least 2."""
    return 1 << max(1, number.bit_length() - 1)


def _plot(search: RateSearch, file: Path) -> None:
    figure = Figure(figsize=(6, 4), layout="constrained")
    axes = figure.add_subplot(
        xlabel="learning rate", ylabel="loss, smoothed", xscale="log", title="Range test"
    )
    axes.plot(search.rates, search.losses)
    axes.axvline(search.found, color="tab:red", label=f"found: {search.found:.2g}")
    axes.legend()
    file.parent.mkdir(parents=True, exist_ok=True)
    with replacing(file) as temporary:
        figure.savefig(temporary, format="png")
