"""What the classification tools share: from a path to examined photos, loaders, a report."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import torch

from backbone.bodies import default_flavour
from backbone.cost import Cost, count_cost
from configs.classification import TrainCls
from configs.tools import Evaluate
from datasets.classification import open_labelled, read_wanted
from datasets.demo_labels import draw_shapes
from datasets.label_transforms import LabelTransform
from datasets.labelled import LabelledData, choose_classes
from datasets.labelled_set import LabelledSet, label_loader
from datasets.labels_check import describe_labels, examine_labels_or_refuse
from datasets.loader import ResumableLoader
from datasets.spec import Split
from datasets.types import LabelBatch
from tasks.batchnorm import CALIBRATION_BATCHES, calibrate_batchnorm
from tasks.card import Card, read_card
from tasks.classification.evaluator import (
    LabelEvaluator,
    Score,
    columns_in,
    format_classes,
    format_metrics,
)
from tasks.classification.gradcam import Explainer
from tasks.classification.inference import classify
from tasks.classification.load import TASK, load_classifier, start_classifier
from tasks.classification.model import Classifier, build_classifier
from tasks.classification.report import ReportData, write_report
from tasks.classification.spec import ClassifierSpec
from tasks.classification.task import ClassificationTask
from tasks.engine import rank_and_world
from tasks.history import METRICS_NAME, read_metrics
from tasks.spec import WEIGHTS_NAME
from tools import cli
from tools.fitting import fit_and_keep
from tools.running import evaluation_folder, is_first, new_run_folder, save_config

SHAPES = Path("data")
REPORT_NAME = "report.json"


def classifier_cost(spec: ClassifierSpec, num_classes: int) -> Cost:
    """Mult-adds and parameters for one photo, counted without memory or arithmetic."""
    with torch.device("meta"):
        model = build_classifier(spec, num_classes)
    return count_cost(model, (1, 3, spec.size, spec.size), lambda m, x: m.raw(x))


def data_or_shapes(path: Path | None, seed: int) -> Path:
    """The user's data, or the built-in shapes, drawn where they are not there yet."""
    if path is not None:
        return path
    shapes = SHAPES / f"shapes-{seed}"
    cli.say(f"no --data given: using built-in shapes ({shapes})")
    return draw_shapes(shapes, seed=seed)


def open_photos(
    path: Path, split: Split, wanted: Path | None, other: LabelledData | None = None
) -> LabelledData:
    """Read a split and have the data doctor look at it.

    Args:
        path: Data set.
        split: Part of it.
        wanted: File that names the classes to take, or None for all.
        other: The other split, to tell photos that stand in both.

    Raises:
        ValueError: If the data cannot be used.
    """
    data = open_labelled(path, split)
    if wanted is not None:
        data = choose_classes(data, read_wanted(wanted))
    try:
        checkup = examine_labels_or_refuse(data, other)
    except ValueError as error:
        raise ValueError(f"{split} data: {error}") from error
    if split == "train" or checkup.findings:
        cli.say(f"{split} data: {describe_labels(checkup, lines=5)}")
    return checkup.data


@dataclass(frozen=True)
class Photos:
    """A labelled split, ready to be scored."""

    data: LabelledData
    loader: ResumableLoader[LabelBatch]
    evaluator: LabelEvaluator


def make_photos(
    data: LabelledData, card: Card, *, batch_size: int, workers: int, cache: bool = False
) -> Photos:
    """Loader and evaluator of a split for a model, prepared as its card says.

    Raises:
        ValueError: If model and data have no class name in common.
    """
    rank, world = rank_and_world()
    spec = card.flavour.input
    transform = LabelTransform(spec.size, "none", crop=spec.crop, interpolation=spec.interpolation)
    loader = label_loader(
        LabelledSet(data, transform, cache=cache),
        batch_size=batch_size,
        train=False,
        workers=workers,
        rank=rank,
        world=world,
    )
    columns = columns_in(card.classes, data.classes)
    return Photos(data, loader, LabelEvaluator(data.labels, data.classes, columns))


def train_classifier(config: TrainCls, folder: Path | None = None) -> tuple[dict[str, Any], str]:
    """Train, then evaluate the saved weights, and leave a report in the run folder.

    Args:
        config: What to train, on what.
        folder: Of the run; by default the resumed one, ``--out``, or a new one.

    Returns:
        What ``report.json`` holds, and the same for people; empty on all processes but the first.

    Raises:
        ValueError: If data, weights or flags do not fit.
        InterruptedRun: If a signal stopped the training, after saving.
    """
    started = time.perf_counter()
    device = cli.prepare(config.common)
    folder = folder or config.resume or new_run_folder(config.common, config.preset)
    path = data_or_shapes(config.data, config.common.seed)
    train = open_photos(path, "train", config.classes)
    val = open_photos(path, "val", config.classes, train)
    model, card = make_model(config, train, path)
    if is_first():
        save_config(config, folder)
    workers = cli.choose_workers(config.workers)
    photos = make_photos(
        val, card, batch_size=config.fit.batch_size, workers=workers, cache=config.cache
    )
    task = ClassificationTask(model, config.fit, config.common.seed, photos.evaluator)
    fit_and_keep(
        task,
        _train_loader(config, train, workers),
        photos.loader,
        card,
        folder=folder,
        device=device,
        resume=config.resume is not None,
    )
    if not is_first():
        return {}, ""
    best, card = load_classifier(folder)
    photos = make_photos(val, card, batch_size=config.fit.batch_size, workers=workers)
    title = f"{config.model.backbone} on {path.name}"
    score, report = score_and_report(best, card, photos, folder=folder, device=device, title=title)
    minutes = (time.perf_counter() - started) / 60
    report = {"folder": str(folder), "minutes": round(minutes, 2), **report}
    cli.write_json(folder / REPORT_NAME, report)
    text = f"{score_text(score, report, folder)}\nweights: {folder / WEIGHTS_NAME}"
    return report, f"{text}\ntook {minutes:.1f} minutes"


def _train_loader(
    config: TrainCls, data: LabelledData, workers: int
) -> ResumableLoader[LabelBatch]:
    rank, world = rank_and_world()
    transform = LabelTransform(
        config.model.size, config.augment, interpolation=config.interpolation
    )
    return label_loader(
        LabelledSet(data, transform, config.common.seed, cache=config.cache),
        batch_size=config.fit.batch_size,
        train=True,
        workers=workers,
        seed=config.common.seed,
        rank=rank,
        world=world,
    )


def make_model(config: TrainCls, data: LabelledData, path: Path) -> tuple[Classifier, Card]:
    """The classifier to train, and the card of what it will be."""
    torch.manual_seed(config.common.seed)
    flavour, origin = default_flavour(config.model.backbone), "from scratch"
    if config.weights is not None:
        flavour, origin = read_card(config.weights).flavour, f"from {config.weights}"
    seen = replace(
        flavour.input,
        size=config.model.size,
        crop=config.crop,
        interpolation=config.interpolation,
    )
    flavour = replace(flavour, input=seen)
    model = build_classifier(config.model, len(data.classes), flavour, config.loss)
    folded = False
    if config.weights is not None:
        start, new = start_classifier(model, data.classes, config.weights)
        folded = start.folded
        known = len(data.classes) - len(new)
        cli.say(f"weights of {config.weights}: {known} classes known, {len(new)} start anew")
        if folded and not config.fit.freeze_bn:
            cli.say("measuring batch-norm statistics, which the weights came without")
            pairs = zip(range(CALIBRATION_BATCHES), _train_loader(config, data, 0), strict=False)
            calibrate_batchnorm(model, [batch["images"] for _, batch in pairs])
            folded = False
    card = Card(
        task=TASK,
        model=config.model.to_json(),
        flavour=flavour,
        classes=data.classes,
        source=f"trained {origin} on {path} by {config.command}",
        folded=folded,
    )
    return model, card


def score_text(score: Score, report: dict[str, Any], folder: Path) -> str:
    """The result of an evaluation for people: what it found, and what it costs."""
    return (
        f"{format_metrics(score)}\n  cost        {report['facts']['cost']} per photo\n\n"
        f"{format_classes(score)}\n\nreport: {folder / 'report.html'}"
    )


def score_and_report(
    model: Classifier, card: Card, photos: Photos, *, folder: Path, device: str, title: str
) -> tuple[Score, dict[str, Any]]:
    """Run a model over a split, score it, and leave predictions and report in a folder."""
    evaluator = photos.evaluator.fresh()
    started = time.perf_counter()
    for image_ids, logits in classify(model, photos.loader, device, "evaluating"):
        evaluator.update(image_ids, logits)
    photos.loader.close()
    seconds = time.perf_counter() - started
    score = evaluator.compute()
    data, spec = photos.data, card.flavour.input
    files = [str(file) for file in data.files]
    folder.mkdir(parents=True, exist_ok=True)
    evaluator.write(folder, files)
    cost = classifier_cost(model.spec, len(card.classes))
    fit = LabelTransform(spec.size, "none", crop=spec.crop, interpolation=spec.interpolation)
    facts = [
        ("model", ", ".join(f"{key} {value}" for key, value in card.model.items())),
        ("cost", str(cost)),
        ("classes", str(len(card.classes))),
        ("weights", card.source),
        ("data", f"{data.root}: {len(data)} photos ({data.format})"),
        ("left out", f"{data.left_out} photos, unreadable"),
        ("time", f"{seconds:.1f} s for {len(data)} photos on {device}"),
    ]
    report = write_report(
        folder,
        ReportData(
            title=title,
            command=cli.shown_command(),
            classes=data.classes,
            score=score,
            cost=cost,
            read=data.image,
            explain=Explainer(
                model, device, partial(fit, seed=0), columns_in(card.classes, data.classes)
            ),
            files=[Path(file).name for file in files],
            history=read_metrics(folder / METRICS_NAME),
            facts=facts,
        ),
    )
    return score, report


def evaluate_classifier(args: Evaluate) -> tuple[dict[str, Any], str]:
    """Score a classifier, and leave predictions and report in a folder.

    Returns:
        The result for programs and for people.

    Raises:
        ValueError: If data, weights or flags do not fit.
    """
    device = cli.prepare(args.common)
    args.refuse("scorer", "proposals", "post", task=TASK)
    model, card = load_classifier(args.weights)
    path = data_or_shapes(args.data, args.common.seed)
    data = open_photos(path, args.split or "val", args.classes)
    workers = cli.choose_workers(args.workers)
    photos = make_photos(data, card, batch_size=args.batch_size, workers=workers)
    folder = evaluation_folder(args.common, args.weights, path)
    title = f"{args.weights.name} on {path.name}"
    score, report = score_and_report(
        model, card, photos, folder=folder, device=device, title=title
    )
    return {"folder": str(folder), **report}, score_text(score, report, folder)
