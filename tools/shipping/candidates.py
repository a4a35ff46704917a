"""The networks that could be shipped, and what each takes: time, bytes and training steps."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch.utilities import move_data_to_device

from configs.choose import Choose, Number, Runtime
from configs.common import Common
from configs.io import from_json
from configs.ship import Ship
from datasets.errors import InputError
from tasks.fitting.base import Task
from tasks.fitting.engine import use_bf16
from tasks.fitting.optim import make_optimizer
from tasks.predictor import Model
from tasks.runtime.runtimes import runtime_named
from tools import cli
from tools.flows.source import Source
from tools.shipping.shipment import Shipment, sizes_of
from tools.shipping.start import Start, choose_start
from tools.speed.measuring import Measurement, Network, measure_networks

MEASURED_NAME = "measured.json"
PRECISIONS: tuple[Number, ...] = ("float32", "int8")
# What choose.py calls the runtimes of targets that it can measure.
_RUNTIMES: dict[str, Runtime] = {
    "onnx": "onnxruntime",
    "litert": "litert",
    "executorch": "executorch",
}
_STEPS, _WARMUP = 3, 1


@dataclass(frozen=True)
class Cost:
    """Time in ms and size in bytes of a network's file, untrained."""

    ms: float
    bytes: int

    @property
    def mb(self) -> float:
        """Millions of bytes."""
        return self.bytes / 1e6


@dataclass(frozen=True)
class Candidate:
    """A network that could be trained.

    Attributes:
        alpha: Width multiplier.
        size: Side of the input in pixels.
        mult_adds: Mult-adds for an image.
        float32: Cost of its float file; None if unknown.
        int8: Cost of its 8-bit file; None if unknown.
        weights: Weights to start from; None if it starts from scratch.
        origin: Path or name that the user knows the weights by.
    """

    alpha: float
    size: int
    mult_adds: int
    float32: Cost | None = None
    int8: Cost | None = None
    weights: Path | None = None
    origin: str = ""

    @property
    def name(self) -> str:
        """Name for tables and folders."""
        return name_of(self.alpha, self.size)

    def cost(self, precision: str) -> Cost | None:
        """Cost of its file in a precision."""
        return self.float32 if precision == "float32" else self.int8

    def within(self, args: Ship) -> tuple[Number, ...]:
        """Precisions in which it keeps to the budget."""
        return tuple(one for one in PRECISIONS if fits(self.cost(one), args))

    def to_json(self) -> dict[str, Any]:
        """Plain dict; the weights are a Path."""
        return asdict(self)

    @classmethod
    def from_json(cls, row: dict[str, Any]) -> Candidate:
        """Read what :meth:`to_json` returned. Raises InputError if it is something else."""
        return from_json(cls, row)


def name_of(alpha: float, size: int) -> str:
    """Name of a network: ``a0.5-160``."""
    return f"a{alpha:g}-{size}"


def fits(cost: Cost | None, args: Ship) -> bool:
    """Whether a file keeps to the budget."""
    if cost is None:
        return False
    in_time = args.latency_ms is None or cost.ms <= args.latency_ms
    return in_time and (args.size_mb is None or cost.mb <= args.size_mb)


def measurable(args: Ship) -> Runtime:
    """The runtime in which times are measured. Raises InputError if it is not to be had here."""
    target = args.target[0]
    if target not in _RUNTIMES:
        able = ", ".join(_RUNTIMES)
        raise InputError(
            f"--target {target}: times are measured in the first target, and that runtime cannot "
            f"be measured here; name one of {able} first, as in --target onnx {target}"
        )
    for one in args.target:
        runtime = runtime_named(one)
        if runtime.version is None:
            raise InputError(f"--target {one}: pip install {runtime.package}")
    return _RUNTIMES[target]


def grid(shipment: Shipment) -> list[tuple[float, int, Start | None]]:
    """Widths and sizes to consider, with weights; without weights of a width it is left out.

    Raises:
        InputError: If there are weights, but of none of the widths.
    """
    args, sizes, starts = shipment.args, sizes_of(shipment), shipment.starts
    found = [
        (alpha, size, choose_start(starts, alpha, size, shipment.task))
        for alpha in args.alpha
        for size in sizes
    ]
    if not starts:
        return found
    without = sorted({alpha for alpha, _, start in found if start is None}, reverse=True)
    kept = [row for row in found if row[2] is not None]
    widths = ", ".join(f"{alpha:g}" for alpha in sorted({one.alpha for one in starts}))
    if not kept:
        raise InputError(
            f"--alpha {' '.join(f'{one:g}' for one in args.alpha)}: the weights have widths "
            f"{widths}; choose among these"
        )
    for alpha in without:
        cli.say(f"width {alpha:g} left out: the weights have widths {widths}")
    return kept


def measure_candidates(
    shipment: Shipment, rows: Sequence[tuple[float, int, Start | None]], times: dict[str, float]
) -> list[Candidate]:
    """Export each network untrained, and measure it in the target's runtime.

    Args:
        shipment: The shipment.
        rows: Widths, sizes and weights.
        times: Times in ms that were measured elsewhere, by name and precision; if there are any,
            only networks with a time are candidates.

    Raises:
        InputError: If none of them can be measured.
    """
    args, runtime = shipment.args, measurable(shipment.args)
    precisions = PRECISIONS if runtime_named(args.target[0]).int8 else PRECISIONS[:1]
    networks = [
        Network(
            f"{shipment.task} {name_of(alpha, size)}",
            name_of(alpha, size),
            size,
            lambda alpha=alpha, size=size: untrained(shipment, alpha, size),  # type: ignore[misc]
            "",
        )
        for alpha, size, _ in rows
    ]
    wanted = Choose(
        runtime=runtime,
        precision=precisions,
        rounds=1 if times else args.rounds,
        common=Common(seed=args.common.seed),
    )
    where, found = measure_networks(
        wanted, networks, shipment.folder / MEASURED_NAME, args.latency_threads
    )
    cli.say(f"measured in {where}")
    made = []
    for (alpha, size, start), network in zip(rows, networks, strict=True):
        costs = {
            one: _cost(found.get((network.key, one)), times, f"{network.name}-{one}")
            for one in PRECISIONS
        }
        any_cost = [row for one in precisions if (row := found.get((network.key, one)))]
        if any(costs.values()):
            made.append(
                Candidate(
                    alpha,
                    size,
                    any_cost[0].mult_adds,
                    costs["float32"],
                    costs["int8"],
                    None if start is None else start.path,
                    "" if start is None else start.origin,
                )
            )
    if not made:
        source = f"--profile {args.profile}: has times of none of" if times else "none of"
        names = ", ".join(f"{network.name}-{precisions[0]}" for network in networks[:4])
        raise InputError(f"{source} these networks: {names} and others")
    return made


def _cost(found: Measurement | None, times: dict[str, float], key: str) -> Cost | None:
    if found is None or (times and key not in times):
        return None
    return Cost(times.get(key, found.ms), found.bytes)


def untrained(shipment: Shipment, alpha: float, size: int) -> Source:
    """A network with the data's classes and fresh weights, for its time and size."""
    run = shipment.opened(shipment.config(alpha, size, None))
    network, card = run.build(None)
    return Source(network.eval(), card, Path(f"untrained {name_of(alpha, size)}"))


@dataclass(frozen=True)
class Pace:
    """Seconds of a training step, and of an evaluation."""

    step: float
    evaluation: float


def time_training(shipment: Shipment, candidate: Candidate) -> Pace:
    """Time a few training steps and a batch of the evaluation, loading included."""
    run = shipment.opened(shipment.config(candidate.alpha, candidate.size, None))
    network, card = run.build(None)
    device, workers = shipment.device, cli.choose_workers(shipment.args.workers)
    model = Model(run.application, card, shipment.folder, run.application.options(), network)
    exam = run.exam(model, workers=0, tested=False, alone=True)
    task = run.task(model, exam, None).to(device)
    optimizer = make_optimizer(task.model, task.fit_spec)
    loader: Any = run.training_loader(0)
    batches, loading = _first(loader)
    compute: list[float] = []
    for batch in [batches[k % len(batches)] for k in range(_STEPS + _WARMUP)]:
        moved = Task.on_after_batch_transfer(task, move_data_to_device(batch, device), 0)
        begun = time.perf_counter()
        with torch.autocast(device, torch.bfloat16, use_bf16(task.fit_spec.precision, device)):
            loss = torch.stack(list(task.losses(moved).values())).sum()
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        _ = loss.item()  # Waits for a GPU.
        compute.append(time.perf_counter() - begun)
    step = _joint(min(compute[_WARMUP:]), loading, workers)
    seen, reading = _first(exam.loader, 1)
    begun = time.perf_counter()
    task.eval()
    with torch.inference_mode():
        task.validation_step(move_data_to_device(seen[0], device), 0)
    batch_time = _joint(time.perf_counter() - begun, reading, workers)
    exam.loader.close()
    loader.close()
    return Pace(step, batch_time * max(1, len(exam.loader)))


def _first(loader: Any, count: int = _STEPS) -> tuple[list[Any], float]:
    """The first batches, and the seconds that one took."""
    begun = time.perf_counter()
    batches = list(islice(loader, count))
    seconds = time.perf_counter() - begun
    if not batches:
        raise InputError("too few images to train on: they do not fill a batch")
    return batches, seconds / len(batches)


def _joint(compute: float, loading: float, workers: int) -> float:
    """Seconds of a batch: loader processes work beside the computation."""
    return compute + loading if workers == 0 else max(compute, loading / workers)
