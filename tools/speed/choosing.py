"""Measures a grid of networks on this machine, and adds what is known about their accuracy."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict
from functools import partial
from itertools import product
from typing import Any

from configs.choose import By, Choose
from datasets.errors import InputError
from datasets.locks import remove_unfinished
from tasks.application import PhotoApplication
from tasks.applications import APPLICATIONS, photo_application
from tasks.timing import chip
from tasks.weights.names import WEIGHTS_NAME
from tools import cli
from tools.paper_tables.runs import Run
from tools.speed.accuracies import Accuracy, Origin, Shape, known_accuracies, own_runs
from tools.speed.budget import decide, front
from tools.speed.choice_page import Choice, Row, as_text, draw_front, write_page
from tools.speed.measuring import Measurement, Network, measure_networks
from tools.speed.subjects import load_source, random_source

MEASURED_NAME, RESULT_NAME = "measured.json", "choose.json"


def choose(args: Choose) -> tuple[dict[str, Any], str]:
    """Measure, compare, choose, and write the page; returns the result as data and as text.

    Raises:
        InputError: If runs or the file of measurements cannot be used.
    """
    cli.prepare(args.common)
    remove_unfinished(args.folder)
    threads = args.common.threads or os.cpu_count() or 1
    application = photo_application(args.task, "--task")
    own = own_runs(args.runs, application)
    networks = [*_grid(args, application), *(_own_network(run, args) for run, _ in own)]
    where, measured = measure_networks(args, networks, args.folder / MEASURED_NAME, threads)
    told = {_own_network(run, args).key: accuracy for run, accuracy in own}
    rows = sorted(
        (
            _row(network, precision, found, told.get(network.key), args.runtime)
            for network in networks
            for precision in args.precision
            if (found := measured.get((network.key, precision))) is not None
        ),
        key=lambda row: row.measured.ms,
    )
    if not rows:
        raise InputError("none of these networks can be measured")
    origin = choose_origin(args.by, rows)
    options = [row.option(origin) for row in rows]
    verdict = decide(options, args.latency_ms, args.size_mb)
    best = tuple(option.name for option in front(options, lambda o: o.ms))
    choice = Choice(
        tuple(rows), origin, verdict, best, f"{chip()}, {where}", application.compared_by.title
    )
    result = as_json(args, choice)
    figures = draw_front(args, choice)
    write_page(args, choice, figures)
    cli.write_json(args.folder / RESULT_NAME, result)
    return result, as_text(args, choice)


def choose_origin(by: By, rows: Sequence[Row]) -> Origin:
    """Origin of the accuracies: as requested; own runs; else the one that covers most networks."""
    if by != "auto":
        return by
    counts = Counter(one.origin for row in rows for one in row.accuracies)
    if counts["runs"]:
        return "runs"
    return "tensorflow" if counts["tensorflow"] > counts["paper"] else "paper"


def _grid(args: Choose, application: PhotoApplication[Any]) -> list[Network]:
    variant = _variant(args, application)
    found = []
    for alpha, size in product(args.alpha, args.resolution or application.variants[variant]):
        shape = Shape(application, variant, alpha, size)
        open_it = partial(random_source, shape, args.common.seed)
        key = f"{args.task} {shape.name}"
        found.append(Network(key, shape.name, size, open_it, _train_command(shape), shape))
    return found


def _variant(args: Choose, application: PhotoApplication[Any]) -> str:
    """The requested kind of networks. Raises InputError if the application does not have it."""
    if args.framework in application.variants:
        return args.framework
    if args.framework != Choose.framework:
        theirs = [
            one.name
            for one in APPLICATIONS
            if isinstance(one, PhotoApplication) and args.framework in one.variants
        ]
        raise InputError(f"--framework {args.framework}: is for --task {' or '.join(theirs)}")
    return next(iter(application.variants))


def _own_network(run: Run, args: Choose) -> Network:
    """A finished run, recognised by its folder and the time of its weights."""
    weights = run.folder / WEIGHTS_NAME
    key = f"run {run.folder.resolve()} {weights.stat().st_mtime_ns}"
    open_it = partial(load_source, run.folder, args.common)
    size = int(run.card.flavour.input.size)
    return Network(key, str(run.folder), size, open_it, f"{cli.command('export')} {run.folder}")


def _train_command(shape: Shape) -> str:
    variant = f" --framework {shape.variant}" if shape.variant else ""
    given = f"--data PATH --alpha {shape.alpha:g} --size {shape.size}"
    return f"{cli.command(shape.application.train_tool)}{variant} {given}"


def _row(
    network: Network, precision: str, found: Measurement, own: Accuracy | None, runtime: str
) -> Row:
    told = known_accuracies(network.shape, precision) if network.shape else []
    if own is not None and precision == "float32":  # A run's card holds no figure for 8 bits.
        told = [own]
    command = network.command
    if precision == "int8":
        start = f"{cli.command('export')} RUN" if network.shape else command
        target = f" --target {runtime}" if runtime in ("litert", "executorch") else ""
        export = f"{start}{target} --int8 --calibrate IMAGES"
        command = f"{command}, then {export}" if network.shape else export
    name = f"{network.name} {precision}"
    return Row(name, network.size, precision, found, tuple(told), command)


def as_json(args: Choose, choice: Choice) -> dict[str, Any]:
    """The result as data."""
    verdict = choice.verdict
    named = {
        "best": verdict.best,
        "nearest": verdict.nearest,
        "largest_of_unknown_accuracy": verdict.untold,
    }
    return {
        "task": args.task,
        "where": choice.where,
        "budget": {"latency_ms": args.latency_ms, "size_mb": args.size_mb},
        "metric": choice.metric,
        "by": choice.origin,
        **{name: option.name if option else None for name, option in named.items()},
        "reasons": list(verdict.reasons),
        "front": list(choice.front),
        "networks": [
            {
                "name": row.name,
                "precision": row.precision,
                "resolution": row.size,
                **asdict(row.measured),
                "mb": row.measured.mb,
                "accuracies": [asdict(one) for one in row.accuracies],
                "command": row.command,
            }
            for row in choice.rows
        ],
        "folder": str(args.folder),
    }
