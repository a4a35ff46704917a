"""A training from its configuration to its report, for any application."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from datasets.errors import naming
from datasets.ledger import Ledger
from datasets.loader import Resumable
from datasets.splitting import folded
from tasks.distillation.target_source import TargetSource
from tasks.fitting.base import Task
from tasks.fitting.checkpoint import LAST_NAME, InterruptedRun
from tasks.fitting.engine import fit
from tasks.fitting.stopwatch import Stopwatch
from tasks.fitting.trackers import require_installed
from tasks.open_model import open_model
from tasks.predictor import Model
from tasks.weights.card import Card
from tasks.weights.file import save_weights
from tasks.weights.names import WEIGHTS_NAME
from tools import cli
from tools.flows.evaluating import score_and_report
from tools.flows.few_photos import suit_to_photos
from tools.flows.folds import card_of_fold, fold_of, select_within
from tools.flows.recipe import Notes, OpenedRun, Recipe
from tools.flows.run_folder import is_first, new_run_folder, save_config, sole_process
from tools.flows.stages import is_begun
from tools.flows.told_files import card_of_parts, stand_ins, told_files
from tools.flows.tuning import tune_batch_size, tune_rate


def train(
    recipe: Recipe[Any], config: Any, folder: Path | None = None, *, report: bool = True
) -> tuple[dict[str, Any], str]:
    """Train, then evaluate the saved weights, and write a report to the run folder.

    Args:
        recipe: Recipe of the application.
        config: Configuration.
        folder: Run folder; by default the resumed one, ``--out``, or a new one.
        report: Whether to draw the report's page too.

    Returns:
        The content of ``report.json``, and the result as text, on the first process alone.

    Raises:
        InputError: If data, weights or flags do not fit.
        InterruptedRun: If a signal stopped it, after saving.
    """
    watch = Stopwatch()
    device = cli.prepare(config.common)
    require_installed(config.fit.logger)
    folder = folder or config.resume or new_run_folder(config.common, config.preset)
    with sole_process(folder):
        return _train_in(folder, recipe, config, device, watch, report=report)


def _train_in(
    folder: Path,
    recipe: Recipe[Any],
    config: Any,
    device: str,
    watch: Stopwatch,
    *,
    report: bool,
) -> tuple[dict[str, Any], str]:
    """Train in a folder that is locked."""
    path = recipe.built_in.or_given(config.data, config.common.seed)
    fold = fold_of(config)
    with told_files(path, config.val) as files, folded(fold):
        run = recipe.open(config, path)
    parts = [*stand_ins(files), *select_within(run, fold)]
    taught = run.target_source(device)  # What is wrong with it is said at once.
    notes = [*parts, *tune_batch_size(run, folder, device, taught)]
    suit_to_photos(run, folder)
    given = run.config.weights  # An earlier stage puts its own in their place.
    notes += run.prepare(folder, device, watch)
    notes += tune_rate(run, folder, device, taught)
    network, card = run.build(taught)
    card = card_of_fold(card_of_parts(card, files), fold)
    if is_first():
        save_config(replace(run.config, weights=given), folder)
        run.save(folder)
    fit_run(run, network, card, folder=folder, device=device, watch=watch, target_source=taught)
    return report_run(
        run, folder=folder, device=device, watch=watch, notes=notes, files=files, report=report
    )


def fit_run(
    run: OpenedRun[Any],
    network: nn.Module,
    card: Card,
    *,
    folder: Path,
    device: str,
    watch: Stopwatch,
    target_source: TargetSource | None = None,
    pause_after: int | None = None,
) -> None:
    """Train on opened data, keeping the best weights. Raises InterruptedRun after saving.

    With ``pause_after`` the training pauses when that number of epochs is trained.
    """
    config: Any = run.config
    workers = cli.choose_workers(config.workers)
    application = run.application
    model = Model(application, card, folder, application.pick(run.options()), network=network)
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
        pause_after=pause_after,
    )


def fit_and_keep(
    task: Task,
    loader: Resumable[Any],
    val_loader: Resumable[Any],
    card: Card,
    *,
    folder: Path,
    device: str,
    resume: bool,
    watch: Stopwatch,
    training_only: str | tuple[str, ...] | None = None,
    pause_after: int | None = None,
) -> None:
    """Train in a run folder, with the weights of the best evaluation in its weights file.

    Their card gets its metrics; tensors whose names begin with ``training_only`` are left out.
    With ``resume``, network and stopwatch continue from the folder's checkpoint; a run that ended
    before it had one starts again, with the same result.

    Raises:
        InputError: If there are results, but no checkpoint that they belong to.
        InterruptedRun: If a signal stopped it, after saving; the message states how to continue.
    """

    def write_best(state: dict[str, Tensor], metrics: dict[str, float]) -> None:
        kept = {
            name: tensor
            for name, tensor in state.items()
            if training_only is None or not name.startswith(training_only)
        }
        save_weights(folder / WEIGHTS_NAME, kept, replace(card, metrics=metrics))

    go_on = resume and _has_checkpoint(folder)
    try:
        with naming(folder):
            fit(
                task,
                loader,
                val_loader,
                folder=folder,
                device=device,
                resume=go_on,
                write_best=write_best,
                watch=watch,
                pause_after=pause_after,
            )
    except InterruptedRun:
        raise InterruptedRun(
            f"stopped and saved to {folder / LAST_NAME}; go on with --resume {folder}"
        ) from None
    finally:
        loader.close()
        val_loader.close()


def _has_checkpoint(folder: Path) -> bool:
    """Whether a run that is to be resumed had reached its first checkpoint."""
    if is_begun(folder):
        return True
    cli.say(f"{folder}: stopped before its first checkpoint, so it begins anew")
    return False


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
    """Evaluate the weights that a run kept and write its report; see :func:`train`."""
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
