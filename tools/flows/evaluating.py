"""A model measured on labelled data, whatever the application."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from configs.tools import Evaluate
from datasets.errors import InputError
from datasets.ledger import Ledger
from tasks.fitting.stopwatch import Stopwatch
from tasks.open_model import open_model, open_original
from tasks.predictor import Model, answered
from tasks.reporting.skeleton import report_file, write_report
from tools import cli
from tools.flows.choose_head import choose_head
from tools.flows.exported import loader_for
from tools.flows.recipe import Exam, Notes, Recipe, recipe_for
from tools.flows.report_facts import run_facts, time_text
from tools.flows.run_folder import evaluation_folder
from tools.flows.told_files import told_files


def evaluate(args: Evaluate, recipes: Sequence[Recipe[Any]]) -> tuple[dict[str, Any], str]:
    """Score a model, and leave predictions and report in a folder.

    Raises:
        InputError: If data, weights or flags do not fit.
    """
    args, _ = choose_head(args)
    device = cli.prepare(args.common)
    model = open_to_answer(args)
    recipe = recipe_for(model.application, recipes, args.weights)
    path = recipe.built_in.or_given(args.data, args.common.seed)
    with told_files(path) as files:
        exam = recipe.exam(args, path, model)
    folder = evaluation_folder(args.common, args.weights, path)
    _, told, text = score_and_report(
        model,
        exam,
        folder=folder,
        device=model.place(device),
        title=f"{args.weights.name} on {path.name}{exam.title}",
        notes=exam.notes,
        files=files,
    )
    warning = f"warning: {exam.warning}\n" if exam.warning else ""
    return told, warning + text


def open_to_answer(args: Any) -> Model:
    """The model of an evaluation or prediction, once its flags are found to mean something.

    Args:
        args: Flags: ``weights``, ``head``, ``common``, ``options`` and ``refuse_unless``.

    Raises:
        InputError: If it cannot be used, or a flag does nothing for it.
    """
    threads = args.common.threads or None
    model = open_original(args.weights, args.options) or open_model(
        args.weights, args.options, threads=threads, head=args.head
    )
    application = model.application
    args.refuse_unless(application.flags, application.name)
    for fixed, reason in application.fixed.items() if model.export is not None else ():
        args.refuse_unless([flag for flag in application.flags if flag != fixed], reason)
    if model.export is not None and args.common.device not in ("auto", "cpu"):
        raise InputError(f"--device {args.common.device}: exports are run on the CPU")
    return model


def look_at_all(model: Model, exam: Exam, device: str, label: str) -> Any:
    """The evaluator of a part, with a model's answers to all of its photos."""
    evaluator: Any = exam.evaluator.fresh()
    size = exam.loader.batch_size
    loader = loader_for(model, exam.data, exam.loader, size, exam.image_ids)
    for image_ids, outputs in answered(model, loader, device, label):
        evaluator.update(image_ids, outputs)
    return evaluator


def score_and_report(
    model: Model,
    exam: Exam,
    *,
    folder: Path,
    device: str,
    title: str,
    notes: Notes,
    files: Sequence[Ledger] = (),
    watch: Stopwatch | None = None,
    report: bool = True,
) -> tuple[Any, dict[str, Any], str]:
    """Run a model over a part, score it, and leave predictions and report in a folder.

    Args:
        model: Model to score.
        exam: Part to score it on.
        folder: Where files go.
        device: Where to compute.
        title: Title of the report.
        notes: More rows for the report.
        files: What became of the files of the data.
        watch: Stopwatch of the run; None after a mere evaluation.
        report: Draw the report's page too.

    Returns:
        The score, what ``report.json`` holds, and the same for people.
    """
    started = time.perf_counter()
    evaluator = look_at_all(model, exam, device, "evaluating")
    exam.loader.close()
    seconds = time.perf_counter() - started
    score = evaluator.compute()
    folder.mkdir(parents=True, exist_ok=True)
    exam.write(folder, evaluator, score)
    card = model.card
    cost = model.application.network().cost(card, model.facts, model.path)
    own = [*exam.facts(model), ("time", time_text(seconds, len(exam.data), device)), *notes]
    run = run_facts(folder, title, card, cost, own, watch, files)
    shown = exam.report(model, evaluator, score, device)
    told = write_report(folder, run, shown, page=report)
    text = exam.text(score, str(cost))
    return score, told, f"{text}\n\nreport: {report_file(folder)}"
