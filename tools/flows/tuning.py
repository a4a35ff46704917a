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
from tasks.flag_values import flag_of
from tasks.predictor import Model
from tasks.weights.atomic_write import replacing
from tools import cli
from tools.flows.recipe import Notes, OpenedRun
from tools.flows.run_folder import read_config

PLOT_NAME = "learning_rate.png"
# Fewest steps in an epoch that a search leaves, unless a batch would have fewer images than batch
# norm can do with; and most images in a batch.
_STEPS, _LEAST, _MOST = 20, 8, 1024
_PROBED = 4
# Field of the fit that each search replaces.
FOUND = {"find_batch_size": "batch_size", "find_lr": "lr"}


def tune_batch_size(
    run: OpenedRun[Any], folder: Path, device: str, taught: TargetSource | None
) -> Notes:
    """Find the batch size, if the configuration asks for it, and put it there.

    The networks of a search are not used otherwise: the run is exactly the one that the values
    found would give as flags, and its stored configuration has these values. A resumed run keeps
    what it found before.

    Args:
        run: Opened run; its configuration gets the value.
        folder: Run folder.
        device: Device to train on.
        taught: Source of teacher targets, if there is a teacher.

    Returns:
        Rows for the report.

    Raises:
        InputError: If several processes train.
    """
    if not _is_asked(run, folder, "find_batch_size"):
        return []
    before = run.config.fit.batch_size
    size, why = _batch_size(run, folder, device, taught)
    _change(run, "find_batch_size", size)
    return _said("batch size", f"{size}, found in place of {before}: {why}")


def tune_rate(
    run: OpenedRun[Any], folder: Path, device: str, taught: TargetSource | None
) -> Notes:
    """Find the learning rate, and plot the test; see :func:`tune_batch_size`."""
    if not _is_asked(run, folder, "find_lr"):
        return []
    before = run.config.fit.lr
    search = find_rate(_task(run, folder, taught), run.training_loader(0), device)
    _plot(search, folder / PLOT_NAME)
    rate = float(f"{search.found:.2g}")
    _change(run, "find_lr", rate)
    where = folder / PLOT_NAME
    return _said("learning rate", f"{rate:g}, found in place of {before:g}: {where}")


def _is_asked(run: OpenedRun[Any], folder: Path, name: str) -> bool:
    """Whether to search; what a resumed run found before goes into its configuration."""
    config = run.config
    if not getattr(config, name):
        return False
    if rank_and_world()[1] > 1:
        raise InputError(
            f"--{flag_of(name)}: searches on one process; do that first, and give all processes "
            "what it finds"
        )
    if config.resume is None:
        return True
    # A fold or a run of a grid is resumed with the flags of all of them.
    saved = read_config(type(config), folder)
    if getattr(saved, name):
        return True
    _change(run, name, getattr(saved.fit, FOUND[name]))
    return False


def _said(name: str, text: str) -> Notes:
    cli.say(f"{name} {text}")
    gc.collect()  # Loaders and networks of the search.
    return [(name, text)]


def _change(run: OpenedRun[Any], name: str, value: float, *, done: bool = True) -> None:
    """Put what a search found, or tries, into the configuration."""
    fit = replace(run.config.fit, **{FOUND[name]: value})
    run.config = replace(run.config, fit=fit, **{name: not done})


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
    whole = len(run.train) // (_STEPS * run.config.fit.accumulate)
    most = _power(max(_LEAST, min(_MOST, whole)))
    why = f"{_STEPS} steps in an epoch if {_LEAST} to {_MOST} images permit"
    if device == "cpu":
        _change(run, "find_batch_size", _PROBED, done=False)
        each = bytes_per_image(_task(run, folder, taught), run.training_loader(0), device)
        fits = _power(int(CACHE_SHARE * free_memory()) // max(1, each))
        memory = f"a step needs {each / 1e6:.1f} MB per image"
    else:

        def loader_of(size: int) -> Any:
            _change(run, "find_batch_size", size, done=False)
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
