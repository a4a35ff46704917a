"""The commands as functions of a configuration, for programs; they run the same code.

::

    from configs.tools import Evaluate
    from tools.library import evaluate

    result = evaluate(Evaluate(Path("runs/mine"), data=Path("my-data")))
    print(result["metrics"], result["folder"])

Each returns what the command prints with ``--json``, raises
:class:`~datasets.errors.InputError` where the command would end with exit status 2, and sets
threads and seed of the process as the configuration's ``common`` says. To answer for images,
:func:`tasks.load` needs no configuration.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields, is_dataclass, replace
from typing import TYPE_CHECKING, Any

from datasets.errors import InputError
from datasets.names import shown_in
from tools import cli

if TYPE_CHECKING:
    from configs.deploy import Export
    from configs.tools import Evaluate
    from configs.training import Training

__all__ = ["evaluate", "export", "train"]


def train(config: Training, *, report: bool = True) -> dict[str, Any]:
    """Train, evaluate the saved model, and write a report in the run folder.

    Args:
        config: Configuration of any training tool, such as
            ``replace(CLS_PRESETS["modern"], data=path)``. With ``resume`` the run in that folder
            continues as it was configured.
        report: Whether to draw ``report.html``; ``report.json`` is always written.

    Returns:
        What ``report.json`` holds: ``folder``, ``metrics``, ``cost`` and more; for a grid its
        folder and rows. It is empty on all processes of a run except the first.

    Raises:
        InputError: If data, weights or fields do not fit.
        InterruptedRun: If Ctrl-C or SIGTERM stopped it, after saving.
    """
    from tools.library.trainings import training_of

    call = _call_of("train", config)
    work = training_of(config)
    if config.resume is not None:
        from tools.flows.run_folder import resumed

        config = resumed(config, config.resume, _named(config))
    elif not config.command:
        config = replace(config, command=call)
    return _done(call, lambda: work(config, report))


def evaluate(config: Evaluate) -> dict[str, Any]:
    """Evaluate a model on labelled data, and write a report.

    Returns:
        What ``report.json`` holds: ``folder``, ``metrics``, ``cost`` and more.

    Raises:
        InputError: If data, weights or fields do not fit.
    """
    from tools import recipes
    from tools.flows import evaluating

    call = _call_of("evaluate", config)
    return _done(call, lambda: evaluating.evaluate(config, recipes.RECIPES))


def export(config: Export) -> dict[str, Any]:
    """Write a model as one file for other runtimes, and check its answers against the model's.

    Returns:
        ``file``, ``target``, ``bytes``, ``precision``, ``checked`` and more.

    Raises:
        InputError: If weights or fields do not fit, or the file's answers differ from the model's.
    """
    from tools import recipes
    from tools.flows import any_export

    call = _call_of("export", config)
    return _done(call, lambda: any_export.export(config, recipes.RECIPES))


def _done(call: str, work: Callable[[], tuple[dict[str, Any], str]]) -> dict[str, Any]:
    """What a command prints with ``--json``; its progress goes to standard error."""
    with cli.called(call):
        found, _ = work()
    plain: dict[str, Any] = shown_in(found)
    return plain


def _named(config: Any) -> list[str]:
    """Flags of a resume that a configuration names again (see ``resumed``)."""
    distill = getattr(config, "distill", None)
    return [f"--{name}" for name in ("teacher", "targets") if getattr(distill, name, None)]


def _call_of(function: str, config: Any) -> str:
    """The call as a person would write it: ``train(TrainCls(preset='demo'))``."""
    if not is_dataclass(config) or isinstance(config, type):
        raise InputError(f"{function}({config!r}): pass a configuration, an object of configs/")
    return f"{function}({_written(config)})"


def _written(config: Any) -> str:
    given = []
    for one in fields(config):
        value = getattr(config, one.name)
        if one.name == "command" or value == _unset(one):
            continue
        text = _written(value) if is_dataclass(value) else repr(value)
        if hasattr(value, "__fspath__"):
            text = repr(str(value))
        given.append(f"{one.name}={text}")
    return f"{type(config).__name__}({', '.join(given)})"


def _unset(one: Any) -> Any:
    return one.default_factory() if callable(one.default_factory) else one.default
