"""A run of several heads on one trunk, from the configuration to the report."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from configs.multitask import DEMO_HEADS, TrainMulti
from datasets.errors import InputError
from datasets.task_mix import InTurn, TaskMix
from tasks.body_network import BodyNetwork
from tasks.fitting.checkpoint import LAST_NAME, InterruptedRun
from tasks.fitting.engine import rank_and_world
from tasks.fitting.history import METRICS_NAME, read_metrics
from tasks.fitting.stopwatch import Stopwatch
from tasks.multitask.balance import Balance
from tasks.multitask.cost import count_params, pass_costs
from tasks.multitask.load import as_stored, build_stored, load_multi
from tasks.multitask.model import MultiTaskNet
from tasks.multitask.report import HeadRow, ReportData, format_report, make_report
from tasks.multitask.spec import HEADS, TASK
from tasks.multitask.stored import Stored, multi_card, read_stored
from tasks.multitask.task import MultiTask
from tasks.reporting.skeleton import RunFacts, report_file, write_report
from tasks.runtime.open import read_card
from tasks.weights.card import Card
from tasks.weights.names import HEADS_FOLDER, WEIGHTS_NAME
from tools import cli
from tools.flows.run_folder import is_first, new_run_folder, save_config, sole_process
from tools.flows.stages import is_begun
from tools.flows.training import fit_and_keep
from tools.multitask.heads import OpenedHead, open_head

# Within a run folder: each head's own report, and with --compare the runs of single heads.
REPORTS, ALONE = "reports", "alone"


@dataclass(frozen=True)
class Plan:
    """The heads that a run trains, and those that it keeps unchanged.

    Attributes:
        stored: Trunk and heads to start from; None if there is only a body, or nothing.
        wanted: Heads to train, with the path of their data, or None for built-in images.
    """

    stored: Stored | None
    wanted: dict[str, Path | None]

    @property
    def kept(self) -> list[str]:
        """Heads that are kept unchanged."""
        there = {} if self.stored is None else self.stored.heads
        return [name for name in there if name not in self.wanted]

    def alone(self, name: str) -> Plan:
        """The plan for one of the heads on a trunk of its own."""
        stored = self.stored
        if stored is not None:
            stored = stored.with_heads({k: v for k, v in stored.heads.items() if k == name})
        return Plan(stored, {name: self.wanted[name]})


def _start(config: TrainMulti) -> Stored | None:
    """Trunk and heads to start from; None if there is only a body, or nothing."""
    if config.weights is None:
        return None
    card = read_card(config.weights)
    if card.task == TASK:
        return read_stored(config.weights)
    if config.drop:
        raise InputError(
            f"--drop {config.drop[0]}: {config.weights} has no heads of train_multi.py; --tasks "
            "names what to train on its body"
        )
    if not config.add:
        return None
    if card.folded and config.bn != "frozen-trunk":
        raise InputError(
            f"--bn {config.bn}: the batch norm of {config.weights} was folded away by its source, "
            "so the trunk cannot be trained under its head: --bn frozen-trunk holds it; --tasks "
            "without --add takes the body alone"
        )
    return as_stored(config.weights)


def make_plan(config: TrainMulti) -> Plan:
    """What the flags request. Raises InputError if they do not fit the weights."""
    stored = _start(config)
    wanted = config.parse("tasks")
    if stored is None:
        return Plan(None, wanted or dict.fromkeys(DEMO_HEADS))
    for name in config.drop:
        stored.head(name)
    stored = stored.with_heads({k: v for k, v in stored.heads.items() if k not in config.drop})
    for name, path in config.parse("add").items():
        if name in stored.heads:
            raise InputError(f"--add {name}: {config.weights} has it; --tasks trains it further")
        if path is not None and path.is_file() and path.suffix == ".safetensors":
            stored = stored.attach(name, path)
        else:
            wanted[name] = path
    if not (wanted or config.add or config.drop):
        raise InputError(
            f"--weights {config.weights}: nothing to do; --tasks NAME=DATA trains its heads "
            f"further ({', '.join(stored.heads)}), --add and --drop change which there are"
        )
    plan = Plan(stored, {name: wanted[name] for name in HEADS if name in wanted})
    norms = [
        name for name in plan.wanted if name in stored.heads and stored.heads[name].owns_norms
    ]
    if norms and config.bn != "per-task":
        cli.say(
            f"note: --bn {config.bn}: {', '.join(norms)} had batch norm of their own in "
            f"{config.weights} and give it up; --bn per-task keeps it"
        )
    if wanted and plan.kept and config.bn != "frozen-trunk":
        name = plan.kept[0]
        raise InputError(
            f"--bn {config.bn}: the trunk would change under head {name!r} of {config.weights}: "
            f"train it too (--tasks {name}=DATA), leave it out (--drop {name}), or hold the trunk "
            "(--bn frozen-trunk)"
        )
    return plan


def train_multi(config: TrainMulti, *, report: bool = True) -> tuple[dict[str, Any], str]:
    """Train, evaluate the saved weights, and write reports to the run folder.

    Returns and raises as :func:`tools.flows.training.train` does.
    """
    watch = Stopwatch()
    device = cli.prepare(config.common)
    folder = config.resume or new_run_folder(config.common, config.preset)
    if config.heads_per_step and rank_and_world()[1] > 1:
        raise InputError(
            f"--heads-per-step {config.heads_per_step}: with several processes all heads have "
            "part in each step; take 0"
        )
    plan = make_plan(config)
    if config.workers < 0 and plan.wanted:
        config = replace(config, workers=max(1, cli.choose_workers(-1) // len(plan.wanted)))
    with sole_process(folder):
        if not plan.wanted:
            return _assemble(config, plan, folder)
        return _train_heads(_MultiRun(config, plan, folder, device, watch, report))


def _train_heads(run: _MultiRun) -> tuple[dict[str, Any], str]:
    """Train, compare if requested, and report."""
    config, folder = run.config, run.folder
    rows, steps = run.train()
    if config.compare:
        rows = run.compare(rows, steps)
    if not is_first():
        return {}, ""
    told, text = run.tell(rows)
    where = f"report: {report_file(folder)}\nweights: {folder / WEIGHTS_NAME}"
    return told, f"{text}\n\n{where}\ntook {told['minutes']:.1f} minutes"


def _assemble(config: TrainMulti, plan: Plan, folder: Path) -> tuple[dict[str, Any], str]:
    """Write the remaining or attached heads, without any training."""
    assert plan.stored is not None
    if not is_first():
        return {}, ""
    save_config(config, folder)
    _save(plan.stored, folder)
    names = list(plan.stored.heads)
    told = {"folder": folder, "heads": names}
    return told, f"heads: {', '.join(names) or 'none'}\nweights: {folder / WEIGHTS_NAME}"


def _save(stored: Stored, folder: Path) -> None:
    stored.save(folder / WEIGHTS_NAME)
    stored.save_heads(folder / HEADS_FOLDER)


@dataclass(frozen=True)
class _MultiRun:
    """A training of the wanted heads in a folder; ``report`` draws the reports' pages too."""

    config: TrainMulti
    plan: Plan
    folder: Path
    device: str
    watch: Stopwatch
    report: bool

    def train(self, steps: int = 0) -> tuple[list[HeadRow], dict[str, int]]:
        """Train the heads, and evaluate each.

        Returns:
            A row for each; and the number of steps per epoch in which each took part.
        """
        config, plan, folder = self.config, self.plan, self.folder
        there = {} if plan.stored is None else plan.stored.heads
        opened = {
            name: open_head(config, name, path, there.get(name))
            for name, path in plan.wanted.items()
        }
        net, card = make_net(config, plan, opened)
        if is_first():
            save_config(config, folder)
        mix = TaskMix(
            {name: head.loader for name, head in opened.items()},
            per_step=config.heads_per_step,
            seed=config.common.seed,
            steps=steps,
        )
        branches = {name: head.branch for name, head in opened.items()}
        fit_and_keep(
            MultiTask(net, config.schedule, config.common.seed, branches),
            mix,
            InTurn({name: head.val_loader for name, head in opened.items()}),
            card,
            folder=folder,
            device=self.device,
            resume=config.resume is not None,
            watch=self.watch,
            training_only=net.left_out(),
        )
        total = len(mix) * config.fit.epochs
        drawn = [name for step in range(total) for name in mix.drawn(step)]
        shares = {name: max(1, round(drawn.count(name) / config.fit.epochs)) for name in opened}
        if not is_first():
            return [], shares
        stored = read_stored(folder)
        _save(stored.finished(stored.card.metrics), folder)
        return self.measure(opened), shares

    def measure(self, opened: Mapping[str, OpenedHead]) -> list[HeadRow]:
        """Evaluate the saved heads, one by one, as their own tools do."""
        options = [one for head in opened.values() for one in head.run.options()]
        net, cards = load_multi(self.folder, options)
        rows = []
        for name, head in opened.items():
            model = head.as_model(net.head(name), cards[name], self.folder)
            inside = self.folder / REPORTS / name
            metrics = head.measure(model, inside, self.device, page=self.report)
            metric, meanings = model.application.metric, model.application.meanings
            value = float(metrics[metric.name])
            rows.append(HeadRow(name, head.data, metric, meanings[metric.name], value))
        return rows

    def compare(self, rows: list[HeadRow], steps: Mapping[str, int]) -> list[HeadRow]:
        """Train each head on a trunk of its own, for as many steps, and add its result."""
        found = {row.name: row for row in rows}
        for name in self.plan.wanted:
            inside = self.folder / ALONE / name
            begun = self.config.resume is not None and is_begun(inside)
            single = replace(
                self.config,
                bn="shared",
                heads_per_step=0,
                resume=inside if begun else None,
                compare=False,
            )
            cli.say(f"-- {name} alone: {inside}")
            run = replace(self, config=single, plan=self.plan.alone(name), folder=inside)
            try:
                alone, _ = run.train(steps[name])
            except InterruptedRun:
                raise InterruptedRun(
                    f"stopped in the run of {name} alone and saved to {inside / LAST_NAME}; go "
                    f"on with --resume {self.folder}"
                ) from None
            if alone:
                found[name] = replace(found[name], alone=alone[0].value)
        return list(found.values())

    def tell(self, rows: list[HeadRow]) -> tuple[dict[str, Any], str]:
        """Write the report; returns the content of ``report.json``, and the result as text."""
        net, _ = load_multi(self.folder)
        config, wanted = self.config, len(self.plan.wanted)
        found = ReportData(rows, self.plan.kept, costs=pass_costs(net), params=count_params(net))
        run = RunFacts(
            f"{len(net.heads)} heads on {config.model.backbone}",
            cli.shown_command(),
            facts=[
                ("trunk", ", ".join(f"{k} {v}" for k, v in config.model.to_json().items())),
                ("batch norm", config.bn),
                ("balance", " ".join((config.balance, *config.task_weights))),
                ("tasks of a step", f"{config.heads_per_step or wanted} of {wanted}"),
                ("weights", f"from {config.weights or 'scratch'}"),
            ],
            history=read_metrics(self.folder / METRICS_NAME),
            watch=self.watch,
        )
        told = write_report(self.folder, run, make_report(found), page=self.report)
        return told, format_report(found)


def make_net(
    config: TrainMulti, plan: Plan, opened: Mapping[str, OpenedHead]
) -> tuple[MultiTaskNet, Card]:
    """Trunk, heads and balance, ready for training, and the card of the file."""
    first = next(iter(opened.values()))
    trunk, models, cards, own = first.model.body, {}, {}, set()
    if plan.stored is not None:
        start = build_stored(plan.stored)
        trunk = start.body
        trunk.requires_grad_(True)  # Norms that nobody used were held; now somebody may.
        for name in plan.kept:
            models[name], cards[name] = start.head(name), plan.stored.heads[name].card
            models[name].requires_grad_(False)
        own = {name for name, head in plan.stored.heads.items() if head.owns_norms}
    models |= {name: head.model for name, head in opened.items()}
    cards |= {name: head.card for name, head in opened.items()}
    if config.bn == "frozen-trunk":
        trunk.requires_grad_(False)
    else:
        own = set(opened) if config.bn == "per-task" else set()
    ordered: dict[str, BodyNetwork] = {name: models[name] for name in HEADS if name in models}
    weights = config.loss_weights(tuple(opened))
    balance = Balance(weights, learnt=config.balance == "uncertainty")
    card = multi_card(
        config.model.to_json(),
        {name: cards[name] for name in ordered},
        card=replace(
            cards[next(iter(ordered))],
            source=f"trained from {config.weights or 'scratch'} by {config.command}",
        ),
    )
    return MultiTaskNet(trunk, ordered, own, balance), card
