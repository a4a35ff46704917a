"""Checkpoints of other runs are told from those of this one, part by part."""

from collections.abc import Callable
from copy import deepcopy
from pathlib import Path
from typing import Any

import lightning
import pytest
import torch
from torch import nn

from datasets.errors import InputError
from tasks.fitting.base import Task
from tasks.fitting.restoring import refuse_other_run
from tasks.fitting.spec import FitSpec

LOOPS = {"state_dict": {}, "epoch_progress": {"total": {"ready": 0}}}
LOADER = {"epoch": 0, "batches": 0}
KEEPER = {"keeper": {"best": 0.0, "seconds": 0.0}}


def task_of(width: int) -> Task:
    model = nn.ModuleDict({"body": nn.Linear(3, width), "head": nn.Linear(width, 2)})
    task = Task(model, FitSpec(epochs=2, layer_decay=1.0), 0)
    task.epoch_steps = 5
    return task


def checkpoint(task: Task) -> dict[str, Any]:
    """As Lightning writes it after a step."""
    (optimizer,), (schedule,) = task.configure_optimizers()
    for parameter in task.parameters():
        parameter.grad = torch.ones_like(parameter)
    optimizer.step()
    places = {"combined_loader": [{"epoch": 1, "batches": 2}]}
    state = {
        "state_dict": task.state_dict(),
        "current_model_state": task.state_dict(),
        "averaging_state": {"n_averaged": torch.tensor(3)},
        "optimizer_states": [optimizer.state_dict()],
        "lr_schedulers": [schedule["scheduler"].state_dict()],
        "loops": {"fit_loop": {**LOOPS, "state_dict": places}},
        "callbacks": {"keeper": {"best": 0.3}},
        **{"epoch": 1, "global_step": 1, "epoch_steps": 5},
        "pytorch-lightning_version": lightning.__version__,
    }
    return deepcopy(state)


def check(state: dict[str, Any], task: Task) -> None:
    refuse_other_run(
        state, task, loops=LOOPS, loader=LOADER, callbacks=KEEPER, path=Path("x/last.ckpt")
    )


def test_its_own_fits() -> None:
    task = task_of(4)
    check(checkpoint(task), task)


def test_a_wider_network_is_another() -> None:
    told = r"x/last.ckpt: not a checkpoint of this run \(state_dict.model.body.weight is 8x3 of "
    with pytest.raises(InputError, match=told):
        check(checkpoint(task_of(8)), task_of(4))


def change(*way: Any, to: Any) -> Callable[[dict[str, Any]], None]:
    def work(state: Any) -> None:
        for key in way[:-1]:
            state = state[key]
        if to is None:
            del state[way[-1]]
        else:
            state[way[-1]] = to

    return work


FIRST = ("optimizer_states", 0)


@pytest.mark.parametrize(
    ("work", "told"),
    [
        (change("state_dict", "model.head.bias", to=None), "state_dict has no 'model.head.bias'"),
        (change("current_model_state", "x", to=1), "current_model_state has a 'x'"),
        (change("averaging_state", "n_averaged", to=2), "averaging_state.n_averaged is 2"),
        (change("optimizer_states", to=[]), "it has not 1 optimizer_states"),
        (change(*FIRST, "param_groups", 0, "lr", to=None), "has no 'lr'"),
        (change(*FIRST, "param_groups", 0, "lr", to="x"), "lr is 'x'"),
        (change(*FIRST, "param_groups", 0, "params", to=[0]), "params is no list of"),
        (change(*FIRST, "state", 99, to={}), "of another parameter (99)"),
        (change(*FIRST, "state", 0, to=[]), "state.0 is no dict"),
        (change(*FIRST, "state", 0, "x", to=torch.zeros(7)), "state.0.x is 7 of torch.float32"),
        (change("lr_schedulers", to=[]), "it has not 1 lr_schedulers"),
        (change("lr_schedulers", 0, "last_epoch", to=[]), "last_epoch is []"),
        (change("loops", "fit_loop", to=None), "loops has no 'fit_loop'"),
        (change("loops", "fit_loop", "epoch_progress", to=3), "epoch_progress is no dict"),
        (
            change("loops", "fit_loop", "state_dict", "combined_loader", 0, "epoch", to="x"),
            "the loader's state.0.epoch is 'x'",
        ),
        (change("callbacks", to=[1]), "callbacks is no dict"),
        (change("callbacks", "keeper", "best", to=None), "callbacks.keeper has no 'best'"),
        (change("callbacks", "keeper", "seconds", to="x"), "callbacks.keeper.seconds is 'x'"),
        (change("global_step", to=[]), "global_step is []"),
    ],
)
def test_what_differs_is_named(work: Callable[[dict[str, Any]], None], told: str) -> None:
    task = task_of(4)
    state = checkpoint(task)
    work(state)
    with pytest.raises(InputError) as found:
        check(state, task)
    assert told in str(found.value)


def test_another_lightning_has_its_own_loops() -> None:
    """It brings them up to date itself."""
    task = task_of(4)
    state = {**checkpoint(task), "pytorch-lightning_version": "2.0.0", "loops": {"fit_loop": 1}}
    check(state, task)
