"""A geolocator's training and evaluation, from the configuration to the report."""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from configs.geolocation import TrainGeo
from configs.tools import Evaluate
from datasets.positions.opening import GeoData
from tasks.classification.answer import classify
from tasks.classification.spec import ClassifierSpec
from tasks.distillation.teaching import Teaching
from tasks.fitting.stopwatch import Stopwatch
from tasks.geolocation.answer import ExportedPlaces, GeoPredictor
from tasks.geolocation.atlas import Atlas, atlas_of
from tasks.geolocation.evaluator import Score, format_metrics
from tasks.geolocation.load import (
    TASK,
    TEMPERATURE_KEY,
    build_geolocator,
    load_geolocator,
    start_geolocator,
    temperature_of,
)
from tasks.geolocation.model import Geolocator
from tasks.geolocation.report import ReportData, make_report
from tasks.geolocation.task import GeolocationTask, Truth
from tasks.geolocation.teachers import open_geo_teacher
from tasks.reporting.skeleton import report_file, write_report
from tasks.runtime.exported import Exported
from tasks.runtime.open import is_export
from tasks.weights.card import Card
from tasks.weights.file import save_weights
from tasks.weights.names import WEIGHTS_NAME
from tools import cli
from tools.classification.recipe import classifier_cost
from tools.flows.exported import loader_for, open_export
from tools.flows.fitting import fit_and_keep
from tools.flows.initial_weights import measure_norms, starting_flavour
from tools.flows.report_facts import centre_of, run_facts, time_text
from tools.flows.run_folder import evaluation_folder, is_first, new_run_folder, save_config
from tools.flows.teacher_targets import open_teaching
from tools.geolocation.cell_lists import write_all_cells
from tools.geolocation.data import (
    Notes,
    Parts,
    Places,
    as_labelled,
    data_or_drawn,
    describe,
    in_cells,
    make_atlas,
    make_places,
    open_parts,
    open_sound,
    training_loader,
)
from tools.geolocation.measured_part import part_to_measure, trained_on

# Flags of tools/evaluate.py that not all applications take.
EVALUATE_FLAGS = ("places",)


def train_geolocator(config: TrainGeo, *, report: bool = True) -> tuple[dict[str, Any], str]:
    """Train, then evaluate the saved weights, and leave a report in the run folder.

    Args:
        config: What to train, on what.
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
    folder = config.resume or new_run_folder(config.common, config.preset)
    path = data_or_drawn(config.data, config.common.seed)
    parts = open_parts(config, path)
    atlas = make_atlas(config.cells, config.partition, parts.train)
    parts = replace(parts, train=in_cells(parts.train, atlas))
    said = describe(parts.train)
    cli.say(f"cells: {' + '.join(map(str, atlas.sizes))}, to train on {said}")
    teaching = _open_teaching(config, atlas, parts.train, device)
    model, card = make_model(config, atlas, parts.train, path, teaching)
    if is_first():
        save_config(config, folder)
        write_all_cells(folder, atlas.partitions)
    _fit(config, model, card, atlas, parts, teaching, folder=folder, device=device, watch=watch)
    if not is_first():
        return {}, ""
    best, atlas, card = load_geolocator(folder)
    workers = cli.choose_workers(config.workers)
    places = make_places(
        parts.val,
        atlas,
        card,
        config.decode,
        temperature=temperature_of(card),
        batch_size=config.fit.batch_size,
        workers=workers,
        alone=True,
    )
    title = f"{config.model.backbone} on {path.name}"
    notes = [("trained on", said), *parts.notes]
    score, told = score_and_report(
        best,
        atlas,
        card,
        places,
        folder=folder,
        device=device,
        title=title,
        notes=notes,
        watch=watch,
        report=report,
    )
    kept = {name: value for name, value in score["metrics"].items() if name != "loss"}
    kept[TEMPERATURE_KEY] = temperature_of(card)  # Not the one that fits what is reported.
    save_weights(folder / WEIGHTS_NAME, best.state_dict(), replace(card, metrics=kept))
    text = f"{score_text(score, told, folder)}\nweights: {folder / WEIGHTS_NAME}"
    return told, f"{text}\ntook {told['minutes']:.1f} minutes"


def _open_teaching(config: TrainGeo, atlas: Atlas, data: GeoData, device: str) -> Teaching | None:
    """What is learnt from besides positions.

    Of one head a store keeps the likeliest cells; of several it keeps all, since the likeliest of
    all columns would leave heads bare.
    """
    return open_teaching(
        config,
        as_labelled(data, atlas.columns),
        device,
        find=lambda spec, _: open_geo_teacher(spec, atlas),
        answers="classes" if len(atlas.partitions) == 1 else "values",
    )


def _fit(
    config: TrainGeo,
    model: Geolocator,
    card: Card,
    atlas: Atlas,
    parts: Parts,
    teaching: Teaching | None,
    *,
    folder: Path,
    device: str,
    watch: Stopwatch,
) -> None:
    workers = cli.choose_workers(config.workers)
    places = make_places(
        parts.chosen,
        atlas,
        card,
        replace(config.decode, abstain=0.0),
        temperature=1.0,
        batch_size=config.fit.batch_size,
        workers=workers,
        cache=config.cache,
    )
    truth = Truth(atlas, parts.train.lat, parts.train.lng)
    fit_and_keep(
        GeolocationTask(model, config.fit, config.common.seed, truth, places.evaluator, teaching),
        training_loader(config, parts.train, workers),
        places.loader,
        card,
        folder=folder,
        device=device,
        resume=config.resume is not None,
        watch=watch,
    )


def make_model(
    config: TrainGeo,
    atlas: Atlas,
    data: GeoData,
    path: Path,
    teaching: Teaching | None = None,
) -> tuple[Geolocator, Card]:
    """The geolocator to train, and the card of what it will be.

    Args:
        config: What to train.
        atlas: Partitions to answer in.
        data: Training photos.
        path: Of the data.
        teaching: What it learns from besides positions.

    Raises:
        InputError: If the weights to start from do not fit.
    """
    torch.manual_seed(config.common.seed)
    flavour, origin = starting_flavour(config)
    model = build_geolocator(config.model, atlas, flavour, config.loss)
    if config.weights is not None:
        start, whole = start_geolocator(model, config.weights)
        cli.say(f"weights of {config.weights}: body{' and head' if whole else ', a new head'}")
        if start.folded:
            measure_norms(model, training_loader(replace(config, cache=False), data, 0))
    if teaching is not None:
        origin += f", taught by {teaching.name},"
    card = Card(
        task=TASK,
        model=config.model.to_json(),
        flavour=flavour,
        classes=atlas.classes,
        source=f"trained {origin} on {path} by {config.command}",
        trained_on=trained_on(path, whole=config.val is not None),
    )
    return model, card


def score_text(score: Score, report: dict[str, Any], folder: Path) -> str:
    """The result of an evaluation for people: what it found, and what it costs."""
    return (
        f"{format_metrics(score)}\n  cost         {report['facts']['cost']} per photo\n\n"
        f"report: {report_file(folder)}"
    )


def score_and_report(
    model: Geolocator | Exported,
    atlas: Atlas,
    card: Card,
    places: Places,
    *,
    folder: Path,
    device: str,
    title: str,
    notes: Notes,
    watch: Stopwatch | None = None,
    report: bool = True,
) -> tuple[Score, dict[str, Any]]:
    """Run a model over a split, measure it, and leave predictions and report in a folder."""
    evaluator, data = places.evaluator, places.data
    started = time.perf_counter()
    loader = loader_for(model, data, places.loader, places.loader.batch_size)
    for image_ids, logits in classify(model, loader, device, "evaluating"):
        if isinstance(model, Exported):  # It has combined them, and divided by the temperature.
            evaluator.update(image_ids, logits * evaluator.temperature)
        else:
            evaluator.update(image_ids, model.combine(logits))
    places.loader.close()
    seconds = time.perf_counter() - started
    score = evaluator.compute()
    files = [str(file) for file in data.files]
    folder.mkdir(parents=True, exist_ok=True)
    evaluator.write(folder, files, score)
    cost = classifier_cost(ClassifierSpec(**card.model), sum(atlas.sizes))
    locate: GeoPredictor | ExportedPlaces
    if isinstance(model, Exported):
        locate = ExportedPlaces(model, atlas, evaluator.spec)
    else:
        locate = GeoPredictor(
            model, atlas, device, centre_of(card), evaluator.spec, evaluator.temperature
        )
    own = [
        ("cells", " + ".join(map(str, atlas.sizes))),
        ("evaluated on", describe(data)),
        ("answers", ", ".join(f"{k} {v}" for k, v in vars(evaluator.spec).items())),
        ("time", time_text(seconds, len(data), device)),
        *notes,
    ]
    run = run_facts(folder, title, card, cost, own, watch)
    found = ReportData(
        partition=atlas.fine,
        score=score,
        truth=(data.lat, data.lng),
        used_temperature=evaluator.temperature,
        read=data.image,
        locate=locate,
        files=[Path(file).name for file in files],
    )
    return score, write_report(folder, run, make_report(found), page=report)


def evaluate_geolocator(args: Evaluate) -> tuple[dict[str, Any], str]:
    """Measure a geolocator, and leave predictions and report in a folder.

    Returns:
        The result for programs and for people.

    Raises:
        InputError: If data, weights or flags do not fit.
    """
    device = cli.prepare(args.common)
    args.refuse_unless(EVALUATE_FLAGS, TASK)
    model: Geolocator | Exported
    if is_export(args.weights):
        model = open_export(args, TASK)
        atlas, card = atlas_of(torch.from_numpy(model.cells)), model.card
    else:
        model, atlas, card = load_geolocator(args.weights)
    path = data_or_drawn(args.data, args.common.seed)
    whole, part = False, f"--split {args.split} of {path}"
    if args.split is None:
        whole, part = part_to_measure(path, card)
    cli.say(f"evaluating on {part}")
    data = open_sound(path, args.split or "val", whole=whole)
    places = make_places(
        data,
        atlas,
        card,
        args.places,
        temperature=temperature_of(card),
        batch_size=args.batch_size,
        workers=cli.choose_workers(args.workers),
    )
    folder = evaluation_folder(args.common, args.weights, path)
    title = f"{args.weights.name} on {path.name}"
    score, report = score_and_report(
        model,
        atlas,
        card,
        places,
        folder=folder,
        device=device,
        title=title,
        notes=[("part", part)],
    )
    return report, score_text(score, report, folder)
