"""predict_ray.py beside predict.py: the same rows, images a second, and a process that is killed.

Two processes answer for drawn images with an export; one of them is killed by SIGKILL when half of
the rows are on the disk. Every row is compared with predict.py's.

    python -m tests.benchmarks.bench_ray --model classifier.onnx --images 10000
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from pyarrow import ArrowInvalid, dataset
from pyarrow.parquet import read_metadata

from datasets.builtin.scenes import draw_scene
from datasets.images import save_image
from tests.house import ROOT

_WORKER = b"ray::MapWorker"


def main() -> None:
    """Run all three ways, and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", type=Path, required=True)
    parser.add_argument("--images", type=int, default=10_000)
    args = parser.parse_args()
    with TemporaryDirectory() as name:
        root = Path(name)
        print(f"drawing {args.images} images", flush=True)
        draw_folder(root / "images", args.images)
        begun = time.perf_counter()
        model = str(args.model)
        flags = [model, str(root / "images"), "--threads", "1"]
        out = ["--format", "jsonl", "--no-draw", "--out", str(root / "one")]
        subprocess.run(command("predict", *flags, *out), check=True, capture_output=True)
        _told("predict.py, one thread", args.images, time.perf_counter() - begun)
        true = rows_of_lines(root / "one")
        for kill in (False, True):
            begun = time.perf_counter()
            folder = root / f"ray-{kill}"
            killed = run_ray(flags, folder, kill_after=args.images // 2 if kill else None)
            title = f"predict_ray.py, two workers{f', {killed} killed' if kill else ''}"
            _told(title, args.images, time.perf_counter() - begun)
            found = rows_of_parquet(folder)
            different = sum(found.get(key) != row for key, row in true.items())
            print(
                f"  {len(found)} rows of {len(true)}; lost {len(true.keys() - found.keys())}, "
                f"different {different}",
                flush=True,
            )


def draw_folder(folder: Path, count: int) -> None:
    """Small scenes, of which there are 500, and a file in a hundred that is no image."""
    drawn: list[bytes] = []
    for number in range(min(count, 500)):
        save_image(folder.parent / "one.jpg", draw_scene(np.random.default_rng(number))[0])
        drawn.append((folder.parent / "one.jpg").read_bytes())
    for number in range(count):
        file = folder / f"{number // 1000:03d}" / f"{number:06d}.jpg"
        file.parent.mkdir(parents=True, exist_ok=True)
        if number % 100 == 50:
            file.write_text("no image")
        else:
            file.write_bytes(drawn[number % 500])


def command(tool: str, *args: str) -> list[str]:
    """Command line of a tool."""
    return [sys.executable, str(ROOT / f"tools/{tool}.py"), *args]


def run_ray(flags: list[str], folder: Path, *, kill_after: int | None) -> int:
    """Run predict_ray.py; returns the number of the process that was killed on the way, or 0.

    Args:
        flags: Model, images and flags.
        folder: Output folder.
        kill_after: Number of rows on the disk after which a process with a model is killed.
    """
    args = command("predict_ray", *flags, "--workers", "2", "--out", str(folder))
    killed = 0
    with subprocess.Popen(args, stderr=subprocess.DEVNULL) as process:
        while process.poll() is None and kill_after is not None and not killed:
            time.sleep(0.05)
            done = _rows_below(folder.parent, folder.name)
            if done >= kill_after and (workers := _workers_of(process.pid)):
                killed = max(workers)
                os.kill(killed, signal.SIGKILL)
        status = process.wait()
    if status:
        raise SystemExit(f"predict_ray.py: exit status {status}")
    if kill_after is not None and not killed:
        raise SystemExit("predict_ray.py had ended before a process could be killed")
    return killed


def rows_of_lines(folder: Path) -> dict[str, dict[str, Any]]:
    """Rows of predict.py by file; those of unreadable files have an ``error``."""
    rows = {}
    for name in ("predictions.jsonl", "unreadable.jsonl"):
        if (folder / name).exists():
            for line in (folder / name).read_text(encoding="utf-8").splitlines():
                row = json.loads(line)
                row.pop("entry", None)
                rows[row["file"]] = row
    return rows


def rows_of_parquet(folder: Path) -> dict[str, dict[str, Any]]:
    """The same of predict_ray.py. Raises AssertionError if a file has two."""
    rows: dict[str, dict[str, Any]] = {}
    for row in dataset.dataset(folder, format="parquet").to_table().to_pylist():
        assert row["file"] not in rows, f"{row['file']} is there twice"
        told = {key: row[key] for key in ("file", "width", "height", "error")}
        told |= json.loads(row["answer"] or "{}")
        rows[row["file"]] = {key: value for key, value in told.items() if value is not None}
    return rows


def _rows_below(folder: Path, name: str) -> int:
    count = 0
    for file in folder.glob(f"*{name}*/*.parquet"):
        with suppress(OSError, ArrowInvalid):  # It is being written, or gets its final name.
            count += read_metadata(file).num_rows
    return count


def _workers_of(process: int) -> list[int]:
    """Processes below another that hold a model."""
    parents: dict[int, int] = {}
    names: dict[int, bytes] = {}
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            parents[int(folder.name)] = int(
                (folder / "stat").read_text().rpartition(")")[2].split()[1]
            )
            names[int(folder.name)] = (folder / "cmdline").read_bytes()
        except OSError:
            continue

    def is_below(one: int) -> bool:
        while one and one != process:
            one = parents.get(one, 0)
        return one == process

    return [one for one, name in names.items() if _WORKER in name and is_below(one)]


def _told(title: str, images: int, seconds: float) -> None:
    print(f"{title}: {seconds:.1f} s, {images / seconds:.0f} images a second", flush=True)


if __name__ == "__main__":
    main()
