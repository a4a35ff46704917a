"""Experiment trackers beside a run folder's own files: W&B and MLflow, by Lightning's loggers."""

from __future__ import annotations

import importlib.util
import json
import os
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, get_args

from lightning.pytorch.loggers.logger import Logger

from datasets.errors import InputError
from datasets.json_files import read_object
from tasks.fitting.spec import Tracker
from tasks.weights.atomic_write import write_text

# File in a run folder with the trackers' ids of the run, for resuming.
IDS_NAME = "trackers.json"
_CONFIG_NAME = "config.json"
# Where MLflow's own programs look, in the current folder.
_LOCAL = "sqlite:///mlflow.db"


def require_installed(names: Sequence[Tracker]) -> None:
    """Check that the packages of trackers are there. Raises InputError naming one that is not."""
    for name in names:
        if importlib.util.find_spec(name) is None:
            raise InputError(
                f"--logger {name}: pip install {name}, which this project's extra {name!r} names"
            )


@contextmanager
def tracking(names: Sequence[Tracker], folder: Path, *, first: bool) -> Iterator[list[Logger]]:
    """The loggers of some trackers, which the run of a folder is logged to within the block.

    Nothing is uploaded unless the environment asks for it: W&B keeps its files in the run folder
    unless WANDB_MODE is set, and MLflow writes to mlflow.db unless MLFLOW_TRACKING_URI names
    another place. A resumed run continues in the same run of a tracker.

    Args:
        names: Trackers.
        folder: Run folder.
        first: Whether this is the process that writes files; the others log nothing.

    Raises:
        InputError: If a package is missing, a tracker cannot be opened, or the folder's file of
            ids is damaged.
    """
    require_installed(names)
    if not names or not first:
        yield []
        return
    ids = _stored_ids(folder)
    config = dict(read_object(folder / _CONFIG_NAME).values)
    opened = list[Logger]()
    with ExitStack() as closing:
        for name in dict.fromkeys(names):
            if name == "wandb":
                closing.callback(_finish_wandb)
            try:
                logger = _OPENERS[name](folder, ids.get(name))
                if name not in ids:  # MLflow refuses other values, such as a folder that moved.
                    logger.log_hyperparams(config)
                ids[name] = str(logger.version)
            except Exception as error:  # Of any kind: no login, no server, a database of before.
                raise InputError(f"--logger {name}: cannot be opened: {error}") from error
            opened.append(logger)
        write_text(folder / IDS_NAME, json.dumps(ids, indent=1))
        yield opened


def _finish_wandb() -> None:
    """End its run, for which it would take further ones of this process."""
    import wandb

    wandb.finish()


def _told(variable: str, usual: str) -> str:
    """A variable of the environment; an empty one counts as none."""
    return os.environ.get(variable) or usual


def _stored_ids(folder: Path) -> dict[str, str]:
    file = folder / IDS_NAME
    if not file.exists():
        return {}
    found = read_object(file)
    return {name: str(found.values[name]) for name in get_args(Tracker) if name in found.values}


def _open_wandb(folder: Path, known: str | None) -> Logger:
    from lightning.pytorch.loggers import WandbLogger

    os.environ.setdefault("WANDB_ERROR_REPORTING", "false")
    return WandbLogger(
        name=folder.name,
        save_dir=folder,
        id=known or uuid.uuid4().hex[:8],
        offline=not os.environ.get("WANDB_MODE"),
        project=_told("WANDB_PROJECT", "mobilenet-suite"),
        resume="allow",
    )


def _open_mlflow(folder: Path, known: str | None) -> Logger:
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
    from lightning.pytorch.loggers import MLFlowLogger

    return MLFlowLogger(
        experiment_name=_told("MLFLOW_EXPERIMENT_NAME", "mobilenet-suite"),
        run_name=folder.name,
        tracking_uri=_told("MLFLOW_TRACKING_URI", _LOCAL),
        run_id=known,
    )


_OPENERS: dict[Tracker, Callable[[Path, str | None], Any]] = {
    "wandb": _open_wandb,
    "mlflow": _open_mlflow,
}
