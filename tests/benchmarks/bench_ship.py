"""Regret of tools/ship.py: its choice beside the best of a full grid, and beside a fixed network.

    python -m tests.benchmarks.bench_ship --data DOGS --weights TENSORFLOW --ms 3 5 10 --hours 2

For each limit, three ways to spend the same training time: ship.py; a full grid, in which each
network within the limit gets an equal share of the time; and the fixed default, which gets all of
it. All use the same images for training, for the selection, and for the final figure, which is
measured on the exported file. The best network of the grid is chosen by the final figure itself,
which no selection can do, so the regret is an upper bound. Everything goes to --out and can be
resumed by the same command. It prints a table, and writes it to --out as regret.json.
"""

from __future__ import annotations

import argparse
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

from configs.common import Common
from configs.ship import Ship
from datasets.errors import InputError
from datasets.json_files import read_object
from tools import cli
from tools.flows.run_folder import CONFIG_NAME
from tools.shipping.candidates import Candidate, time_training
from tools.shipping.handover import HANDOVER_FOLDER, RESULT_NAME
from tools.shipping.plan import PLAN_NAME, Plan, read_plan, steps_of, trial_for
from tools.shipping.shipment import Shipment, open_shipment, recipe_of
from tools.shipping.shipping import carry_out, ship
from tools.shipping.start import Start


def _flags() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--weights", type=Path)
    parser.add_argument("--ms", type=float, nargs="+", default=[3, 5, 10])
    parser.add_argument("--hours", type=float, default=2.0)
    parser.add_argument("--target", default="litert")
    parser.add_argument("--alpha", type=float, nargs="+", default=[1.0, 0.75, 0.5, 0.25])
    parser.add_argument("--resolution", type=int, nargs="+", default=[])
    parser.add_argument("--default", nargs=2, type=float, default=[0.5, 160])
    parser.add_argument("--candidates", type=int, default=4)
    parser.add_argument("--workers", type=int, default=-1)
    parser.add_argument("--threads", type=int, default=0)
    parser.add_argument("--no-grid", action="store_true", help="ship.py and the default alone")
    parser.add_argument("--out", type=Path, default=Path("ships/regret"))
    return parser.parse_args()


def _shipped(args: Ship, folder: Path) -> dict[str, Any]:
    """The result of ship.py, continued if it was interrupted."""
    if (folder / CONFIG_NAME).exists():
        args = replace(args, resume=folder)
    return ship(replace(args, common=replace(args.common, out=folder)))[0]


def _alone(shipment: Shipment, plan: Plan, one: Candidate, seconds: float) -> dict[str, Any]:
    """One network, trained for a time and exported like a selected one."""
    folder = shipment.folder
    done = folder / HANDOVER_FOLDER / RESULT_NAME
    if done.exists():
        return dict(read_object(done).values)
    folder.mkdir(parents=True, exist_ok=True)
    own = read_plan(folder)
    if own is None:
        trial = trial_for(shipment, one, time_training(shipment, one), seconds)
        if trial is None:
            raise InputError(f"{one.name}: no epoch of it in {seconds:.0f} s")
        own = Plan(plan.candidates, (trial,), steps_of(shipment), seconds)
        cli.write_json(folder / PLAN_NAME, own.to_json())
    return carry_out(shipment, own)[0]


def _rows(given: argparse.Namespace, ms: float) -> dict[str, Any]:
    """The three results for one limit."""
    args = Ship(
        data=given.data,
        weights=given.weights,
        latency_ms=ms,
        hours=given.hours,
        target=(given.target,),
        alpha=tuple(given.alpha),
        resolution=tuple(given.resolution),
        candidates=given.candidates,
        curve=False,
        workers=given.workers,
        common=Common(threads=given.threads),
        command="bench_ship",
    )
    folder = given.out / f"ship-{ms:g}ms"
    begun = time.perf_counter()
    shipped = _shipped(args, folder)
    minutes = (time.perf_counter() - begun) / 60
    plan = read_plan(folder)
    assert plan is not None
    starts = [
        Start(one.alpha, one.size, "", one.weights, one.origin)
        for one in plan.candidates
        if one.weights is not None
    ]
    shipment = open_shipment(args, folder, recipe_of(args), starts, cli.prepare(args.common))
    within = [one for one in plan.candidates if one.within(args)]
    default = [one for one in within if [one.alpha, one.size] == given.default]
    found: dict[str, Any] = {"ms": ms, "minutes": minutes, "ship": _figures(shipped)}
    for one in default:
        place = replace(shipment, folder=given.out / f"default-{ms:g}ms")
        found["default"] = _figures(_alone(place, plan, one, plan.seconds))
    grid = []
    for one in [] if given.no_grid else within:
        place = replace(shipment, folder=given.out / f"grid-{ms:g}ms" / one.name)
        try:
            grid.append(_figures(_alone(place, plan, one, plan.seconds / len(within))))
        except InputError as error:  # Refused in 8 bits, or too little time.
            cli.say(f"{one.name}: {error}")
    if grid:
        found["grid"] = max(grid, key=lambda row: row["value"])
        found["grid_size"] = len(within)
        found["regret"] = found["grid"]["value"] - found["ship"]["value"]
    if "default" in found:
        found["gain"] = found["ship"]["value"] - found["default"]["value"]
    return found


def _figures(result: dict[str, Any]) -> dict[str, Any]:
    final = result["final"]
    return {
        "network": f"{result['network']} {result['precision']}",
        "value": final["value"],
        "interval": final["interval"],
        "ms": final["time"]["ms"],
    }


def main() -> None:
    """Run everything, and print the table."""
    given = _flags()
    rows = []
    print("limit ms  ship.py                     best of the grid            default          ")
    for ms in given.ms:
        row = _rows(given, ms)
        rows.append(row)
        cells = []
        for name in ("ship", "grid", "default"):
            one = row.get(name)
            cells.append(f"{one['network']:18} {one['value']:5.1f} %" if one else f"{'-':26}")
        print(f"{ms:8g}  {'  '.join(cells)}")
        for name, what in (("regret", "regret"), ("gain", "better than the default by")):
            if name in row:
                print(f"          {what} {row[name]:.2f} points")
        cli.write_json(given.out / "regret.json", {"rows": rows})


if __name__ == "__main__":
    cli.run(main)
