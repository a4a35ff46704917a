"""Successive halving: networks train in rounds, and after each round the better half goes on.

Every network has one training with one learning-rate schedule from its first to its last step. A
round lets it train up to an epoch that the plan fixed, and pauses it; the next round resumes it
exactly. So the training that reaches its end is the same, bit for bit, as without any pause, and a
shipment that is interrupted and resumed ends with the same file.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from datasets.errors import InputError
from tasks.fitting.stopwatch import Stopwatch
from tasks.open_model import open_model
from tasks.runtime.open import read_card
from tools import cli
from tools.flows.run_folder import save_config, sole_process
from tools.flows.stages import is_begun, read_record
from tools.flows.training import fit_run
from tools.shipping.plan import CURVE_SHARE, Plan, Trial, trial_seconds
from tools.shipping.shipment import Shipment

TRIALS_FOLDER = "trials"
_DONE_NAME, _CURVE = "trained.json", "-quarter"


@dataclass(frozen=True)
class Standing:
    """A network at the end of a round.

    Attributes:
        name: Name of the network.
        epochs: Epochs that it has trained.
        score: Best value of the main metric so far, on the images for the selection.
    """

    name: str
    epochs: int
    score: float


@dataclass(frozen=True)
class Selection:
    """The result of the halving.

    Attributes:
        rounds: Standings after each round, the best first.
        ranking: All networks, the best first.
    """

    rounds: tuple[tuple[Standing, ...], ...]
    ranking: tuple[Trial, ...]


def select(shipment: Shipment, plan: Plan) -> Selection:
    """Train in rounds; what was done before an interruption is not repeated.

    Raises:
        InterruptedRun: If a signal stopped a training, after saving.
    """
    left, dropped = list(plan.trials), list[Trial]()
    rounds = []
    for number in range(plan.rounds):
        found = []
        for place, trial in enumerate(left, start=1):
            since, until = trial.pauses[number - 1] if number else 0, trial.pauses[number]
            minutes = trial_seconds(plan, trial, since, until) / 60
            cli.say(
                f"round {number + 1} of {plan.rounds}: {trial.name}, {place} of {len(left)}, to "
                f"epoch {until} of {trial.length.epochs}, about {minutes:.1f} minutes"
            )
            found.append(_to_pause(shipment, trial, number))
        order = sorted(range(len(left)), key=lambda k: (-found[k].score, k))
        rounds.append(tuple(found[k] for k in order))
        ranked = [left[k] for k in order]
        kept = math.ceil(len(ranked) / 2)
        left, dropped = ranked[:kept], [*ranked[kept:], *dropped]
        cli.say("; ".join(f"{one.name} {one.score:.3f}" for one in rounds[-1]))
    return Selection(tuple(rounds), (*left, *dropped))


def trial_folder(shipment: Shipment, trial: Trial) -> Path:
    """Run folder of a network's training."""
    return shipment.folder / TRIALS_FOLDER / trial.name


def _to_pause(shipment: Shipment, trial: Trial, number: int) -> Standing:
    """Train until the end of a round, unless that is done."""
    folder, epochs = trial_folder(shipment, trial), trial.pauses[number]
    record = folder / f"round-{number + 1}.json"
    done = read_record(record, "score")
    if done is None:
        train_until(shipment, trial, folder, epochs)
        done = {"epochs": epochs, "score": score_of(shipment, folder)}
        cli.write_json(record, done)
    return Standing(trial.name, epochs, float(done["score"]))


def score_of(shipment: Shipment, folder: Path) -> float:
    """The main metric of the weights that a training kept so far, in 0..1."""
    metric = shipment.recipe.application.metric
    return float(read_card(folder).metrics[metric.name] / metric.best)


def train_until(
    shipment: Shipment,
    trial: Trial,
    folder: Path,
    epochs: int | None = None,
    share: float = 1.0,
) -> None:
    """Train a network up to an epoch, or to its end, from its checkpoint if there is one.

    Args:
        shipment: The shipment.
        trial: The network.
        folder: Its run folder.
        epochs: Last epoch, from 1; None for the end.
        share: Share of the training images to use.

    Raises:
        InterruptedRun: If a signal stopped it, after saving.
    """
    chosen = trial.candidate
    config = shipment.config(chosen.alpha, chosen.size, chosen.weights, trial.length)
    with sole_process(folder):
        begun = is_begun(folder)
        config = replace(config, resume=folder if begun else None)
        run = shipment.opened(config, share)
        network, card = run.build(None)
        if not begun:
            save_config(config, folder)
            run.save(folder)
        watch = Stopwatch()
        device = shipment.device
        fit_run(run, network, card, folder=folder, device=device, watch=watch, pause_after=epochs)


def finish(shipment: Shipment, trial: Trial) -> dict[str, Any]:
    """Train a network to its end; returns what is stored about it: score and notes."""
    folder = trial_folder(shipment, trial)
    record = folder / _DONE_NAME
    done = read_record(record, "score", "notes")
    if done is None:
        cli.say(f"{trial.name}: to its end, epoch {trial.length.epochs}")
        train_until(shipment, trial, folder)
        chosen = trial.candidate
        config = shipment.config(chosen.alpha, chosen.size, chosen.weights, trial.length)
        run = shipment.opened(config)
        workers = cli.choose_workers(shipment.args.workers)
        score = score_of(shipment, folder)
        notes = run.after_fit(open_model(folder, run.options()), folder, shipment.device, workers)
        done = {"score": score, "notes": notes, "images": len(run.train)}
        cli.write_json(record, done)
    return done


def learning_curve(shipment: Shipment, trial: Trial) -> list[tuple[int, float]]:
    """Training images and score, for a quarter of the images and for all of them.

    It is empty if a quarter is too little to train on, which is no reason to lose the rest.
    """
    whole = finish(shipment, trial)
    folder = trial_folder(shipment, trial)
    inside = folder.with_name(f"{folder.name}{_CURVE}")
    record = inside / _DONE_NAME
    done = read_record(record, "score", "images")
    if done is None:
        cli.say(f"{trial.name}: on a quarter of the images, for the learning curve")
        try:
            train_until(shipment, trial, inside, share=CURVE_SHARE)
        except InputError as error:
            cli.say(f"no learning curve: {error}")
            return []
        run = shipment.opened(shipment.base, CURVE_SHARE)
        done = {"score": score_of(shipment, inside), "images": len(run.train)}
        cli.write_json(record, done)
    pairs = (done, whole)
    return [(int(one["images"]), float(one["score"])) for one in pairs]
