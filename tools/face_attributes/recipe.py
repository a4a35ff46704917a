"""A network of face attributes: training and evaluation, from the configuration to the report."""

from __future__ import annotations

import time
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch

from configs.face_attributes import TrainAttr
from configs.tools import Evaluate
from datasets.attributes.opening import open_attributes
from datasets.attributes.structure import AttributeData
from tasks.classification.answer import classify
from tasks.classification.evaluator import columns_in
from tasks.classification.gradcam import Explainer
from tasks.classification.spec import ClassifierSpec
from tasks.distillation.teaching import Teaching
from tasks.face_attributes.evaluator import (
    AttributeEvaluator,
    Score,
    format_attributes,
    format_metrics,
)
from tasks.face_attributes.load import TASK, load_attribute_net, start_attribute_net
from tasks.face_attributes.model import AttributeNet, build_attribute_net
from tasks.face_attributes.report import NOTE, ReportData, make_report
from tasks.face_attributes.task import AttributeTask
from tasks.face_attributes.teachers import open_attribute_teacher
from tasks.fitting.stopwatch import Stopwatch
from tasks.reporting.skeleton import report_file, write_report
from tasks.runtime.exported import Exported
from tasks.runtime.open import is_export
from tasks.weights.card import Card
from tasks.weights.file import save_weights
from tasks.weights.names import WEIGHTS_NAME
from tools import cli
from tools.classification.recipe import classifier_cost
from tools.face_attributes.data import Faces, data_or_faces, examine, open_faces
from tools.flows.exported import loader_for, open_export
from tools.flows.fitting import fit_and_keep
from tools.flows.initial_weights import measure_norms, starting_flavour
from tools.flows.photo_loaders import Photos, make_photos, training_loader
from tools.flows.report_facts import centre_of, run_facts, time_text
from tools.flows.run_folder import evaluation_folder, is_first, new_run_folder, save_config
from tools.flows.teacher_targets import open_teaching

# Flags of tools/evaluate.py that not all applications take.
EVALUATE_FLAGS: tuple[str, ...] = ()

# A probability whose odds are still a number.
_SURE = 1 - 1e-7


def train_attributes(
    config: TrainAttr, folder: Path | None = None, *, report: bool = True
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
    path = data_or_faces(config.data, config.common.seed)
    faces = open_faces(config, path)
    teaching = open_teaching(
        config, faces.train.photos, device, find=open_attribute_teacher, answers="values"
    )
    model, card = make_model(config, faces.train, path, teaching)
    if is_first():
        save_config(config, folder)
    _fit(
        config,
        model,
        card,
        faces,
        folder=folder,
        device=device,
        watch=watch,
        teaching=teaching,
    )
    if not is_first():
        return {}, ""
    best, card = load_attribute_net(folder)
    workers = cli.choose_workers(config.workers)
    split = partial(make_photos, card=card, batch_size=config.fit.batch_size, workers=workers)
    notes = [("thresholds", "a half")]
    if config.fit_thresholds:
        _fit_thresholds(best, card, faces.val, split(faces.val.photos, alone=True), device)
        save_weights(folder / WEIGHTS_NAME, best.state_dict(), card)
        notes = [("thresholds", f"fitted on {len(faces.val)} validation photos")]
    title = f"{config.model.backbone} on {path.name}, {faces.tested}"
    loaded = split(faces.test.photos, alone=True)
    score, told = score_and_report(
        best,
        card,
        faces.test,
        loaded,
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
    config: TrainAttr, data: AttributeData, path: Path, teaching: Teaching | None = None
) -> tuple[AttributeNet, Card]:
    """The network to train, and the card of what it will be.

    Args:
        config: What to train.
        data: Its training data.
        path: Of the data.
        teaching: What it learns from besides labels.

    Raises:
        InputError: If the weights to start from do not fit.
    """
    torch.manual_seed(config.common.seed)
    flavour, origin = starting_flavour(config)
    model = build_attribute_net(config.model, len(data.attributes), flavour, config.loss)
    model.weigh(data.attributes.names, torch.from_numpy(data.prevalence))
    if config.weights is not None:
        start, new = start_attribute_net(model, data.attributes, config.weights)
        known = len(data.attributes) - len(new)
        cli.say(f"weights of {config.weights}: {known} attributes known, {len(new)} start anew")
        if start.folded:
            measure_norms(model, training_loader(config, data.photos, 0))
    if teaching is not None:
        origin += f", taught by {teaching.name},"
    return model, Card(
        task=TASK,
        model=config.model.to_json(),
        flavour=flavour,
        classes=data.attributes,
        source=f"trained {origin} on {path} by {config.command}",
    )


def _fit(
    config: TrainAttr,
    model: AttributeNet,
    card: Card,
    faces: Faces,
    *,
    folder: Path,
    device: str,
    watch: Stopwatch,
    teaching: Teaching | None,
) -> None:
    workers = cli.choose_workers(config.workers)
    photos = make_photos(
        faces.val.photos,
        card,
        batch_size=config.fit.batch_size,
        workers=workers,
        cache=config.cache,
    )
    evaluator = _evaluator(model, card, faces.val)
    fit_and_keep(
        AttributeTask(
            model, config.fit, config.common.seed, faces.train.values, evaluator, teaching
        ),
        training_loader(config, faces.train.photos, workers),
        photos.loader,
        card,
        folder=folder,
        device=device,
        resume=config.resume is not None,
        watch=watch,
    )


def _evaluator(
    model: AttributeNet | Exported, card: Card, data: AttributeData
) -> AttributeEvaluator:
    columns = columns_in(card.classes, data.attributes)
    if isinstance(model, Exported):
        thresholds = np.array(model.facts["thresholds"], np.float32)
    else:
        thresholds = model.thresholds.cpu().numpy()
    return AttributeEvaluator(data.values, data.attributes, columns, thresholds)


def _answered(
    model: AttributeNet | Exported, card: Card, data: AttributeData, photos: Photos, device: str
) -> AttributeEvaluator:
    """The evaluator of a split with all its answers."""
    evaluator = _evaluator(model, card, data)
    loader = loader_for(model, photos.data, photos.loader, photos.loader.batch_size)
    for image_ids, logits in classify(model, loader, device, "evaluating"):
        if isinstance(model, Exported):  # Its are logarithms of probabilities.
            logits = logits - torch.log1p(-logits.exp().clamp(max=_SURE))
        evaluator.update(image_ids, logits)
    photos.loader.close()
    return evaluator


def _fit_thresholds(
    model: AttributeNet, card: Card, data: AttributeData, photos: Photos, device: str
) -> None:
    fitted = _answered(model, card, data, photos, device).fit_thresholds()
    columns = columns_in(card.classes, data.attributes)
    own = np.arange(len(fitted)) if columns is None else columns
    thresholds = model.thresholds.cpu()
    thresholds[torch.from_numpy(own >= 0)] = torch.from_numpy(fitted[own[own >= 0]])
    model.thresholds.copy_(thresholds)


def score_text(score: Score, report: dict[str, Any], folder: Path) -> str:
    """The result of an evaluation for people: what it found, and what it costs."""
    return (
        f"{format_metrics(score)}\n  cost         {report['facts']['cost']} per photo\n\n"
        f"{format_attributes(score)}\n\n{NOTE}\n\nreport: {report_file(folder)}"
    )


def score_and_report(
    model: AttributeNet | Exported,
    card: Card,
    data: AttributeData,
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
    started = time.perf_counter()
    evaluator = _answered(model, card, data, photos, device)
    seconds = time.perf_counter() - started
    score = evaluator.compute(interval=True)
    files = [str(file) for file in data.files]
    folder.mkdir(parents=True, exist_ok=True)
    evaluator.write(folder, files)
    cost = classifier_cost(ClassifierSpec(**card.model), len(card.classes))
    explain = None
    if not isinstance(model, Exported):  # Which cannot be asked for its gradients.
        explain = Explainer(model, device, centre_of(card), evaluator.columns)
    own = [
        ("attributes", str(len(card.classes))),
        ("data", f"{data.root}: {len(data)} photos ({data.format})"),
        ("left out", f"{data.left_out} photos, unreadable"),
        ("time", time_text(seconds, len(data), device)),
        *notes,
    ]
    run = run_facts(folder, title, card, cost, own, watch)
    found = ReportData(
        attributes=data.attributes,
        score=score,
        read=data.image,
        explain=explain,
        files=[Path(file).name for file in files],
    )
    return score, write_report(folder, run, make_report(found), page=report)


def evaluate_attributes(args: Evaluate) -> tuple[dict[str, Any], str]:
    """Score a network of attributes, and leave predictions and report in a folder.

    Without --split it is the part to test on, or where there is none, that to validate on.

    Returns:
        The result for programs and for people.

    Raises:
        InputError: If data, weights or flags do not fit.
    """
    device = cli.prepare(args.common)
    args.refuse_unless(EVALUATE_FLAGS, TASK)
    model: AttributeNet | Exported
    if is_export(args.weights):
        model = open_export(args, TASK)
        card = model.card
    else:
        model, card = load_attribute_net(args.weights)
    path = data_or_faces(args.data, args.common.seed)
    parts = open_attributes(path)
    name = args.split or ("test" if parts.has("test") else "val")
    data = examine(name, parts.data if name == "all" else parts.part(name))
    photos = make_photos(
        data.photos,
        card,
        batch_size=args.batch_size,
        workers=cli.choose_workers(args.workers),
    )
    folder = evaluation_folder(args.common, args.weights, path)
    title = f"{args.weights.name} on {path.name}, {name}"
    score, report = score_and_report(
        model, card, data, photos, folder=folder, device=device, title=title
    )
    return report, score_text(score, report, folder)
