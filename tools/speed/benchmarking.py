"""Times models, peers and the CPU's limit in turns, and prints them as tables."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from functools import partial
from itertools import cycle
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from tqdm import tqdm

from configs.benchmark import Benchmark
from datasets.builtin.scenes import draw_scene
from datasets.images import Image, decode_image
from tasks.runtime.open import is_export
from tasks.timing import (
    GEMM_SIDE,
    NETWORK,
    WHOLE,
    Spread,
    Stages,
    Timed,
    chip,
    gemm,
    spreads,
    stage_shares,
    take_turns,
    whole,
)
from tools import cli
from tools.flows.pictures import photos_at
from tools.speed.peak_memory import peak_memory
from tools.speed.peers import open_peer, peer_names
from tools.speed.subjects import GRAPH, Subject, export_subject, load_source, source_subject

PHOTO_SIZE = (640, 480)
_PRECISIONS = ("float32", "int8")
_GEMM = "matrix product, "
_TORCH_GEMM = f"{_GEMM}PyTorch"


def benchmark(args: Benchmark) -> tuple[dict[str, Any], str]:
    """Measure what the flags request; returns the result as data and as text.

    Raises:
        InputError: If a model or image cannot be used.
    """
    threads = args.common.threads or os.cpu_count() or 1
    cli.prepare(args.common)
    subjects = [
        export_subject(path, threads)
        if is_export(path)
        else source_subject(load_source(path, args.common))
        for path in args.models
    ]
    if args.peers:
        tasks = dict.fromkeys(subject.task for subject in subjects)
        names = dict.fromkeys(name for task in tasks for name in peer_names(task))
        subjects += [open_peer(name) for name in names]
    photos = sample_files(args.photos, args.common.seed)
    times, peaks = time_subjects(args, subjects, photos, threads)
    pixels = decode_image(photos[0], args.photos or "photo", upright=True)
    speeds = time_batches(args, subjects, pixels)
    rows = []
    for index, subject in enumerate(subjects):
        stages = spreads(times[index])
        if subject.file is not None:
            stages = split_graph(stages, stage_shares(subject.file, pixels, threads))
        memory = None
        if args.memory:
            cli.say(f"memory of {subject.name}")
            path = Path(subject.name)  # Names of peers are none; those of files must hold there.
            memory = peak_memory(str(path.resolve()) if path.exists() else subject.name, threads)
        rows.append(_row(subject, stages, peaks, speeds[index], memory))
    result = {
        "chip": chip(),
        "threads": threads,
        "photos": len(photos),
        "photo": {"width": pixels.shape[1], "height": pixels.shape[0]},
        "rounds": args.rounds,
        "peak_gmacs": {name: round(rate / 1e9, 2) for name, rate in peaks.items()},
        "models": rows,
    }
    return result, as_text(result)


def drawn_photo(seed: int) -> Image:
    """A built-in scene of 640x480 pixels."""
    scene = draw_scene(np.random.default_rng(seed))[0]
    return np.asarray(cv2.resize(scene, PHOTO_SIZE), np.uint8)


def sample_files(path: Path | None, seed: int) -> list[bytes]:
    """Image files: of a folder, a single one, or a drawn one. May raise InputError."""
    if path is None:
        done, encoded = cv2.imencode(".jpg", drawn_photo(seed)[..., ::-1])
        assert done
        return [encoded.tobytes()]
    found = []
    for photo in photos_at(path, "--photos")[:50]:
        data = photo.content()
        decode_image(
            data, photo.path, upright=True
        )  # Damaged ones are named before anything is timed.
        found.append(data)
    return found


def time_subjects(
    args: Benchmark, subjects: Sequence[Subject], photos: Sequence[bytes], threads: int
) -> tuple[dict[int, list[Stages]], dict[str, float]]:
    """Seconds by stage of each subject in each round, and the CPU's peak by precision.

    The peak is the number of mult-adds per second that the fastest library reaches in the same
    rounds.
    """
    calls: dict[str, Timed] = {
        str(index): _next_photo(subject, photos) for index, subject in enumerate(subjects)
    }
    needed = {subject.precision for subject in subjects} & set(_PRECISIONS)
    products: dict[str, Timed] = {f"{_GEMM}{p}": gemm(p, threads) for p in sorted(needed)}
    if "float32" in needed:
        left, right = torch.rand(2, GEMM_SIDE, GEMM_SIDE)
        products[_TORCH_GEMM] = whole(lambda: left @ right)
    found = run_turns({**calls, **products}, args.rounds, args.warmup, "timing")
    rates = {
        name: GEMM_SIDE**3 / Spread.of([row[WHOLE] for row in found[name]]).ms * 1e3
        for name in products
    }
    best = {p: rates[f"{_GEMM}{p}"] for p in needed}
    if _TORCH_GEMM in rates:
        best["float32"] = max(best["float32"], rates[_TORCH_GEMM])
    return {index: found[str(index)] for index in range(len(subjects))}, best


def run_turns(
    calls: Mapping[str, Timed], rounds: int, warmup: int, label: str
) -> dict[str, list[Stages]]:
    """Times of all rounds, with a progress bar."""
    found: dict[str, list[Stages]] = {name: [] for name in calls}
    total = (rounds + warmup) * len(calls)
    for name, row in tqdm(take_turns(calls, rounds, warmup), label, total, mininterval=0.5):
        if row is not None:
            found[name].append(row)
    return found


def _next_photo(subject: Subject, photos: Sequence[bytes]) -> Timed:
    """A call that takes the images in turn."""
    turns = cycle(photos)
    return lambda: subject.run(next(turns))


def time_batches(
    args: Benchmark, subjects: Sequence[Subject], photo: Image
) -> list[dict[int, float]]:
    """Decoded images per second of each subject, by batch size."""
    calls: dict[str, Timed] = {}
    for index, subject in enumerate(subjects):
        for size in args.batch_sizes:
            if not subject.most or size <= subject.most:
                calls[f"{index} {size}"] = whole(partial(subject.answer, [photo] * size))
    found = run_turns(calls, max(3, args.rounds // 4), 1, "throughput")
    speeds: list[dict[int, float]] = [{} for _ in subjects]
    for name, rows in found.items():
        index, size = map(int, name.split())
        speeds[index][size] = 1e3 * size / spreads(rows)[WHOLE].ms
    return speeds


def split_graph(stages: Mapping[str, Spread], shares: Mapping[str, float]) -> dict[str, Spread]:
    """Stages, with the time of a graph divided into its parts."""
    parts: dict[str, Spread] = {}
    for name, spread in stages.items():
        if name == GRAPH:
            parts |= {stage: spread.scaled(share) for stage, share in shares.items()}
        else:
            parts[name] = spread
    return parts


def _row(
    subject: Subject,
    stages: Mapping[str, Spread],
    peaks: Mapping[str, float],
    speeds: Mapping[int, float],
    memory: int | None,
) -> dict[str, Any]:
    floor = subject.mult_adds / peaks[subject.precision] * 1e3  # Milliseconds at the peak.
    network = stages.get(NETWORK)
    return {
        "name": subject.name,
        "runtime": subject.runtime,
        "precision": subject.precision,
        "task": subject.task,
        "inside": subject.inside,
        "stages": {name: spread.to_json() for name, spread in stages.items()},
        "photos_per_second": {str(size): round(speed, 2) for size, speed in speeds.items()},
        "peak_memory_bytes": memory,
        "mult_adds": subject.mult_adds,
        "floor_ms": round(floor, 4),
        "times_floor": round(network.ms / floor, 3) if network and floor else None,
    }


def as_text(result: Mapping[str, Any]) -> str:
    """The result as text."""
    peaks = ", ".join(f"{name} {rate:.1f}" for name, rate in result["peak_gmacs"].items())
    width, height = result["photo"].values()
    lines = [
        f"{result['chip']}, {result['threads']} threads; images of {width}x{height}; medians of "
        f"{result['rounds']} rounds in turn (10th..90th percentile)",
        f"peak of this chip, billion mult-adds a second: {peaks}",
    ]
    for row in result["models"]:
        lines += ["", f"{row['name']}: {row['task']}, {row['runtime']} {row['precision']}"]
        for name, times in row["stages"].items():
            lines.append(
                f"  {name:14}{times['ms']:9.2f} ms  ({times['p10']:.2f}..{times['p90']:.2f})"
            )
        lines += [f"  {line}" for line in _facts(row, result["models"])]
    return "\n".join(lines)


def _facts(row: Mapping[str, Any], rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """Lines below a model's stages."""
    speeds = ", ".join(
        f"{speed:.1f} ({size} at once)" for size, speed in row["photos_per_second"].items()
    )
    lines = [row["inside"], f"images a second, decoded: {speeds}"]
    if row["peak_memory_bytes"]:
        lines.append(
            f"peak of memory: {row['peak_memory_bytes'] / 1e6:.0f} MB, all of the process"
        )
    if row["times_floor"]:
        lines.append(
            f"network: {row['mult_adds'] / 1e6:.1f} M mult-adds, {row['floor_ms']:.2f} ms at the "
            f"peak; it takes {row['times_floor']:.2f} times that"
        )
    own = row["stages"][WHOLE]["ms"]
    others = [
        f"{other['stages'][WHOLE]['ms'] / own:.2f} times as fast as {other['name']}"
        for other in rows
        if other is not row
    ]
    return [*lines, *others]
