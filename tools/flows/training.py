"""A training from its configuration to its report, whatever the application."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from torch import nn

from datasets.ledger import Ledger
from tasks.distillation.target_source import TargetSource
from tasks.fitting.stopwatch import Stopwatch
from tasks.open_model import open_model
from tasks.predictor import Model
from tasks.weights.card import Card
from tasks.weights.names import WEIGHTS_NAME
from tools import cli
from tools.flows.evaluating import score_and_report
from tools.flows.fitting import fit_and_keep
from tools.flows.recipe import Notes, OpenedRun, Recipe
from tools.flows.run_folder import is_first, new_run_folder, save_config
from tools.flows.told_files import told_files


def train(
    recipe: Recipe[Any], config: Any, folder: Path | None = None, *, report: bool = True
) -> tuple[dict[str, Any], str]:
    """Train, then evaluate the saved weights, and leave a report in the run folder.

    Args:
        recipe: Of the application.
        config: What to train, on what.
        folder: Of the run; by default the resumed one, ``--out``, or a new one.
        report: Draw the report's page too.

    Returns:
        What ``report.json`` holds, and the same for people; empty on all processes but the first.

    Raises:
        InputError: If data, weights or flags do not fit.
        InterruptedRun: If a signal stopped the training, after saving.
    """
    watch = Stopwatch()
    device = cli.prepare(config.common)
    folder = folder or config.resume or new_run_folder(config.common, config.preset)
    path = recipe.built_in.or_given(config.data, config.common.seed)
    with told_files(path, config.val) as files:
        run = recipe.open(config, path)
    target_source = run.target_source(device)  # What is wrong with it is said at once.
    notes = run.prepare(folder, device, watch)
    network, card = run.build(target_source)
    if is_first():
        save_config(config, folder)
        run.save(folder)
    fit_run(
        recipe,
        run,
        network,
        card,
        folder=folder,
        device=device,
        watch=watch,
        target_source=target_source,
    )
    return report_run(
        run, folder=folder, device=device, watch=watch, notes=notes, files=files, report=report
    )


def fit_run(
    recipe: Recipe[Any],
    run: OpenedRun[Any],
    network: nn.Module,
    card: Card,
    *,
    folder: Path,
    device: str,
    watch: Stopwatch,
    target_source: TargetSource | None = None,
) -> None:
    """Train a network on opened data in a folder, which keeps the best evaluation's weights.

    Raises:
        InterruptedRun: If a signal stopped it, after saving.
    """
    config: Any = run.config
    workers = cli.choose_workers(config.workers)
    options = recipe.application.pick(run.options())
    model = Model(recipe.application, card, folder, options, network=network)
    exam = run.exam(model, workers=workers, tested=False, alone=False)
    fit_and_keep(
        run.task(model, exam, target_source),
        run.training_loader(workers),
        exam.loader,
        card,
        folder=folder,
        device=device,
        resume=run.resumes(folder),
        watch=watch,
        training_only=run.training_only,
    )


def report_run(
    run: OpenedRun[Any],
    *,
    folder: Path,
    device: str,
    watch: Stopwatch,
    notes: Notes,
    files: Sequence[Ledger] = (),
    report: bool = True,
) -> tuple[dict[str, Any], str]:
    """Evaluate the weights that a run kept and write its report.

    Returns:
        As :func:`train`.
    """
    if not is_first():
        return {}, ""
    config: Any = run.config
    workers = cli.choose_workers(config.workers)
    model = open_model(folder, run.options())
    notes = [*notes, *run.after_fit(model, folder, device, workers)]
    model = open_model(folder, run.options())
    exam = run.exam(model, workers=workers, tested=True, alone=True)
    score, told, text = score_and_report(
        model,
        exam,
        folder=folder,
        device=device,
        title=f"{run.title}{exam.title}",
        notes=notes,
        files=files,
        watch=watch,
        report=report,
    )
    run.after_report(model, folder, score)
    text = f"{text}\nweights: {folder / WEIGHTS_NAME}"
    return told, f"{text}\ntook {told['minutes']:.1f} minutes"
