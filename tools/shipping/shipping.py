"""The whole of it, in order: examine, measure, plan, select, export, hand over."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from configs.ship import Ship
from datasets.errors import InputError
from datasets.json_files import read_object
from tasks.fitting.checkpoint import InterruptedRun
from tools import cli
from tools.flows.importing import Importer
from tools.flows.run_folder import (
    CONFIG_NAME,
    make_folder,
    new_run_folder,
    save_config,
    sole_process,
)
from tools.recipes import RECIPES
from tools.shipping.candidates import grid, measurable, measure_candidates
from tools.shipping.halving import finish, learning_curve, select
from tools.shipping.handover import HANDOVER_FOLDER, RESULT_NAME, as_text, hand_over
from tools.shipping.packing import pack
from tools.shipping.plan import PLAN_NAME, Plan, make_plan, plan_text, read_plan
from tools.shipping.profile import read_profile, write_kit
from tools.shipping.shipment import Shipment, open_shipment, recipe_of
from tools.shipping.start import START_FOLDER, Start, find_starts


def ship(args: Ship) -> tuple[dict[str, Any], str]:
    """Do what the flags request; returns the result as data and as text.

    Raises:
        InputError: If data, weights or flags do not fit, or no network keeps to the budget.
        InterruptedRun: If a signal stopped a training, after saving.
    """
    begun = time.perf_counter()
    device = cli.prepare(args.common)
    measurable(args)
    found = recipe_of(args)  # What is wrong with the data is said before anything is written.
    with _folder_of(args) as folder, sole_process(folder):
        if (folder / HANDOVER_FOLDER / RESULT_NAME).exists():
            result = dict(read_object(folder / HANDOVER_FOLDER / RESULT_NAME).values)
            return result, as_text(result)
        make_folder(folder)
        known = None if args.resume is None else read_plan(folder)
        with _keeping_flags(args, folder):
            starts = _starts(args, folder, known)
            shipment = open_shipment(args, folder, found, starts, device)
            if args.kit is not None:
                return _written_kit(shipment, args.kit)
            plan = known or _planned(shipment, begun)
        text = plan_text(shipment, plan)
        if args.plan:
            return {"task": shipment.task, **plan.to_json()}, text
        cli.say(text)
        try:
            return carry_out(shipment, plan)
        except InterruptedRun:
            raise InterruptedRun(
                f"stopped and saved; go on with tools/ship.py --resume {folder}"
            ) from None


@contextmanager
def _keeping_flags(args: Ship, folder: Path) -> Iterator[None]:
    """Store the flags for ``--resume``, unless planning ends with a mistake of the user."""
    is_new = args.resume is None and not args.plan and args.kit is None
    if is_new:
        save_config(args, folder)
    try:
        yield
    except InputError:
        if is_new:  # The same --out can be given again.
            (folder / CONFIG_NAME).unlink()
        raise


def _written_kit(shipment: Shipment, folder: Path) -> tuple[dict[str, Any], str]:
    files = write_kit(shipment, grid(shipment), folder)
    found = {"folder": folder, "files": list(files)}
    return found, f"{len(files)} files and instructions: {folder}"


def _planned(shipment: Shipment, begun: float) -> Plan:
    """A new plan, stored in the folder."""
    args, folder = shipment.args, shipment.folder
    times = read_profile(args.profile)
    candidates = measure_candidates(shipment, grid(shipment), times)
    plan = make_plan(shipment, candidates, time.perf_counter() - begun)
    if not args.plan:
        cli.write_json(folder / PLAN_NAME, plan.to_json())
    return plan


def carry_out(shipment: Shipment, plan: Plan) -> tuple[dict[str, Any], str]:
    """Train, select, export and hand over."""
    selection = select(shipment, plan)
    for trial in selection.ranking:
        notes = [(name, text) for name, text in finish(shipment, trial)["notes"]]
        packed = pack(shipment, trial)
        if packed is not None:
            curve = learning_curve(shipment, trial) if shipment.args.curve else []
            return hand_over(shipment, plan, selection, trial, packed, curve, notes)
    drop = shipment.args.max_drop
    raise InputError(
        f"--max-drop {drop:g}: every network that keeps to the budget needs 8 bits, and loses "
        f"more in them; {shipment.folder} keeps the trained networks. Permit a larger drop, more "
        "time or more size in another run"
    )


@contextmanager
def _folder_of(args: Ship) -> Iterator[Path]:
    """The folder of a shipment; a temporary one if nothing is to be kept.

    Raises:
        InputError: If ``--out`` holds a shipment, or ``--resume`` none.
    """
    if args.resume is not None:
        yield args.resume
    elif (args.plan or args.kit is not None) and args.common.out is None:
        with tempfile.TemporaryDirectory() as folder:
            yield Path(folder)
    elif args.common.out is not None:
        yield new_run_folder(args.common, "")
    else:
        stamp = time.strftime("%Y%m%d-%H%M%S")
        name = args.data.resolve().name if args.data is not None else args.task
        yield Path("ships") / name / stamp


def _starts(args: Ship, folder: Path, known: Plan | None) -> Sequence[Start]:
    """Weights to start from: those of the plan, or those that are found now."""
    if known is not None:
        return [
            Start(one.alpha, one.size, "", one.weights, one.origin)
            for one in known.candidates
            if one.weights is not None
        ]
    importers: list[Importer] = [one.importer for one in RECIPES if one.importer is not None]
    return find_starts(args, folder / START_FOLDER, importers)
