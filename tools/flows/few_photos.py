"""Training from scratch on few images: a warning before it starts, and enough steps.

From scratch a network needs thousands of steps before it is useful, however few the images; the
epochs of a preset suit data sets of the size that it was made for.
"""

from __future__ import annotations

import math
import shlex
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

from tasks.fitting.engine import rank_and_world
from tools import cli
from tools.flows.recipe import OpenedRun
from tools.flows.run_folder import read_config


def suit_to_photos(run: OpenedRun[Any], folder: Path) -> Any:
    """Warn about a training from scratch on few images, and ensure that it has enough steps.

    The number of epochs is kept if the user gave it or a preset, if a program rather than a
    command line made the configuration, and if weights or a teacher help.

    Args:
        run: Opened run; its configuration may get more epochs.
        folder: Folder of the run; a resumed run keeps the number of epochs that it began with.

    Returns:
        The configuration.
    """
    config = run.config
    helped = config.weights is not None or run.teacher is not None
    if config.data is None or helped or len(run.train) >= run.few_photos:
        return config
    if config.resume is not None:
        saved = read_config(type(config), folder).fit
        anew = {name: getattr(saved, name) for name in ("epochs", "eval_every")}
        run.config = replace(config, fit=replace(config.fit, **anew))
        return run.config
    warn_of_few(run)
    if cli.is_command_line(config.command) and not is_length_given(config.command):
        run.config = replace(config, fit=_long_enough(run, config.fit))
    return run.config


def warn_of_few(run: OpenedRun[Any]) -> None:
    """Warn if the images of a run are few for learning from scratch."""
    if len(run.train) >= run.few_photos:
        return
    measured = f" (measured: {run.measured_on_few})" if run.measured_on_few else ""
    cli.say(
        f"warning: {len(run.train)} images to train on: from scratch, fewer than {run.few_photos} "
        f"teach little{measured}. Start from weights instead, a run folder or a file of "
        f"tools/download.py or tools/import_weights.py:\n  {command_with_weights()}"
    )


def command_with_weights() -> str:
    """This command line, modified to start from weights, with the suitable preset."""
    words, skip = [], False
    for word in sys.argv[1:]:
        if not skip and word.partition("=")[0] != "--preset":
            words.append(word)
        skip = word == "--preset"
    return f"{shlex.join([*cli.called_name().split(' '), *words])} --weights WEIGHTS"


def is_length_given(command: str) -> bool:
    """Whether a command line gives epochs, for one run or a grid, or a flag that contains them."""
    names = {word.partition("=")[0] for word in command.split()}
    return not names.isdisjoint(("--epochs", "--preset", "--config", "epochs"))


def _long_enough(run: OpenedRun[Any], fit: Any) -> Any:
    """The fit with enough epochs for the fewest steps, and as many evaluations as before."""
    steps = max(1, len(run.train) // (fit.batch_size * rank_and_world()[1]))
    epochs = math.ceil(run.least_steps / steps)
    if epochs <= fit.epochs:
        return fit
    cli.say(
        f"--epochs {epochs}, chosen by the number of images: {fit.epochs}, as the recipe has it, "
        f"would be {fit.epochs * steps} steps, and from scratch {run.least_steps} are the fewest "
        "to learn in; --epochs N takes another number"
    )
    eval_every = math.ceil(fit.eval_every * epochs / fit.epochs)
    return replace(fit, epochs=epochs, eval_every=eval_every)
