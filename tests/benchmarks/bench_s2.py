"""S2 cells of a million points beside s2sphere, and partitions of ten million positions.

python -m tests.benchmarks.bench_s2
"""

from __future__ import annotations

import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import s2sphere

from tasks.geolocation import s2
from tasks.geolocation.sphere import Floats
from tests.benchmarks.timing import pin_threads

POINTS, POSITIONS, TOWNS = 1_000_000, 10_000_000, 5_000


def on_globe(rng: np.random.Generator, count: int) -> tuple[Floats, Floats]:
    """Points spread evenly."""
    return np.degrees(np.arcsin(rng.uniform(-1, 1, count))), rng.uniform(-180, 180, count)


def write_list(file: Path, rng: np.random.Generator) -> None:
    """Positions that crowd around towns, as photos do."""
    towns = np.column_stack(on_globe(rng, TOWNS))
    with file.open("w") as lines:
        lines.write("IMG_ID,LAT,LON\n")
        for start in range(0, POSITIONS, POINTS):
            town = np.minimum(rng.geometric(0.002, POINTS), TOWNS) - 1
            places = towns[town] + rng.normal(0, 0.2, (POINTS, 2))
            places[:, 0] = places[:, 0].clip(-90, 90)
            places[:, 1] = (places[:, 1] + 180) % 360 - 180
            rows = np.column_stack((np.arange(start, start + POINTS), places))
            np.savetxt(lines, rows, "%d,%.6f,%.6f")


def compare(rng: np.random.Generator) -> int:
    """Leaf cells of both; returns how many differ."""
    lat, lng = on_globe(rng, POINTS)
    s2.cell_ids(lat[:1000], lng[:1000])  # The tables are made once.
    started = time.process_time()
    ours = s2.cell_ids(lat, lng)
    mine = time.process_time() - started
    started = time.process_time()
    theirs = np.array(
        [
            s2sphere.CellId.from_lat_lng(s2sphere.LatLng.from_degrees(a, b)).id()
            for a, b in zip(lat.tolist(), lng.tolist(), strict=True)
        ],
        np.uint64,
    )
    other = time.process_time() - started
    different = int((ours != theirs).sum())
    print(f"leaf cells of {POINTS:,} points: {different} differ from s2sphere's")
    print(f"  ours {mine:.2f} s, s2sphere {other:.2f} s: {other / mine:.0f} times as fast")
    return different


def divide(rng: np.random.Generator) -> None:
    """From a CSV to PlaNet's partition and its map, by the tool, in a process of its own."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "positions.csv"
        write_list(file, rng)
        planet = ("--split-above", "10000", "--drop-below", "50", "--out", folder)
        command = [sys.executable, "tools/make_cells.py", str(file), *planet]
        done = subprocess.run(command, check=True, capture_output=True, text=True)
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    print(f"{POSITIONS:,} positions of a CSV, divided by tools/make_cells.py:")
    print("\n".join(f"  {line.strip()[:60]}" for line in done.stdout.splitlines()[:2]))
    seconds, memory = used.ru_utime + used.ru_stime, used.ru_maxrss / 1e6
    print(f"  {seconds:.1f} s of one core in all, {memory:.2f} GB at most")


def main() -> None:
    """Measure and print; exit with 1 if a cell differs."""
    pin_threads()
    rng = np.random.default_rng(0)
    divide(rng)
    if compare(rng):
        sys.exit(1)


if __name__ == "__main__":
    main()
