"""The plan of a shipment: which networks are trained, and for how many steps."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from configs.ship import Ship
from datasets.errors import InputError
from datasets.json_files import read_object
from tools import cli
from tools.shipping.candidates import Candidate, Pace, time_training
from tools.shipping.shipment import Length, Shipment
from tools.speed.budget import Option, decide

PLAN_NAME = "plan.json"
# Share of the time for training; the rest is for loading, INT8, exports and the final figure.
_TRAINING = 0.85
# Share of its full training that the last network is at when the selection ends.
_SELECTED_AT = 0.3
# Share of the images for the second point of the learning curve.
CURVE_SHARE = 0.25
_EVALUATIONS = 12
# Networks train for at least this share of the time that is theirs; otherwise there are fewer.
_SHORTEST, _SHORTER = 0.7, 0.97
# Trainings are at most this many times as long as the preset's: more epochs overfit few images.
_LONGEST = 2


@dataclass(frozen=True)
class Trial:
    """A network to train.

    Attributes:
        candidate: The network.
        length: Length of its full training.
        pauses: Epoch after which it is compared with the others, for each round.
        pace: Measured seconds of a step and of an evaluation.
    """

    candidate: Candidate
    length: Length
    pauses: tuple[int, ...]
    pace: Pace

    @property
    def name(self) -> str:
        """Name of the network."""
        return self.candidate.name


@dataclass(frozen=True)
class Plan:
    """What is decided before any training; a resumed shipment continues with the same plan.

    Attributes:
        candidates: All networks that were measured.
        trials: Networks that are trained, the largest first.
        steps: Training steps of an epoch.
        seconds: Time for training.
    """

    candidates: tuple[Candidate, ...]
    trials: tuple[Trial, ...]
    steps: int
    seconds: float

    @property
    def rounds(self) -> int:
        """Number of comparisons."""
        return len(self.trials[0].pauses)

    def to_json(self) -> dict[str, Any]:
        """Plain dict."""
        rows = [{**asdict(one), "candidate": one.candidate.to_json()} for one in self.trials]
        return {
            "candidates": [one.to_json() for one in self.candidates],
            "trials": rows,
            "steps": self.steps,
            "seconds": self.seconds,
        }


def read_plan(folder: Path) -> Plan | None:
    """The plan of a begun shipment; None if it has none yet. Raises InputError if damaged."""
    file = folder / PLAN_NAME
    if not file.exists():
        return None
    values = read_object(file).values
    try:
        return Plan(
            tuple(Candidate.from_json(row) for row in values["candidates"]),
            tuple(
                Trial(
                    Candidate.from_json(row["candidate"]),
                    Length(**row["length"]),
                    tuple(row["pauses"]),
                    Pace(**row["pace"]),
                )
                for row in values["trials"]
            ),
            int(values["steps"]),
            float(values["seconds"]),
        )
    except (KeyError, TypeError, ValueError) as error:
        raise InputError(f"{file}: damaged, or of another version ({error})") from error


def shortlist(candidates: Sequence[Candidate], args: Ship) -> list[Candidate]:
    """The networks to train, the largest first.

    A network is left out if another one within the budget is at least as wide and sees at least as
    large images, because that one is more accurate, unless it needs 8 bits for it and this one
    does not. If there is room for more, the largest of those follow.

    Raises:
        InputError: If none keeps to the budget; the message states by how much, and what does.
    """
    within = [one for one in candidates if one.within(args)]
    if not within:
        raise InputError(unmet(candidates, args))

    def beats(one: Candidate, other: Candidate) -> bool:
        larger = one.alpha >= other.alpha and one.size >= other.size and one != other
        return larger and ("float32" in one.within(args) or "float32" not in other.within(args))

    best = [one for one in within if not any(beats(other, one) for other in within)]
    rest = [one for one in within if one not in best]
    best.sort(key=lambda one: -one.mult_adds)
    rest.sort(key=lambda one: -one.mult_adds)
    return [*best, *rest][: args.candidates]


def unmet(candidates: Sequence[Candidate], args: Ship) -> str:
    """Message about a budget that no network keeps to."""
    options = [
        Option(f"{one.name} {precision}", cost.ms, cost.mb, one.mult_adds, 0.0)
        for one in candidates
        for precision in ("float32", "int8")
        if (cost := one.cost(precision)) is not None
    ]
    verdict = decide(options, args.latency_ms, args.size_mb)
    near = verdict.nearest
    assert near is not None
    over, flags = [], []
    if args.latency_ms is not None:
        flags.append(f"--latency-ms {math.ceil(near.ms * 11) / 10:g}")
        if near.ms > args.latency_ms:
            over.append(f"{near.ms - args.latency_ms:.2f} ms")
    if args.size_mb is not None:
        flags.append(f"--size-mb {math.ceil(near.mb * 11) / 10:g}")
        if near.mb > args.size_mb:
            over.append(f"{near.mb - args.size_mb:.2f} MB")
    reasons = "; ".join(verdict.reasons)
    return (
        f"no network keeps to the budget: {reasons}. The nearest is {near.name} ({near.ms:.2f} "
        f"ms, {near.mb:.2f} MB), which exceeds it by {' and '.join(over)}; {' '.join(flags)} "
        "would be met. Smaller networks: --alpha and --resolution"
    )


def make_plan(shipment: Shipment, candidates: Sequence[Candidate], spent: float) -> Plan:
    """Decide what is trained for how long, in steps, from timed steps.

    Args:
        shipment: The shipment.
        candidates: Measured networks.
        spent: Seconds that have passed since the start.

    Raises:
        InputError: If no network keeps to the budget, or the hours do not allow an epoch of one.
    """
    args = shipment.args
    chosen = shortlist(candidates, args)
    steps = steps_of(shipment)
    seconds = max(0.0, args.hours * 3600 - spent) * _TRAINING
    paces = {}
    for one in chosen:
        cli.say(f"timing a training step of {one.name}")
        paces[one.name] = time_training(shipment, one)
    # If time is short, fewer networks; if it is very short, any one of them.
    sets = [chosen[:count] for count in range(len(chosen), 0, -1)] + [[one] for one in chosen[1:]]
    for some in sets:
        trials = plan_trials(shipment, some, paces, seconds)
        if trials:
            if len(some) < len(chosen):
                cli.say(f"the time allows {len(some)} of {len(chosen)} trainings")
            return Plan(tuple(candidates), trials, steps, seconds)
    quickest = min(chosen, key=lambda one: _epoch_seconds(paces[one.name], steps, 1))
    pace = paces[quickest.name]
    epoch = _epoch_seconds(pace, steps, 1)
    shortest = Plan((), (Trial(quickest, Length(1, 1), (), pace),), steps, seconds)
    least = planned_seconds(shortest, curve=args.curve) / _TRAINING + spent
    raise InputError(
        f"--hours {args.hours:g}: an epoch of {quickest.name} takes {epoch / 60:.1f} minutes; "
        f"--hours {math.ceil(least / 36) / 100 + 0.01:g} is the least"
    )


def plan_trials(
    shipment: Shipment, chosen: Sequence[Candidate], paces: Mapping[str, Pace], seconds: float
) -> tuple[Trial, ...]:
    """Trainings of some networks that take at most that many seconds together; empty if none do.

    Epochs of rounds are rounded up, and the learning curve has evaluations of its own, so
    trainings are shortened until all of it fits. A network alone gets at least an epoch, even if
    there is no time left for its curve.

    Args:
        shipment: The shipment.
        chosen: The networks.
        paces: Measured seconds of each network's step and evaluation, by its name.
        seconds: Time for all trainings.
    """
    curve, steps, shares = shipment.args.curve, steps_of(shipment), pause_shares(len(chosen))
    share, fallback = 1.0, tuple[Trial, ...]()
    while len(chosen) == 1 or share >= _SHORTEST:
        full = share * seconds / total_share(len(chosen), curve=curve)
        found = [trial_for(shipment, one, paces[one.name], full, shares) for one in chosen]
        trials = tuple(one for one in found if one is not None)
        if len(trials) < len(chosen):
            break
        if planned_seconds(Plan((), trials, steps, seconds), curve=curve) <= seconds:
            return trials
        share *= _SHORTER
        fallback = trials
    return fallback if len(chosen) == 1 else ()


def steps_of(shipment: Shipment) -> int:
    """Training steps of an epoch."""
    return max(1, len(shipment.run.train) // int(shipment.base.fit.batch_size))


def pause_shares(count: int) -> tuple[float, ...]:
    """Shares of the full training at which networks are compared, for a number of networks.

    Each round takes the same time in total: half the networks train for twice as long.
    """
    rounds = math.ceil(math.log2(count)) if count > 1 else 0
    first = _SELECTED_AT / (2**rounds - 1) if rounds else 0.0
    return tuple(first * (2 ** (k + 1) - 1) for k in range(rounds))


def total_share(count: int, *, curve: bool) -> float:
    """Time of all trainings, in full trainings of one network."""
    total, left, before = 0.0, count, 0.0
    for share in (*pause_shares(count), 1.0):
        total += left * (share - before)
        left, before = math.ceil(left / 2), share
    return total + (CURVE_SHARE if curve else 0.0)


def _epoch_seconds(pace: Pace, steps: int, eval_every: int) -> float:
    return steps * pace.step + pace.evaluation / eval_every


def trial_for(
    shipment: Shipment,
    candidate: Candidate,
    pace: Pace,
    seconds: float,
    shares: Sequence[float] = (),
) -> Trial | None:
    """A training that takes that many seconds; None if it would be too short to be compared.

    Args:
        shipment: The shipment.
        candidate: The network.
        pace: Measured seconds of a step and of an evaluation.
        seconds: Time of the full training.
        shares: Shares of it at which it is compared with others.
    """
    steps, run = steps_of(shipment), shipment.run
    longest = _LONGEST * int(shipment.base.fit.epochs)
    if candidate.weights is None:
        longest = max(longest, math.ceil(_LONGEST * run.least_steps / steps))
    epochs, eval_every = 0, 1
    for _ in range(3):  # Fewer evaluations allow more epochs, of which there are more to evaluate.
        epochs = min(int(seconds / _epoch_seconds(pace, steps, eval_every)), longest)
        eval_every = max(1, epochs // _EVALUATIONS)
    pauses: list[int] = []
    for share in shares:
        # At an evaluation that there is anyway: more of them would change when it stops early.
        least = pauses[-1] // eval_every + 1 if pauses else 1
        pauses.append(eval_every * max(least, round(share * epochs / eval_every)))
    if epochs < 1 or (pauses and pauses[-1] >= epochs):
        return None
    return Trial(candidate, Length(epochs, eval_every), tuple(pauses), pace)


def trial_seconds(plan: Plan, trial: Trial, since: int, until: int) -> float:
    """Expected time of some epochs of a training."""
    evaluations = _evaluations(trial, until) - _evaluations(trial, since)
    return (until - since) * plan.steps * trial.pace.step + evaluations * trial.pace.evaluation


def _evaluations(trial: Trial, epochs: int) -> int:
    """Evaluations until an epoch, where a round or the training ends."""
    return math.ceil(epochs / trial.length.eval_every)


def planned_seconds(plan: Plan, *, curve: bool) -> float:
    """Expected time of all trainings, if the first network is selected."""
    trials, total, before = list(plan.trials), 0.0, dict.fromkeys(plan.trials, 0)
    for number in range(plan.rounds + 1):
        for one in trials:
            until = one.pauses[number] if number < plan.rounds else one.length.epochs
            total += trial_seconds(plan, one, before[one], until)
            before[one] = until
        trials = trials[: math.ceil(len(trials) / 2)]
    last = plan.trials[0]
    if curve:
        total += CURVE_SHARE * last.length.epochs * plan.steps * last.pace.step
        total += _evaluations(last, last.length.epochs) * last.pace.evaluation
    return total


def plan_text(shipment: Shipment, plan: Plan) -> str:
    """The plan as tables for the terminal."""
    args, run = shipment.args, shipment.run
    trained = {one.name: one for one in plan.trials}
    limits = " and ".join(
        f"{value:g} {unit}"
        for value, unit in ((args.latency_ms, "ms"), (args.size_mb, "MB"))
        if value is not None
    )
    lines = [
        f"{shipment.task}: {run.subject}",
        f"budget {limits or 'without limits'}; recipe {shipment.base.preset}, batch size "
        f"{shipment.base.fit.batch_size}, {plan.steps} steps per epoch",
        "",
        "network       float ms     MB   int8 ms     MB  within         s/step  epochs  start",
    ]
    for one in sorted(plan.candidates, key=lambda one: -one.mult_adds):
        trial = trained.get(one.name)
        within = ", ".join(p.replace("32", "") for p in one.within(args)) or "-"
        pace = (
            f"{trial.pace.step:7.2f} {trial.length.epochs:7d}" if trial else f"{'-':>7} {'-':>7}"
        )
        lines.append(
            f"{one.name:12} {_cells(one.float32)}  {_cells(one.int8)}  {within:12} {pace}  "
            f"{one.origin or 'scratch'}"
        )
    lines += ["", *_round_lines(plan), _time_line(shipment, plan)]
    if not plan.trials[0].candidate.weights:
        lines.append(_scratch_line(shipment))
    return "\n".join(lines)


def _cells(cost: Any) -> str:
    return f"{cost.ms:9.2f} {cost.mb:6.2f}" if cost else f"{'-':>9} {'-':>6}"


def _round_lines(plan: Plan) -> list[str]:
    lines, left = [], len(plan.trials)
    for number in range(plan.rounds):
        kept = math.ceil(left / 2)
        epochs = ", ".join(str(one.pauses[number]) for one in plan.trials[:left])
        lines.append(f"round {number + 1}: {left} networks to epoch {epochs}; {kept} go on")
        left = kept
    lines.append("then the last one to its end, INT8, export, and the final figure")
    return lines


def _time_line(shipment: Shipment, plan: Plan) -> str:
    minutes = planned_seconds(plan, curve=shipment.args.curve) / 60
    curve = ", and on a quarter of the images" if shipment.args.curve else ""
    return f"training: about {minutes:.1f} minutes{curve} (--hours {shipment.args.hours:g})"


def _scratch_line(shipment: Shipment) -> str:
    run = shipment.run
    few = run.few_photos and len(run.train) < run.few_photos
    measured = f" ({run.measured_on_few})" if few and run.measured_on_few else ""
    return (
        f"no weights to start from: from scratch, at least {run.least_steps} steps are needed, "
        f"and the result is less accurate{measured}. --weights FOLDER names weights, --hub gets "
        "them"
    )
