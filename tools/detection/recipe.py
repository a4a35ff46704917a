"""A detection run from its configuration to its report."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import torch

from configs.detection import TrainDet
from datasets.boxes.augmentation import DetectionTransform
from datasets.boxes.structure import DetectionData
from datasets.boxes.torch_set import DetectionSet, detection_loader
from datasets.errors import InputError
from datasets.loader import ResumableLoader
from datasets.types import ClassMap, DetectionBatch
from tasks.detection.model import (
    TASK,
    Detector,
    build_detector,
    detector_flavour,
    load_detector,
    start_from,
)
from tasks.detection.task import DetectionTask
from tasks.fitting.batchnorm import CALIBRATION_BATCHES, calibrate_batchnorm
from tasks.fitting.engine import rank_and_world
from tasks.fitting.stopwatch import Stopwatch
from tasks.runtime.open import read_card
from tasks.weights.card import Card
from tasks.weights.names import WEIGHTS_NAME
from tools import cli
from tools.detection.data import (
    Validation,
    data_or_scenes,
    make_validation,
    open_examined,
    score_and_report,
    score_text,
)
from tools.flows.fitting import fit_and_keep
from tools.flows.run_folder import is_first, new_run_folder, save_config


def train_detector(config: TrainDet, *, report: bool = True) -> None:
    """Train, then evaluate the saved weights, and leave a report in the run folder.

    Args:
        config: What to train, on what.
        report: Whether to draw the report's page, which in a small run takes longer than the
            training; ``report.json`` is written either way.

    Raises:
        InputError: If data, weights or flags do not fit.
        InterruptedRun: If a signal stopped the training, after saving.
    """
    watch = Stopwatch()
    device = cli.prepare(config.common)
    folder = config.resume or new_run_folder(config.common, config.preset)
    path = data_or_scenes(config.data, config.common.seed)
    train_data = open_examined(path, "train", config.model, train=True)
    if len(train_data) < 2 * rank_and_world()[1] and not config.fit.freeze_bn:
        raise InputError(
            f"{path}: {len(train_data)} training images are too few; batch norm needs two or more "
            "per process"
        )
    model, card = make_model(config, train_data, path)
    val_data = open_examined(path, "val", config.model, train=False)
    if is_first():
        save_config(config, folder)
    _fit(config, model, card, train_data, val_data, folder=folder, device=device, watch=watch)
    if not is_first():
        return
    best, card = load_detector(folder, post=config.post)
    validation = _validation(config, val_data, card.classes)
    score, told = score_and_report(
        best,
        card,
        validation,
        folder=folder,
        device=device,
        title=f"{card.model['framework']} run",
        watch=watch,
        report=report,
    )
    text = f"{score_text(score, told, folder)}\nweights: {folder / WEIGHTS_NAME}"
    cli.result(config.common, told, f"{text}\ntook {told['minutes']:.1f} minutes")


def _fit(
    config: TrainDet,
    model: Detector,
    card: Card,
    data: DetectionData,
    val_data: DetectionData,
    *,
    folder: Path,
    device: str,
    watch: Stopwatch,
) -> None:
    rank, world = rank_and_world()
    loader = training_loader(config, data, rank=rank, world=world)
    validation = _validation(config, val_data, card.classes, rank=rank, world=world)
    task = DetectionTask(model, config.fit, config.common.seed, validation.evaluator)
    fit_and_keep(
        task,
        loader,
        validation.loader,
        card,
        folder=folder,
        device=device,
        resume=config.resume is not None,
        watch=watch,
    )


def training_loader(
    config: TrainDet, data: DetectionData, *, rank: int = 0, world: int = 1, workers: int = -1
) -> ResumableLoader[DetectionBatch]:
    """A process's share of the augmented pictures of each epoch, in whole batches."""
    spec = config.model
    transform = DetectionTransform(spec.size, config.augment, keep_aspect=spec.keep_aspect)
    return detection_loader(
        DetectionSet(data, transform, config.common.seed),
        batch_size=config.fit.batch_size,
        train=True,
        workers=workers if workers >= 0 else cli.choose_workers(config.workers),
        seed=config.common.seed,
        rank=rank,
        world=world,
    )


def _validation(
    config: TrainDet, data: DetectionData, classes: ClassMap, *, rank: int = 0, world: int = 1
) -> Validation:
    return make_validation(
        data,
        classes,
        spec=config.model,
        batch_size=config.fit.batch_size,
        workers=cli.choose_workers(config.workers),
        rank=rank,
        world=world,
    )


def make_model(config: TrainDet, data: DetectionData, path: Path) -> tuple[Detector, Card]:
    """The detector to train, and the card of what it will be."""
    torch.manual_seed(config.common.seed)
    flavour = detector_flavour(config.model.backbone)
    folded, origin = False, "from scratch"
    if config.weights is not None:
        start = read_card(config.weights)
        # A detector takes the whole photo, and resizes it in one way.
        whole = replace(start.flavour.input, crop=1.0, interpolation="bilinear")
        flavour, folded = replace(start.flavour, input=whole), start.folded
        origin = f"from {config.weights}"
    loss = config.two_stage if config.model.two_stage else config.loss
    model = build_detector(config.model, data.classes, flavour, loss=loss, post=config.post)
    if config.weights is not None:
        _, new = start_from(model, data.classes, config.weights)
        known = len(data.classes) - len(new)
        cli.say(f"weights of {config.weights}: {known} classes known, {len(new)} start anew")
        if not known and config.preset == "adapt":
            raise InputError(
                f"--preset adapt: {config.weights} knows none of the classes; take --preset "
                "finetune, which lets new ones be learned"
            )
        if start.model.get("keep_aspect", config.model.keep_aspect) != config.model.keep_aspect:
            cli.say("note: the weights have seen pictures fitted to the input the other way")
        if not new and config.preset == "finetune":
            cli.say("no class is new: --preset adapt keeps closer to what the weights know")
        if folded and not config.fit.freeze_bn:
            cli.say("measuring batch-norm statistics, which the weights came without")
            _calibrate(config, model, data)
            folded = False
    card = Card(
        task=TASK,
        model=config.model.to_json(),
        flavour=replace(flavour, input=replace(flavour.input, size=config.model.size)),
        classes=data.classes,
        source=f"trained {origin} on {path} by {config.command}",
        folded=folded,
    )
    return model, card


def _calibrate(config: TrainDet, model: Detector, data: DetectionData) -> None:
    pairs = zip(range(CALIBRATION_BATCHES), training_loader(config, data, workers=0), strict=False)
    calibrate_batchnorm(model, [batch["images"] for _, batch in pairs])
