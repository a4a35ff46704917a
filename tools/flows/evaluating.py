"""Evaluation of a model on labelled data, for any application."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from configs.tools import Evaluate
from datasets.ledger import Ledger
from datasets.raw_photos import OriginalPhotos
from tasks.fitting.history import METRICS_NAME, read_metrics
from tasks.fitting.stopwatch import Stopwatch
from tasks.predictor import Model, answered
from tasks.reporting.html_page import Page
from tasks.reporting.skeleton import RunFacts, Sections, report_file, write_report
from tasks.weights.card import Card
from tools import cli
from tools.flows.opening import choose_head, open_to_answer
from tools.flows.recipe import Exam, Notes, Recipe, recipe_for
from tools.flows.run_folder import evaluation_folder
from tools.flows.told_files import files_tables, told_files


def evaluate(args: Evaluate, recipes: Sequence[Recipe[Any]]) -> tuple[dict[str, Any], str]:
    """Evaluate a model, write a report. Raises InputError if data, weights or flags do not fit."""
    args = choose_head(args)
    device = cli.prepare(args.common)
    model = open_to_answer(args)
    recipe = recipe_for(model.application, recipes, args.weights)
    path = recipe.built_in.or_given(args.data, args.common.seed)
    folder = evaluation_folder(args.common, args.weights, path, args.split)
    with told_files(path) as files:
        exam = recipe.exam(args, path, model)
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


def loader_for(
    model: Model,
    data: Any,
    loader: Any,
    batch_size: int | None,
    image_ids: Sequence[int] | None = None,
) -> Any:
    """The loader for evaluating a model; an export gets original images, and resizes them itself.

    ``image_ids`` are the evaluator's ids of the images, by default their indices.
    """
    if model.export is None:
        return loader
    ids = range(len(data)) if image_ids is None else image_ids
    return OriginalPhotos(data.image, ids, batch_size or 1)


def look_at_all(model: Model, exam: Exam, device: str, label: str) -> Any:
    """The evaluator of a part, filled with a model's answers to all of its images."""
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
    """Run a model over a part, compute metrics, and write predictions and report to a folder.

    Args:
        model: The model.
        exam: The part.
        folder: Folder to write to.
        device: Device to compute on.
        title: Title of the report.
        notes: Additional rows for the report.
        files: What the files of the data are used as.
        watch: Stopwatch of a training.
        report: Whether to draw the report's page too.

    Returns:
        The score, the content of ``report.json``, and the result as text.
    """
    started = time.perf_counter()
    evaluator = look_at_all(model, exam, device, "evaluating")
    exam.loader.close()
    seconds = time.perf_counter() - started
    score = evaluator.compute()
    notes = [("time", f"{seconds:.1f} s for {len(exam.data)} images on {device}"), *notes]
    told, text = report_score(
        *(model, exam, evaluator, score),
        folder=folder,
        device=device,
        title=title,
        notes=notes,
        files=files,
        watch=watch,
        report=report,
    )
    return score, told, text


def report_score(
    model: Model,
    exam: Exam,
    evaluator: Any,
    score: Any,
    *,
    folder: Path,
    device: str,
    title: str,
    notes: Notes,
    files: Sequence[Ledger] = (),
    watch: Stopwatch | None = None,
    report: bool = True,
    opening: Sections | None = None,
) -> tuple[dict[str, Any], str]:
    """Write predictions and report of a model that was run over a part.

    Args:
        model: The model.
        exam: The part.
        evaluator: The part's evaluator, with the model's answers.
        score: Score that it computed.
        folder: Folder to write to.
        device: Device for what the report computes.
        title: Title of the report.
        notes: Additional rows for the report.
        files: What the files of the data are used as.
        watch: Stopwatch of a training.
        report: Whether to draw the report's page too.
        opening: Function that draws sections of the page in front of the application's own.

    Returns:
        The content of ``report.json``, and the result as text.
    """
    folder.mkdir(parents=True, exist_ok=True)
    exam.write(folder, evaluator, score)
    card = model.card
    cost = model.application.network().cost(card, model.facts, model.path)
    rows = [
        ("model", model_text(card)),
        ("cost", str(cost)),
        ("weights", card.source),
        *exam.facts(model),
        *notes,
    ]
    run = RunFacts(
        title,
        cli.shown_command(),
        rows,
        cost=cost,
        history=read_metrics(folder / METRICS_NAME),
        watch=watch,
        files=files_tables(files),
    )
    shown = exam.report(model, evaluator, score, device)
    if opening is not None:
        shown = replace(shown, opening=_both(opening, shown.opening))
    shown = replace(shown, summary={"images": len(exam.data), **shown.summary})
    told = write_report(folder, run, shown, page=report)
    text = exam.text(score, str(cost))
    return told, f"{text}\n\nreport: {report_file(folder)}"


def _both(first: Sections, then: Sections) -> Sections:
    def draw(page: Page) -> None:
        first(page)
        then(page)

    return draw


def model_text(card: Card) -> str:
    """The architecture in a card, in one line."""
    told = {n: ", ".join(v) if isinstance(v, dict) else v for n, v in card.model.items()}
    return ", ".join(f"{name} {value}" for name, value in told.items())
