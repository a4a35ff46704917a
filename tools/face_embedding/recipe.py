"""An embedding network's training and evaluation, from the configuration to the report."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, cast

import torch

from backbone.cost import Cost, count_cost
from configs.face_embedding import TrainEmbed
from configs.tools import Evaluate
from datasets.identities.structure import FaceData
from datasets.types import ClassMap
from tasks.distillation.spec import DistillSpec
from tasks.distillation.teacher import Teacher
from tasks.distillation.teaching import Teaching
from tasks.face_embedding.answer import embed
from tasks.face_embedding.evaluator import format_metrics
from tasks.face_embedding.load import (
    NO_CLASSES,
    TASK,
    TRAINING_ONLY,
    TrainedOn,
    architecture_of,
    describe_model,
    digest_of,
    load_embedder,
    refuse_other_alignment,
    start_embedder,
    trained_on,
)
from tasks.face_embedding.model import FaceEmbedder, build_embedder
from tasks.face_embedding.protocols import Score
from tasks.face_embedding.report import ReportData, make_report
from tasks.face_embedding.spec import EmbedderSpec
from tasks.face_embedding.task import FaceEmbeddingTask
from tasks.face_embedding.teachers import open_embedding_teacher
from tasks.fitting.stopwatch import Stopwatch
from tasks.reporting.skeleton import report_file, write_report
from tasks.runtime.exported import Exported
from tasks.runtime.open import is_export, read_card
from tasks.weights.card import Card
from tasks.weights.names import WEIGHTS_NAME
from tools import cli
from tools.face_embedding.data import (
    Measured,
    data_or_drawn,
    left_out_fold,
    make_measured,
    open_both,
    open_part,
    training_loader,
    view_loader,
)
from tools.flows.exported import loader_for, open_export
from tools.flows.fitting import fit_and_keep
from tools.flows.initial_weights import measure_norms, starting_flavour
from tools.flows.report_facts import run_facts, time_text
from tools.flows.run_folder import evaluation_folder, is_first, new_run_folder, save_config
from tools.flows.teacher_targets import open_teaching

# Flags of tools/evaluate.py that not all applications take.
EVALUATE_FLAGS = ("faces",)

# Which of a training's weights are kept.
_CHOSEN = "the weights of the evaluation that is best on the pairs of the fold before the tested"
_LAST = "the weights of the last epoch: all pairs are tested, and none are left to choose by"


def embedder_cost(spec: EmbedderSpec) -> Cost:
    """Mult-adds and parameters for one photo, counted without memory or arithmetic."""
    with torch.device("meta"):
        model = build_embedder(spec)
    return count_cost(model, (1, 3, spec.size, spec.size), lambda m, x: m.raw(x))


def train_embedder(
    config: TrainEmbed, folder: Path | None = None, *, report: bool = True
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
    path = data_or_drawn(config.data, config.common.seed)
    train, val = open_both(config, path)
    teaching = open_embedding_teaching(config, train, device)
    model, card = make_model(config, train, path, teaching)
    if is_first():
        save_config(config, folder)
    workers = cli.choose_workers(config.workers)
    ready = partial(make_measured, val, batch_size=config.fit.batch_size, workers=workers)
    measured = ready(card, cache=config.cache)
    fit_and_keep(
        FaceEmbeddingTask(model, config.fit, config.common.seed, measured.evaluator, teaching),
        training_loader(config, train, workers),
        measured.loader,
        card,
        folder=folder,
        device=device,
        resume=config.resume is not None,
        watch=watch,
        training_only=TRAINING_ONLY,
    )
    if not is_first():
        return {}, ""
    best, card = load_embedder(folder)
    title = f"{config.model.backbone} on {path.name}"
    notes = [("chosen", _CHOSEN if measured.evaluator.chooses else _LAST)]
    score, told = score_and_report(
        best,
        card,
        ready(card, alone=True),
        folder=folder,
        device=device,
        title=title,
        notes=notes,
        watch=watch,
        report=report,
    )
    text = f"{score_text(score, told, folder)}\nweights: {folder / WEIGHTS_NAME}"
    return told, f"{text}\ntook {told['minutes']:.1f} minutes"


def open_embedding_teaching(config: TrainEmbed, data: FaceData, device: str) -> Teaching | None:
    """What the student of a configuration learns from besides identities, if anything.

    A teacher of classes has a column for each; one of embeddings has numbers without a name.

    Args:
        config: Of the student.
        data: To train on.
        device: To compute on.

    Raises:
        InputError: If the teacher cannot be had, or stored answers are of another teacher, of
            other pictures or too few.
    """
    dim, size = config.model.dim, config.model.size

    def find(spec: DistillSpec, _numbers: ClassMap) -> Teacher:
        return open_embedding_teacher(
            spec, dim=dim, size=size, alignment=data.alignment, data=data.root
        )

    return open_teaching(
        cast("Any", config),  # Its augmentations are not those of classifiers.
        cast("Any", replace(data, classes=ClassMap.from_names([str(k) for k in range(dim)]))),
        device,
        find=find,
        answers="values",
        view=view_loader,
        augment=f"{config.augment}, --crop {config.crop:g}, --alignment {data.alignment}",
    )


def make_model(
    config: TrainEmbed, data: FaceData, path: Path, teaching: Teaching | None
) -> tuple[FaceEmbedder, Card]:
    """The network to train, and the card of what it will be."""
    torch.manual_seed(config.common.seed)
    flavour, origin = starting_flavour(config)
    if config.weights is not None and (told := read_card(config.weights)).task == TASK:
        refuse_other_alignment(told, config.weights, data.alignment, path)
    people = len(data.classes) if config.uses_labels else 0
    model = build_embedder(config.model, flavour, config.loss, people)
    if config.weights is not None and start_embedder(model, config.weights).folded:
        measure_norms(model, training_loader(config, data, 0))
    if teaching is not None:
        origin += f", taught by {teaching.name},"
    seen_people = TrainedOn(str(path), left_out_fold(config, path), digest_of(data.classes.names))
    return model, Card(
        task=TASK,
        model=describe_model(config.model, data.alignment, seen_people),
        flavour=flavour,
        classes=NO_CLASSES,
        source=f"trained {origin} on {path} by {config.command}",
    )


def score_text(score: Score, report: dict[str, Any], folder: Path) -> str:
    """The result of an evaluation for people: what it found, and what it costs."""
    return (
        f"{format_metrics(score)}\n  cost           {report['facts']['cost']} per photo\n\n"
        f"report: {report_file(folder)}"
    )


def score_and_report(
    model: FaceEmbedder | Exported,
    card: Card,
    measured: Measured,
    *,
    folder: Path,
    device: str,
    title: str,
    notes: Sequence[tuple[str, str]] = (),
    watch: Stopwatch | None = None,
    report: bool = True,
) -> tuple[Score, dict[str, Any]]:
    """Run a model over faces, compare them, and leave pairs and report in a folder."""
    evaluator = measured.evaluator.fresh()
    started = time.perf_counter()
    loader = loader_for(model, measured.data, measured.loader, measured.loader.batch_size)
    for image_ids, embeddings in embed(model, loader, device, "evaluating"):
        evaluator.update(image_ids, embeddings)
    measured.loader.close()
    seconds = time.perf_counter() - started
    score, data = evaluator.compute(), measured.data
    files = [str(file) for file in data.files]
    folder.mkdir(parents=True, exist_ok=True)
    evaluator.write(folder, files)
    cost = embedder_cost(architecture_of(card))
    compared = "all with all" if data.pairs is None else f"{len(data.pairs)} pairs"
    own = [
        ("data", f"{data.root}: {len(data)} faces ({data.format}), {compared}"),
        ("left out", f"{data.left_out} photos, unreadable or without a face"),
        ("time", time_text(seconds, len(data), device)),
        *notes,
    ]
    if data.pairs is not None and len(data.pairs.tested) == 1:
        own.append(("tested", f"fold {data.pairs.tested[0] + 1}; the other for the threshold"))
    run = run_facts(folder, title, card, cost, own, watch)
    found = ReportData(
        score=score,
        read=data.image,
        files=files,
    )
    return score, write_report(folder, run, make_report(found), page=report)


def evaluate_embedder(args: Evaluate) -> tuple[dict[str, Any], str]:
    """Measure an embedding network, and leave pairs and report in a folder.

    Returns:
        The result for programs and for people.

    Raises:
        InputError: If data, weights or flags do not fit.
    """
    device = cli.prepare(args.common)
    args.refuse_unless(EVALUATE_FLAGS, TASK)
    model: FaceEmbedder | Exported
    if is_export(args.weights):
        model = open_export(args, TASK)
        card = model.card
    else:
        model, card = load_embedder(args.weights)
    path = data_or_drawn(args.data, args.common.seed)
    size = card.flavour.input.size
    data, warning = open_part(path, args.split, args.faces, size, trained_on(card))
    refuse_other_alignment(card, args.weights, data.alignment, path)
    measured = make_measured(
        data, card, batch_size=args.batch_size, workers=cli.choose_workers(args.workers)
    )
    folder = evaluation_folder(args.common, args.weights, path)
    title = f"{args.weights.name} on {path.name}"
    notes = [("warning", warning)] if warning else []
    score, report = score_and_report(
        model, card, measured, folder=folder, device=device, title=title, notes=notes
    )
    told = f"warning: {warning}\n" if warning else ""
    return report, told + score_text(score, report, folder)
