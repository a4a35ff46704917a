"""A classifier's training and evaluation, from the configuration to the report."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from backbone.cost import Cost, count_cost
from configs.classification import TrainCls
from configs.tools import Evaluate
from datasets.labels.opening import is_sharded
from datasets.labels.structure import LabelledData
from tasks.classification.answer import classify
from tasks.classification.evaluator import Score, columns_in, format_classes, format_metrics
from tasks.classification.gradcam import Explainer
from tasks.classification.load import (
    TASK,
    load_classifier,
    start_classifier,
)
from tasks.classification.model import Classifier, build_classifier
from tasks.classification.report import ReportData, make_report
from tasks.classification.spec import ClassifierSpec
from tasks.classification.task import ClassificationTask
from tasks.distillation.teaching import Teaching
from tasks.fitting.stopwatch import Stopwatch
from tasks.reporting.skeleton import report_file, write_report
from tasks.runtime.exported import Exported
from tasks.runtime.open import is_export
from tasks.weights.card import Card
from tasks.weights.names import WEIGHTS_NAME
from tools import cli
from tools.classification.data import data_or_shapes, open_both, open_data
from tools.flows.exported import loader_for, open_export
from tools.flows.fitting import fit_and_keep
from tools.flows.initial_weights import measure_norms, starting_flavour
from tools.flows.photo_loaders import Data, Photos, make_photos, training_loader
from tools.flows.report_facts import centre_of, run_facts, time_text
from tools.flows.run_folder import evaluation_folder, is_first, new_run_folder, save_config
from tools.flows.teacher_targets import open_teaching

# Flags of tools/evaluate.py that not all applications take.
EVALUATE_FLAGS = ("classes", "boxes")

_CUT = ", photos cut to their boxes,"


def classifier_cost(spec: ClassifierSpec, num_classes: int) -> Cost:
    """Mult-adds and parameters for one photo, counted without memory or arithmetic."""
    with torch.device("meta"):
        model = build_classifier(spec, num_classes)
    return count_cost(model, (1, 3, spec.size, spec.size), lambda m, x: m.raw(x))


def train_classifier(
    config: TrainCls, folder: Path | None = None, *, report: bool = True
) -> tuple[dict[str, Any], str]:
    """Train, then evaluate the saved weights, and leave a report in the run folder.

    Args:
        config: What to train, on what.
        folder: Of the run; by default the resumed one, ``--out``, or a new one.
        report: Whether to draw the report's page, which in a small run takes longer than the
            training; ``report.json`` is written either way.

    Returns:
        What ``report.json`` holds, and the same for people; empty on all processes but the first.

    Raises:
        InputError: If data, weights or flags do not fit.
        InterruptedRun: If a signal stopped the training, after saving.
    """
    watch = Stopwatch()
    device = cli.prepare(config.common)
    folder = folder or config.resume or new_run_folder(config.common, config.preset)
    path = data_or_shapes(config.data, config.common.seed)
    train, val = open_both(config, path)
    teaching = open_teaching(config, train, device)
    model, card = make_model(config, train, path, teaching)
    if is_first():
        save_config(config, folder)
    fit_classifier(
        config,
        model,
        card,
        train,
        val,
        folder=folder,
        device=device,
        watch=watch,
        teaching=teaching,
    )
    return report_run(config, val, path, folder=folder, device=device, watch=watch, report=report)


def fit_classifier(
    config: TrainCls,
    model: Classifier,
    card: Card,
    train: Data,
    val: Data,
    *,
    folder: Path,
    device: str,
    watch: Stopwatch,
    teaching: Teaching | None = None,
) -> None:
    """Train a model on opened data in a folder, which keeps the best evaluation's weights.

    Raises:
        InterruptedRun: If a signal stopped it, after saving.
    """
    workers = cli.choose_workers(config.workers)
    photos = make_photos(
        val, card, batch_size=config.fit.batch_size, workers=workers, cache=config.cache
    )
    fit_and_keep(
        ClassificationTask(model, config.fit, config.common.seed, photos.evaluator, teaching),
        training_loader(config, train, workers),
        photos.loader,
        card,
        folder=folder,
        device=device,
        resume=config.resume is not None,
        watch=watch,
    )


def report_run(
    config: TrainCls,
    val: Data,
    path: Path,
    *,
    folder: Path,
    device: str,
    watch: Stopwatch,
    notes: Sequence[tuple[str, str]] = (),
    report: bool = True,
) -> tuple[dict[str, Any], str]:
    """Evaluate the weights that a run kept and write its report.

    Args:
        config: Of the run.
        val: To evaluate on.
        path: Of the data, for the title.
        folder: Of the run.
        device: To compute on.
        watch: Of the run.
        notes: More facts, (name, value), for the report.
        report: Whether to draw its page too.

    Returns:
        As :func:`train_classifier`.
    """
    if not is_first():
        return {}, ""
    best, card = load_classifier(folder)
    workers = cli.choose_workers(config.workers)
    photos = make_photos(val, card, batch_size=config.fit.batch_size, workers=workers, alone=True)
    title = f"{config.model.backbone} on {path.name}"
    score, told = score_and_report(
        best,
        card,
        photos,
        folder=folder,
        device=device,
        title=title,
        notes=notes,
        watch=watch,
        report=report,
    )
    text = f"{score_text(score, told, folder)}\nweights: {folder / WEIGHTS_NAME}"
    return told, f"{text}\ntook {told['minutes']:.1f} minutes"


def make_model(
    config: TrainCls, data: Data, path: Path, teaching: Teaching | None = None
) -> tuple[Classifier, Card]:
    """The classifier to train, and the card of what it will be.

    Args:
        config: What to train.
        data: Its training data.
        path: Of the data.
        teaching: What it learns from besides labels.
    """
    torch.manual_seed(config.common.seed)
    flavour, origin = starting_flavour(config)
    model = build_classifier(config.model, len(data.classes), flavour, config.loss)
    if config.weights is not None:
        start, new = start_classifier(model, data.classes, config.weights)
        known = len(data.classes) - len(new)
        cli.say(f"weights of {config.weights}: {known} classes known, {len(new)} start anew")
        if start.folded:
            measure_norms(model, training_loader(config, data, 0))
    if teaching is not None:
        origin += f", taught by {teaching.name},"
    card = Card(
        task=TASK,
        model=config.model.to_json(),
        flavour=flavour,
        classes=data.classes,
        source=f"trained {origin} on {path}{_CUT if config.boxes else ''} by {config.command}",
    )
    return model, card


def score_text(score: Score, report: dict[str, Any], folder: Path) -> str:
    """The result of an evaluation for people: what it found, and what it costs."""
    return (
        f"{format_metrics(score)}\n  cost        {report['facts']['cost']} per photo\n\n"
        f"{format_classes(score)}\n\nreport: {report_file(folder)}"
    )


def data_text(data: LabelledData) -> str:
    """What was evaluated on, for a report."""
    cut = "" if data.box_margin is None else ", each cut to its box"
    return f"{data.root}: {len(data)} photos ({data.format}){cut}"


def score_and_report(
    model: Classifier | Exported,
    card: Card,
    photos: Photos,
    *,
    folder: Path,
    device: str,
    title: str,
    notes: Sequence[tuple[str, str]] = (),
    watch: Stopwatch | None = None,
    report: bool = True,
) -> tuple[Score, dict[str, Any]]:
    """Run a model over a split, score it, and leave predictions and report in a folder."""
    evaluator = photos.evaluator.fresh()
    started = time.perf_counter()
    loader = loader_for(model, photos.data, photos.loader, photos.loader.batch_size)
    for image_ids, logits in classify(model, loader, device, "evaluating"):
        evaluator.update(image_ids, logits)
    photos.loader.close()
    seconds = time.perf_counter() - started
    score, data = evaluator.compute(), photos.data
    files = [str(file) for file in data.files]
    folder.mkdir(parents=True, exist_ok=True)
    evaluator.write(folder, files)
    cost = classifier_cost(ClassifierSpec(**card.model), len(card.classes))
    explain = None
    if not isinstance(model, Exported):  # Which cannot be asked for its gradients.
        columns = columns_in(card.classes, data.classes)
        explain = Explainer(model, device, centre_of(card), columns)
    own = [
        ("classes", str(len(card.classes))),
        ("data", data_text(data)),
        ("left out", f"{photos.left_out} photos, unreadable"),
        ("time", time_text(seconds, len(data), device)),
        *notes,
    ]
    run = run_facts(folder, title, card, cost, own, watch)
    found = ReportData(
        classes=data.classes,
        score=score,
        read=data.image,
        explain=explain,
        files=[Path(file).name for file in files],
    )
    return score, write_report(folder, run, make_report(found), page=report)


def evaluate_classifier(args: Evaluate) -> tuple[dict[str, Any], str]:
    """Score a classifier, and leave predictions and report in a folder.

    Returns:
        The result for programs and for people.

    Raises:
        InputError: If data, weights or flags do not fit.
    """
    device = cli.prepare(args.common)
    args.refuse_unless(EVALUATE_FLAGS, TASK)
    model: Classifier | Exported
    if is_export(args.weights):
        model = open_export(args, TASK)
        card = model.card
    else:
        model, card = load_classifier(args.weights)
    path = data_or_shapes(args.data, args.common.seed)
    # Shards to evaluate on are what was named; a labelled set gives up a part of itself.
    split, whole = args.split or "val", is_sharded(path)
    data = open_data(path, split, args.classes, whole=whole, boxes=args.boxes)
    workers = cli.choose_workers(args.workers)
    photos = make_photos(data, card, batch_size=args.batch_size, workers=workers)
    folder = evaluation_folder(args.common, args.weights, path)
    title = f"{args.weights.name} on {path.name}"
    score, report = score_and_report(
        model, card, photos, folder=folder, device=device, title=title
    )
    return report, score_text(score, report, folder)
