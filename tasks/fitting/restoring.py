"""Compare a checkpoint with the run that is to continue, part by part, before restoring it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import lightning
import torch
from torch import Tensor

from datasets.errors import InputError
from tasks.fitting.base import Task


def refuse_other_run(
    state: Mapping[str, Any],
    task: Task,
    *,
    loops: Mapping[str, Any],
    loader: Mapping[str, Any],
    callbacks: Mapping[str, Mapping[str, Any]],
    path: Path,
) -> None:
    """Check that a checkpoint belongs to the run, before anything is restored from it.

    The errors that a trainer raises while restoring would not distinguish a checkpoint of another
    run from a fault of the program.

    Args:
        state: The checkpoint.
        task: Task that is trained.
        loops: State of the trainer's fit loop before the run.
        loader: State of the training loader before the run.
        callbacks: States of the callbacks before the run; their first entries are required.
        path: Path of the checkpoint, for messages.

    Raises:
        InputError: If it belongs to another run; the message names the first part that differs.
    """
    found = (
        _weights_differ(state, task)
        or _optimizers_differ(state, task)
        or _places_differ(state, loops, loader)
        or _callbacks_differ(state, callbacks)
    )
    if found:
        raise InputError(
            f"{path}: not a checkpoint of this run ({found}): restore its own, or start another "
            "run from the best weights by --weights"
        )


def _weights_differ(state: Mapping[str, Any], task: Task) -> str:
    weights = task.state_dict()
    averaging = {"n_averaged": torch.tensor(0)}
    fresh = {"state_dict": weights, "current_model_state": weights, "averaging_state": averaging}
    parts = (differs(state[name], one, name) for name, one in fresh.items() if name in state)
    return next((text for text in parts if text), "")


def _optimizers_differ(state: Mapping[str, Any], task: Task) -> str:
    fresh = task.configure_optimizers()
    optimizers, schedules = fresh if isinstance(fresh, tuple) else (fresh, [])
    for name, wanted in (("optimizer_states", optimizers), ("lr_schedulers", schedules)):
        if not isinstance(state[name], list) or len(state[name]) != len(wanted):
            return f"it has not {len(wanted)} {name}"
    for k, (one, optimizer) in enumerate(zip(state["optimizer_states"], optimizers, strict=True)):
        if found := _optimizer_differs(one, optimizer, f"optimizer_states.{k}"):
            return found
    for k, (one, schedule) in enumerate(zip(state["lr_schedulers"], schedules, strict=True)):
        told = _known(schedule["scheduler"].state_dict(), one, "lr_lambdas", "last_epoch")
        if found := differs(one, told, f"lr_schedulers.{k}", more=True):
            return found
    return ""


def _optimizer_differs(given: Any, optimizer: torch.optim.Optimizer, name: str) -> str:
    groups = optimizer.state_dict()["param_groups"]
    if found := differs(given, {"param_groups": [{}] * len(groups), "state": {}}, name, more=True):
        return found
    for k, (one, group) in enumerate(zip(given["param_groups"], groups, strict=True)):
        told = _known(group, one, "params", "lr")
        if found := differs(one, told, f"{name}.param_groups.{k}", more=True):
            return found
    tensors = [tensor for group in optimizer.param_groups for tensor in group["params"]]
    for number, kept in given["state"].items():
        if not isinstance(number, int) or not 0 <= number < len(tensors):
            return f"{name}.state is of another parameter ({number!r:.40})"
        if not isinstance(kept, dict):
            return f"{name}.state.{number} is no dict"
        for key, value in kept.items():
            if isinstance(value, Tensor) and value.shape not in ((), tensors[number].shape):
                return f"{name}.state.{number}.{key} is {_shown(value)}"
    return ""


def _places_differ(
    state: Mapping[str, Any], loops: Mapping[str, Any], loader: Mapping[str, Any]
) -> str:
    """Differences of the position in the run: its counts, and those of its loops and loader."""
    names = ("epoch", "global_step", "epoch_steps")
    odd = [found for name in names if (found := differs(state[name], 0, name))]
    if odd or state["pytorch-lightning_version"] != lightning.__version__:
        return odd[0] if odd else ""  # What another version has written is brought up to date.
    fresh = {"fit_loop": {**loops, "state_dict": {}}}
    if found := differs(state["loops"], fresh, "loops", more=True):
        return found
    places = state["loops"]["fit_loop"]["state_dict"].get("combined_loader", [])
    if not isinstance(places, list):
        return "the loader's state is no list"
    return differs(places, [loader] * len(places), "the loader's state", more=True)


def _callbacks_differ(state: Mapping[str, Any], callbacks: Mapping[str, Mapping[str, Any]]) -> str:
    given = state["callbacks"]
    if not isinstance(given, dict):
        return "callbacks is no dict"
    fresh = {name: _known(one, given.get(name), *list(one)[:1]) for name, one in callbacks.items()}
    return differs(given, fresh, "callbacks", more=True)


def _known(fresh: Mapping[str, Any], given: Any, *needed: str) -> dict[str, Any]:
    """Entries that are required or that both have: other versions may have additional ones."""
    held = given.keys() if isinstance(given, dict) else ()
    return {key: value for key, value in fresh.items() if key in needed or key in held}


def differs(given: Any, fresh: Any, name: str, *, more: bool = False) -> str:
    """Describe the first difference in structure between two states; their numbers may differ.

    Args:
        given: State in a checkpoint.
        fresh: State of a run that begins; where it is None, anything is accepted.
        name: Name of this part, for the description.
        more: Whether ``given`` may have additional keys.
    """
    if fresh is None:
        return ""
    if isinstance(fresh, Tensor):
        fits = isinstance(given, Tensor) and (given.shape, given.dtype) == (
            fresh.shape, fresh.dtype,
        )  # fmt: skip
        return "" if fits else f"{name} is {_shown(given)} instead of {_shown(fresh)}"
    if isinstance(fresh, Mapping):
        if not isinstance(given, Mapping):
            return f"{name} is no dict"
        odd = fresh.keys() - given.keys() if more else fresh.keys() ^ given.keys()
        if odd:
            key = sorted(odd, key=str)[0]
            return f"{name} has {'no' if key in fresh else 'a'} {key!r:.80}"
        rows = [(key, given[key], fresh[key]) for key in fresh]
    elif isinstance(fresh, Sequence) and not isinstance(fresh, str):
        if not isinstance(given, list | tuple) or len(given) != len(fresh):
            return f"{name} is no list of {len(fresh)}"
        rows = [(k, one, other) for k, (one, other) in enumerate(zip(given, fresh, strict=True))]
    else:
        numbers = (int, float)
        kind = numbers if isinstance(fresh, numbers) else type(fresh)
        return "" if isinstance(given, kind) else f"{name} is {_shown(given)}"
    found = (differs(one, other, f"{name}.{key}", more=more) for key, one, other in rows)
    return next((text for text in found if text), "")


def _shown(value: Any) -> str:
    if isinstance(value, Tensor):
        return f"{'x'.join(map(str, value.shape)) or 'one number'} of {value.dtype}"
    return f"{value!r:.60}"
