"""A GAN's run from its configuration to its report, and on to the experiment."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from backbone.cost import count_cost
from configs.gan import TrainGan
from datasets.errors import InputError
from datasets.labels.structure import LabelledData
from datasets.ledger import Ledger
from tasks.dcgan.draw import ROWS
from tasks.dcgan.features import Judge
from tasks.dcgan.load import load_generator, make_card
from tasks.dcgan.model import DISCRIMINATOR_PREFIX, Gan
from tasks.dcgan.networks import Generator
from tasks.dcgan.report import ReportData, ScoreRow, make_report, scores_text
from tasks.dcgan.sampling import Picture, generate
from tasks.dcgan.scores import MEANINGS, NEIGHBOURS, nearest, score
from tasks.dcgan.spec import GanSpec
from tasks.dcgan.task import GanTask
from tasks.fitting.checkpoint import LAST_NAME, InterruptedRun
from tasks.fitting.engine import rank_and_world
from tasks.fitting.history import METRICS_NAME, read_metrics
from tasks.fitting.stopwatch import REPORT_NAME, Stopwatch
from tasks.reporting.skeleton import RunFacts, write_report
from tasks.runtime.open import read_card
from tasks.weights.card import Card
from tasks.weights.file import find_weights, save_weights
from tasks.weights.head_files import load_weights
from tasks.weights.names import WEIGHTS_NAME
from tools import cli
from tools.classification.data import data_text
from tools.dcgan.data import Pictures, open_parts, picture_loader, wanted_loader
from tools.dcgan.experiment import run_experiment
from tools.dcgan.judge import make_judge
from tools.fine_grained.data import BREEDS
from tools.flows.fitting import fit_and_keep
from tools.flows.report_facts import files_tables, model_text
from tools.flows.run_folder import new_run_folder, save_config
from tools.flows.told_files import told_files

_TILE = 128


def train_and_compare(config: TrainGan) -> tuple[dict[str, Any], str]:
    """Train a GAN and score it, unless one is given; then make the experiment if asked for.

    A resumed run goes on wherever it was interrupted.

    Returns:
        The result for programs and for people.

    Raises:
        InputError: If data, weights or flags do not fit.
        InterruptedRun: If a signal stopped it, after saving, or the game was over early.
    """
    if rank_and_world()[1] > 1:
        raise InputError("a GAN trains in one process: start it without torchrun")
    device = cli.prepare(config.common)
    folder = config.resume or new_run_folder(config.common, config.preset)
    refuse_stopped(folder)
    path = BREEDS.or_given(config.data, config.common.seed)
    config, card = _with_generator(config)
    with told_files(path) as files:
        train, val = open_parts(config, path)
    if card is not None and card.classes.names != train.classes.names:
        raise InputError(
            f"--weights {config.weights}: generates {', '.join(card.classes.names)}, but the data "
            f"are of {', '.join(train.classes.names)}"
        )
    save_config(config, folder)
    data: dict[str, Any] = {"folder": str(folder)}
    text = ""
    if card is None:
        data, text = train_generator(
            config, train, val, path, folder=folder, device=device, files=files
        )
    elif config.features is not None:
        data, text = score_generator(
            config, train, val, path, folder=folder, device=device, files=files
        )
    if config.experiment:
        generator, _ = load_generator(config.weights or folder)
        data["experiment"], more = run_experiment(
            config, generator, train, val, path, folder=folder, device=device
        )
        text = f"{text}\n\n{more}" if text else more
    return data, text


def _with_generator(config: TrainGan) -> tuple[TrainGan, Card | None]:
    """The configuration with the architecture of ``--weights``, and their card."""
    if config.weights is None:
        return config, None
    generator, card = load_generator(config.weights)
    return replace(config, model=generator.spec), card


def refuse_stopped(folder: Path) -> None:
    """Refuse to go on with a run whose game was over.

    Raises:
        InputError: If it was, saying why.
    """
    file = folder / REPORT_NAME
    why = json.loads(file.read_text(encoding="utf-8")).get("stopped") if file.exists() else ""
    if why:
        raise InputError(f"{folder}: {why}; going on would change nothing: begin another run")


def train_generator(
    config: TrainGan,
    train: LabelledData,
    val: LabelledData,
    path: Path,
    *,
    folder: Path,
    device: str,
    files: Sequence[Ledger] = (),
) -> tuple[dict[str, Any], str]:
    """Train in a run folder, unless that was done, and leave scores and a report there.

    Args:
        config: What to train.
        train: On what.
        val: What the GAN never sees.
        path: Of the data.
        folder: Of the run.
        device: To compute on.
        files: What became of the files of the data.

    Returns:
        What ``report.json`` holds, and the same for people.

    Raises:
        InputError: If data or flags do not fit.
        InterruptedRun: If a signal stopped it, after saving, or the game was over early.
    """
    if (folder / REPORT_NAME).exists():
        return told_again(folder)
    watch = Stopwatch()
    pictures = Pictures.read(train, config.model.size)
    scored = pictures.some(config.scored)
    judge, features = make_judge(config, train, val, path, scored, folder=folder, device=device)
    stopped = fit_generator(
        config, pictures, judge, path, folder=folder, device=device, watch=watch
    )
    held_out = Pictures.read(val, config.model.size).some(config.scored)
    rows = score_rows(config, judge, held_out, weights=folder, device=device)
    state, card = load_weights(folder)
    save_weights(folder / WEIGHTS_NAME, state, replace(card, metrics=rows[0].figures))
    near = neighbours(folder, judge, scored, config.common.seed, device)
    run = RunFacts(
        f"DCGAN of {path.name}",
        config.command,
        facts(card, config.model, train, val, features),
        watch=watch,
        files=files_tables(files),
    )
    found = ReportData(
        folder=folder,
        minutes=watch.minutes,
        stopped=stopped,
        features=judge.title,
        rows=rows,
        history=read_metrics(folder / METRICS_NAME),
        neighbours=near,
    )
    report = write_report(folder, run, make_report(found))
    text = result_text(report, rows, folder, folder)
    if stopped:
        cli.say(text)
        raise InterruptedRun(stopped)
    return report, text


def score_generator(
    config: TrainGan,
    train: LabelledData,
    val: LabelledData,
    path: Path,
    *,
    folder: Path,
    device: str,
    files: Sequence[Ledger] = (),
) -> tuple[dict[str, Any], str]:
    """Score a trained generator in the features of another classifier.

    The arguments and the result are those of :func:`train_generator`; nothing is trained.

    Raises:
        InputError: If data or flags do not fit.
    """
    assert config.weights is not None
    watch = Stopwatch()
    scored = Pictures.read(train, config.model.size).some(config.scored)
    judge, features = make_judge(config, train, val, path, scored, folder=folder, device=device)
    held_out = Pictures.read(val, config.model.size).some(config.scored)
    rows = score_rows(config, judge, held_out, weights=config.weights, device=device)
    run = RunFacts(
        f"{config.weights.name}, scored on {path.name}",
        config.command,
        facts(read_card(config.weights), config.model, train, val, features),
        watch=watch,
        files=files_tables(files),
    )
    found = ReportData(
        folder=folder,
        minutes=watch.minutes,
        stopped="",
        features=judge.title,
        rows=rows,
        history=(),
        neighbours=neighbours(config.weights, judge, scored, config.common.seed, device),
    )
    report = write_report(folder, run, make_report(found))
    return report, result_text(report, rows, folder, config.weights)


def facts(
    card: Card, model: GanSpec, train: LabelledData, val: LabelledData, features: str
) -> list[tuple[str, str]]:
    """Rows of a report's summary."""
    return [
        ("model", model_text(card)),
        ("cost", generator_cost(model, len(card.classes))),
        ("features", features),
        ("photos", data_text(train)),
        ("held out", data_text(val)),
        ("weights", card.source),
    ]


def told_again(folder: Path) -> tuple[dict[str, Any], str]:
    """The result of a run that was done before."""
    report: dict[str, Any] = json.loads((folder / REPORT_NAME).read_text(encoding="utf-8"))
    rows = []
    for kept in report["scores"]:
        figures = {name: kept[name] for name in MEANINGS}
        rows.append(ScoreRow(kept["name"], kept["pictures"], figures))
    return report, result_text(report, rows, folder, folder)


def result_text(report: dict[str, Any], rows: list[ScoreRow], folder: Path, weights: Path) -> str:
    """The scores for people."""
    return (
        f"{report['measure']}\n{scores_text(rows)}\n\nreport: {folder / 'report.html'}\n"
        f"weights: {find_weights(weights)}\ntook {report['minutes']:.1f} minutes"
    )


def generator_cost(spec: GanSpec, num_classes: int) -> str:
    """Mult-adds and parameters of a picture."""
    with torch.device("meta"):
        model = Generator(spec, num_classes)
        labels = torch.zeros(1, dtype=torch.int64)
    cost = count_cost(model.eval(), (1, spec.latent), lambda m, x: m(x, labels))
    return f"{cost.mult_adds / 1e6:.1f} M mult-adds, {cost.params / 1e6:.3f} M params per picture"


def fit_generator(
    config: TrainGan,
    pictures: Pictures,
    judge: Judge,
    path: Path,
    *,
    folder: Path,
    device: str,
    watch: Stopwatch,
) -> str:
    """Train; the weights file keeps the generator of the best evaluation.

    Returns:
        Why the training stopped before its end; empty if it did not.

    Raises:
        InterruptedRun: If a signal stopped it, after saving.
        FloatingPointError: If a loss became NaN.
    """
    seed, classes = config.common.seed, pictures.data.classes
    model = fresh_gan(config, len(classes))
    source = f"generator trained from scratch on {path} by {config.command}"
    task = GanTask(model, config.fit, seed, names=classes.names, judge=judge, folder=folder)
    fit_and_keep(
        task,
        picture_loader(pictures, config.fit.batch_size, seed),
        wanted_loader(judge.labels),
        make_card(config.model, classes, source),
        folder=folder,
        device=device,
        resume=(folder / LAST_NAME).exists(),
        watch=watch,
        training_only=DISCRIMINATOR_PREFIX,
    )
    return task.stopped


def fresh_gan(config: TrainGan, num_classes: int) -> Gan:
    """Both networks as they are before training."""
    torch.manual_seed(config.common.seed)
    return Gan(config.model, num_classes, config.loss)


def score_rows(
    config: TrainGan, judge: Judge, held_out: Pictures, *, weights: Path, device: str
) -> list[ScoreRow]:
    """Figures of a generator, of an untrained one, and of photos that no one has seen.

    The random numbers are others than those by which the kept weights were chosen. A Frechet
    distance depends on the number of pictures, so the generator is also scored on as many as
    there are held-out photos.
    """
    seed, labels = config.common.seed + 1, judge.labels
    generator, _ = load_generator(weights)
    untrained = fresh_gan(config, len(held_out.data.classes)).generator.eval()
    kept = judge.net.of_all(generate(generator, labels, seed, device, "scoring"))
    raw = judge.net.of_all(generate(untrained, labels, seed, device))
    rows = [
        ScoreRow("generator", len(kept), judge.score(kept)),
        ScoreRow("untrained generator", len(raw), judge.score(raw)),
    ]
    few, real = held_out.data.labels, judge.net.of_all(held_out.pixels)
    as_many = judge.net.of_all(generate(generator, few, seed, device))
    for name, features in (("held-out photos", real), ("generator, as many", as_many)):
        if len(features) > NEIGHBOURS:
            rows.append(ScoreRow(name, len(features), score(judge.real, features)))
    return rows


def neighbours(
    weights: Path, judge: Judge, pictures: Pictures, seed: int, device: str
) -> list[tuple[Picture, str]]:
    """Generated pictures of some classes, each beside the training photo nearest to it."""
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
