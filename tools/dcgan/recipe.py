"""A GAN's run from its configuration to its report, and the experiment."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from backbone.cost import count_cost
from configs.gan import TrainGan
from datasets.errors import InputError
from tasks.dcgan.model import DISCRIMINATOR_PREFIX, Gan
from tasks.dcgan.networks import Generator
from tasks.dcgan.report import ReportData, ScoreRow, make_report, scores_text
from tasks.dcgan.sampling import Picture, generate, load_generator, make_card
from tasks.dcgan.scores import MEANINGS, NEIGHBOURS, Judge, nearest, score
from tasks.dcgan.spec import GanSpec
from tasks.dcgan.task import ROWS, GanTask
from tasks.fitting.checkpoint import InterruptedRun
from tasks.fitting.engine import rank_and_world
from tasks.fitting.history import METRICS_NAME, read_metrics
from tasks.fitting.stopwatch import Stopwatch
from tasks.reporting.skeleton import RunFacts, write_report
from tasks.weights.file import find_weights, save_weights
from tasks.weights.head_files import load_weights
from tasks.weights.names import WEIGHTS_NAME
from tools import cli
from tools.classification.data import data_text
from tools.dcgan.data import GanRun, Pictures, open_parts, picture_loader, wanted_loader
from tools.dcgan.experiment import run_experiment
from tools.dcgan.judge import make_judge
from tools.dcgan.sampling import sample_to_folder
from tools.fine_grained.data import BREEDS
from tools.flows.evaluating import model_text
from tools.flows.run_folder import new_run_folder, save_config, sole_process
from tools.flows.stages import is_begun, read_report
from tools.flows.told_files import files_tables, stand_ins, told_files
from tools.flows.training import fit_and_keep

_TILE = 128
# Keys of a report that the printed result uses.
_TOLD = ("scores", "measure", "minutes")


def train_or_sample(config: TrainGan) -> tuple[dict[str, Any], str]:
    """Sample, or train and score, and make the experiment if it is asked for."""
    return sample_to_folder(config) if config.sample else train_and_compare(config)


def train_and_compare(config: TrainGan) -> tuple[dict[str, Any], str]:
    """Train a GAN and score it, unless one is given; then make the experiment if requested.

    A resumed run continues where it was interrupted.

    Args:
        config: Configuration of the run.

    Returns:
        The result as data and as text.

    Raises:
        InputError: If data, weights or flags do not fit.
        InterruptedRun: If a signal stopped it, after saving, or one network won early.
    """
    if rank_and_world()[1] > 1:
        raise InputError("a GAN trains in one process: start it without torchrun")
    device = cli.prepare(config.common)
    folder = config.resume or new_run_folder(config.common, config.preset)
    if why := (read_report(folder) or {}).get("stopped"):  # The game was over.
        raise InputError(f"{folder}: {why}; going on would change nothing: begin another run")
    with sole_process(folder):
        return _train_in(folder, config, device)


def _train_in(folder: Path, config: TrainGan, device: str) -> tuple[dict[str, Any], str]:
    """Train and compare in a folder that is locked."""
    path = BREEDS.or_given(config.data, config.common.seed)
    card = None
    if config.weights is not None:
        generator, card = load_generator(config.weights)
        config = replace(config, model=generator.spec)
    with told_files(path) as files:
        train, val = open_parts(config, path)
    parts = stand_ins(files)
    if card is not None and card.classes.names != train.classes.names:
        raise InputError(
            f"--weights {config.weights}: generates {', '.join(card.classes.names)}, but the data "
            f"are of {', '.join(train.classes.names)}"
        )
    save_config(config, folder)
    run = GanRun(config, train, val, path, folder, device, files, parts)
    data: dict[str, Any] = {"folder": folder}
    text = ""
    if config.weights is None or config.features is not None:
        data, text = train_or_score(run)
    if config.experiment:
        generator, _ = load_generator(config.weights or folder)
        data["experiment"], more = run_experiment(run, generator)
        text = f"{text}\n\n{more}" if text else more
    return data, text


def train_or_score(run: GanRun) -> tuple[dict[str, Any], str]:
    """Train, unless that is done or a generator is given, and write scores and a report.

    Returns:
        Content of ``report.json``, and the result as text.

    Raises:
        InputError: If data or flags do not fit.
        InterruptedRun: If a signal stopped it, after saving, or one network won early.
    """
    config, folder, seed = run.config, run.folder, run.config.common.seed
    given = config.weights
    if given is None and (report := read_report(folder, *_TOLD)) is not None:
        return told_again(folder, report)
    watch = Stopwatch()
    pictures = Pictures.read(run.train, config.model.size)
    scored = pictures.some(config.scored)
    judge, features = make_judge(run, scored)
    stopped = fit_generator(run, pictures, judge, watch) if given is None else ""
    weights = given or folder
    held_out = Pictures.read(run.val, config.model.size).some(config.scored)
    rows = score_rows(run, judge, held_out, weights)
    state, card = load_weights(weights)
    if given is None:
        save_weights(folder / WEIGHTS_NAME, state, replace(card, metrics=rows[0].figures))
    told = RunFacts(
        f"{given.name}, scored on {run.path.name}" if given else f"DCGAN of {run.path.name}",
        config.command,
        [
            ("model", model_text(card)),
            ("cost", generator_cost(config.model, len(card.classes))),
            ("features", features),
            ("photos", data_text(run.train)),
            ("held out", data_text(run.val)),
            ("weights", card.source),
            *run.parts,
        ],
        watch=watch,
        files=files_tables(run.files),
    )
    found = ReportData(
        folder=folder,
        minutes=watch.minutes,
        stopped=stopped,
        features=judge.title,
        rows=rows,
        history=() if given else read_metrics(folder / METRICS_NAME),
        neighbours=neighbours(weights, judge, scored, seed, run.device),
    )
    report = write_report(folder, told, make_report(found))
    text = result_text(report, rows, folder, weights)
    if stopped:
        cli.say(text)
        raise InterruptedRun(stopped)
    return report, text


def told_again(folder: Path, report: dict[str, Any]) -> tuple[dict[str, Any], str]:
    """The result of a run that was finished before."""
    rows = [
        ScoreRow(kept["name"], kept["pictures"], {name: kept[name] for name in MEANINGS})
        for kept in report["scores"]
    ]
    return report, result_text(report, rows, folder, folder)


def result_text(report: dict[str, Any], rows: list[ScoreRow], folder: Path, weights: Path) -> str:
    """The scores as text."""
    return (
        f"{report['measure']}\n{scores_text(rows)}\n\nreport: {folder / 'report.html'}\n"
        f"weights: {find_weights(weights)}\ntook {report['minutes']:.1f} minutes"
    )


def generator_cost(spec: GanSpec, num_classes: int) -> str:
    """Mult-adds and parameters of an image."""
    with torch.device("meta"):
        model = Generator(spec, num_classes)
        labels = torch.zeros(1, dtype=torch.int64)
    cost = count_cost(model.eval(), (1, spec.latent), lambda m, x: m(x, labels))
    return f"{cost.mult_adds / 1e6:.1f} M mult-adds, {cost.params / 1e6:.3f} M params per image"


def fit_generator(run: GanRun, pictures: Pictures, judge: Judge, watch: Stopwatch) -> str:
    """Train; the weights file keeps the generator of the best evaluation.

    Returns:
        Why the training stopped before its end; empty if it did not.

    Raises:
        InterruptedRun: If a signal stopped it, after saving.
        FloatingPointError: If a loss became NaN.
    """
    config, folder = run.config, run.folder
    seed, classes = config.common.seed, pictures.data.classes
    model = fresh_gan(config, len(classes))
    source = f"generator trained from scratch on {run.path} by {config.command}"
    task = GanTask(model, config.fit, seed, names=classes.names, judge=judge, folder=folder)
    fit_and_keep(
        task,
        picture_loader(pictures, config.fit.batch_size, seed),
        wanted_loader(judge.labels),
        make_card(config.model, classes, source),
        folder=folder,
        device=run.device,
        resume=is_begun(folder),
        watch=watch,
        training_only=DISCRIMINATOR_PREFIX,
    )
    return task.stopped


def fresh_gan(config: TrainGan, num_classes: int) -> Gan:
    """Both networks as they are before training."""
    torch.manual_seed(config.common.seed)
    return Gan(config.model, num_classes, config.loss)


def score_rows(run: GanRun, judge: Judge, held_out: Pictures, weights: Path) -> list[ScoreRow]:
    """Scores of a generator, of an untrained one, and of images that no network has seen.

    The random numbers differ from those by which the kept weights were selected. A Frechet
    distance depends on the number of images, so the generator is also scored on as many as there
    are held-out images.
    """
    seed, labels, device = run.config.common.seed + 1, judge.labels, run.device
    generator, _ = load_generator(weights)
    untrained = fresh_gan(run.config, len(held_out.data.classes)).generator.eval()
    kept = judge.net.of_all(generate(generator, labels, seed, device, "scoring"))
    raw = judge.net.of_all(generate(untrained, labels, seed, device))
    rows = [
        ScoreRow("generator", len(kept), judge.score(kept)),
        ScoreRow("untrained generator", len(raw), judge.score(raw)),
    ]
    few, real = held_out.data.labels, judge.net.of_all(held_out.pixels)
    as_many = judge.net.of_all(generate(generator, few, seed, device))
    for name, features in (("held-out images", real), ("generator, as many", as_many)):
        if len(features) > NEIGHBOURS:
            rows.append(ScoreRow(name, len(features), score(judge.real, features)))
    return rows


def neighbours(
    weights: Path, judge: Judge, pictures: Pictures, seed: int, device: str
) -> list[tuple[Picture, str]]:
    """Generated images of some classes, each beside the training image nearest to it."""
    generator, card = load_generator(weights)
    labels = np.arange(min(len(card.classes), ROWS), dtype=np.int64)
    made = generate(generator, labels, seed + 1, device)
    rows = nearest(judge.real, judge.net.of_all(made))
    grow = max(1, _TILE // generator.spec.size)
    pairs = (np.concatenate((made[k], pictures.pixels[row]), axis=1) for k, row in enumerate(rows))
    return [
        (pair.repeat(grow, axis=0).repeat(grow, axis=1), card.classes.names[label])
        for pair, label in zip(pairs, labels.tolist(), strict=True)
    ]
