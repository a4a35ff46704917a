"""Classifiers of an experiment, trained in folders of its run, and the scorer of a GAN."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from configs.classification import TrainCls
from datasets.labels.structure import LabelledData
from tasks.classification.application import CLASSIFICATION
from tasks.dcgan.scores import FeatureNet, Judge
from tasks.fitting.checkpoint import LAST_NAME, InterruptedRun
from tasks.fitting.stopwatch import Stopwatch
from tasks.predictor import open_network
from tools import cli
from tools.classification.recipe import ClassRun
from tools.dcgan.data import GanRun, Pictures
from tools.flows.run_folder import save_config
from tools.flows.stages import is_begun, read_report
from tools.flows.training import fit_run, report_run

FEATURES_FOLDER = "features"


def train_once(
    config: TrainCls,
    train: LabelledData,
    val: LabelledData,
    path: Path,
    *,
    folder: Path,
    outer: Path,
    device: str,
) -> dict[str, Any]:
    """Train a classifier in its folder, unless that is done; continue it if it was interrupted.

    Args:
        config: Configuration of the classifier.
        train: Training images.
        val: Evaluation images.
        path: Path of the data, for its card.
        folder: Folder of the classifier.
        outer: Folder of the run that it belongs to, which resumes all of it.
        device: Device to train on.

    Returns:
        Content of its ``report.json``.

    Raises:
        InterruptedRun: If a signal stopped it, after saving.
    """
    if (report := read_report(folder)) is not None:
        return report
    watch = Stopwatch()
    config = replace(config, resume=folder if is_begun(folder) else None)
    run = ClassRun(config, path, train, val)
    target_source = run.target_source(device)
    network, card = run.build(target_source)
    save_config(config, folder)
    try:
        fit_run(
            run,
            network,
            card,
            folder=folder,
            device=device,
            watch=watch,
            target_source=target_source,
        )
    except InterruptedRun:
        raise InterruptedRun(
            f"stopped and saved to {folder / LAST_NAME}; go on with --resume {outer}"
        ) from None
    return report_run(run, folder=folder, device=device, watch=watch, notes=[])[0]


def make_judge(run: GanRun, pictures: Pictures) -> tuple[Judge, str]:
    """The scorer of generated images, and a sentence about it.

    Raises:
        InputError: If ``--features`` is not a classifier.
        InterruptedRun: If a signal stopped its training, after saving.
    """
    config = run.config
    source = config.features
    if source is None:
        source = run.folder / FEATURES_FOLDER
        epochs, augment = config.classifier.cls_epochs, config.classifier.standard
        cli.say(f"the classifier to score images by: {source}")
        one = config.train_cls(augment, epochs=epochs, seed=config.common.seed)
        train_once(
            one, run.train, run.val, run.path, folder=source, outer=run.folder, device=run.device
        )
    classifier, card = open_network(source, CLASSIFICATION)
    top1 = card.metrics.get("top1")
    known = "" if top1 is None else f", top-1 {top1:.3f} where it was evaluated"
    trained = "as --features names it" if config.features else "trained on the real images"
    net = FeatureNet(classifier, str(source), run.device)
    judge = Judge(net, net.of_all(pictures.pixels), pictures.data.labels)
    text = f"{source}, {judge.real.shape[1]} numbers an image; {trained}{known}"
    return judge, text
