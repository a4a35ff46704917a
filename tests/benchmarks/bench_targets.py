"""One network in every runtime: accuracy, size, and time of one thread, beside the original file.

    MOBILENETS_DATA=FOLDER python -m tests.benchmarks.bench_targets

Every side gets the same ready squares, as bytes, and answers with probabilities or boxes. Files of
8 bits are calibrated on COCO's training photos; top-1 is of ImageNet's photos, AP of COCO's part
val. Times are of one process, in turns: in each round every side answers the same photo, once
unheard and once timed, every other round in the opposite order. ``--networks`` and ``--only`` do a
part; exports lie in ``--folder`` and are made once.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable, Mapping
from itertools import cycle
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from tqdm import tqdm

from backbone.layers import fold_batchnorm
from configs.common import Common
from configs.tools import Evaluate
from datasets.images import Image, find_images, read_image
from tasks.open_model import open_model, open_original
from tasks.predictor import Model, frame_of, rows_of
from tasks.runtime.runtimes import runtime_of
from tasks.timing import chip
from tests.benchmarks.target_files import FILES, Measured, networks, write_files
from tests.benchmarks.timing import turns
from tests.litert import open_litert
from tools.flows.evaluating import look_at_all
from tools.flows.recipe import recipe_for
from tools.flows.source import Source
from tools.recipes import RECIPES

# From a square (S, S, 3) to what a side answers: of classifiers (1, C) comes first.
Run = Callable[[Image], Any]
ORIGINAL, PYTORCH = "original", "PyTorch"
_ROUNDS, _PHOTOS = 60, 16
_GOALS = {False: 0.5, True: 0.3}  # Points that LiteRT INT8 may lose, by whether it finds boxes.


def original_run(files: tuple[Path, ...]) -> Run:
    """Files of others in LiteRT one after the other, which take bytes or bytes less 128."""
    opened = [open_litert(file) for file in files]
    ends = [(one.get_input_details()[0], one.get_output_details()[0]) for one in opened]
    signed = ends[0][0]["dtype"] == np.int8

    def run(square: Image) -> Any:
        value: Any = (square ^ np.uint8(128)).view(np.int8) if signed else square
        for one, (entry, result) in zip(opened, ends, strict=True):
            one.set_tensor(entry["index"], value.reshape(entry["shape"]))
            one.invoke()
            value = one.get_tensor(result["index"])
        return value

    return run


def torch_run(source: Source) -> Run:
    """The suite's network, batch norm folded, channels last."""
    network = source.application.network()
    model = fold_batchnorm(source.model).to(memory_format=torch.channels_last)  # type: ignore[call-overload]

    def run(square: Image) -> Any:
        pixels = torch.from_numpy(square[None]).permute(0, 3, 1, 2)
        frame = frame_of([(square.shape[1], square.shape[0])])
        with torch.inference_mode():
            raw = network.run(model, pixels)
            (row,) = rows_of(network.decode(model, source.card, raw, frame))
        return [*row.values()]

    return run


def export_run(file: Path) -> Run:
    """An export that takes squares, as its runtime answers."""
    runtime = runtime_of(file)
    assert runtime is not None
    session = runtime.session(file, 1)
    return lambda square: session.run(square[None])


def sides(network: Measured, source: Source, folder: Path) -> dict[str, Run]:
    """All of a network's sides by title."""
    found = {ORIGINAL: original_run(network.originals)} if network.originals else {}
    found[PYTORCH] = torch_run(source)
    return found | {title: export_run(folder / name) for title, name in FILES.items()}


def top1(runs: Mapping[str, Run], source: Source, data: Path) -> dict[str, float]:
    """Top-1 in percent of each side on the same squares; of equal answers the first counts."""
    listed = (data / "imagenet/synsets.txt").read_text().splitlines()
    columns = {line.split()[0]: number for number, line in enumerate(listed)}
    files = find_images(data / "imagenet/val")
    square = source.application.network().view.square(source.card)
    right = dict.fromkeys(runs, 0)
    for file in tqdm(files, "top-1", unit="photo", mininterval=0.5):
        seen, wanted = square(read_image(file, upright=True)), columns[file.parent.name]
        for name, run in runs.items():
            scores = np.ravel(run(seen)[0])
            # TensorFlow's own have a column for the background before the classes.
            right[name] += int(scores[-len(columns) :].argmax()) == wanted
    return {name: 100 * number / len(files) for name, number in right.items()}


def precision(source: Source, folder: Path, data: Path) -> dict[str, float]:
    """AP times 100 of each side; the original's raw outputs go through the suite's NMS."""
    application, coco = source.application, data / "coco"
    options = application.pick(())
    own = Model(application, source.card, source.file, options, network=source.model)
    original = open_original(source.file)
    assert original is not None
    models = {ORIGINAL: original, PYTORCH: own}
    models |= {title: open_model(folder / name, threads=1) for title, name in FILES.items()}
    asked = Evaluate(source.file, data=coco, batch_size=1, workers=0, common=Common(threads=1))
    exam = recipe_for(application, RECIPES, source.file).exam(asked, coco, own)
    return {
        title: 100 * look_at_all(model, exam, "cpu", title).compute()["metrics"]["AP"]
        for title, model in models.items()
    }


def times(runs: Mapping[str, Run], source: Source, data: Path, rounds: int) -> dict[str, Any]:
    """Seconds of each side in each round, photos in turn."""
    photos = "coco/val2017" if source.task == "detection" else "imagenet/val"
    square = source.application.network().view.square(source.card)
    files = find_images(data / photos)[:_PHOTOS]
    squares = [square(read_image(file, upright=True)) for file in files]
    calls = {name: _photo_by_photo(run, squares) for name, run in runs.items()}
    return turns(calls, rounds, source.file.stem[:24])


def _photo_by_photo(run: Run, squares: list[Image]) -> Callable[[], object]:
    """A call that is made twice for each photo, as :func:`turns` does."""
    given = cycle(square for square in squares for _ in range(2))
    return lambda: run(next(given))


def told(
    title: str, points: Mapping[str, float], spent: Mapping[str, list[float]], megabytes: float
) -> str:
    """A row of the table."""
    figures = [f"{points[title]:.1f}" if title in points else "", f"{megabytes:.2f}"]
    if title in spent:
        seconds = np.array(spent[title]) * 1e3
        figures += [f"{np.median(seconds):.2f}", f"{seconds.min():.2f}"]
    return f"| {title} | " + " | ".join(figures) + " |"


def goals(is_detector: bool, points: Mapping[str, float], spent: Mapping[str, Any]) -> list[str]:
    """Whether LiteRT's file of 8 bits is as good and as fast as it should be."""
    found = []
    mine = "LiteRT INT8"
    if points:
        lost, most = points["LiteRT float"] - points[mine], _GOALS[is_detector]
        found.append(f"{mine} loses {lost:.2f} points of float's; goal {most} or less")
    if ORIGINAL in spent:
        ratios = np.array(spent[mine]) / np.array(spent[ORIGINAL])
        found.append(
            f"{mine} takes {np.median(ratios):.2f} times the original's time (median of the "
            "rounds' ratios); goal 1 or less"
        )
    return found


def measure(network: Measured, data: Path, args: argparse.Namespace) -> None:
    """Print a network's part of the table."""
    source, folder = network.source(), args.folder / network.name
    write_files(source, data / "coco/train2017", folder, print)
    runs = sides(network, source, folder)
    points: dict[str, float] = {}
    spent: dict[str, list[float]] = {}
    if args.only != "times":
        ap = network.is_detector
        points = precision(source, folder, data) if ap else top1(runs, source, data)
    if args.only != "accuracy":
        before = os.getloadavg()[0]
        spent = times(runs, source, data, args.rounds)
        print(f"load average {before:.1f} before, {os.getloadavg()[0]:.1f} after")
    metric = "AP x 100" if network.is_detector else "top-1 %"
    print(f"\n| {network.name} | {metric} | MB | ms | ms, least |")
    print("|---|---|---|---|---|")
    for title in runs:
        print(told(title, points, spent, size_of(title, network, source, folder)))
    print("\n".join(goals(network.is_detector, points, spent)), flush=True)


def size_of(title: str, network: Measured, source: Source, folder: Path) -> float:
    """Megabytes of a side's files; of PyTorch those of its weights."""
    if title == PYTORCH:
        return sum(value.nbytes for value in source.model.state_dict().values()) / 1e6
    if title == ORIGINAL:
        return sum(file.stat().st_size for file in network.originals) / 1e6
    file = folder / FILES[title]
    runtime = runtime_of(file)
    assert runtime is not None
    return runtime.size(file) / 1e6


def main() -> None:
    """Measure what was asked for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", choices=("accuracy", "times"))
    parser.add_argument("--networks", nargs="+", default=[""], help="parts of their names")
    parser.add_argument("--rounds", type=int, default=_ROUNDS)
    parser.add_argument("--folder", type=Path, default=Path("runs/targets"))
    args = parser.parse_args()
    torch.set_num_threads(1)
    cv2.setNumThreads(0)
    data = Path(os.environ["MOBILENETS_DATA"])
    chosen = [one for one in networks(data) if any(part in one.name for part in args.networks)]
    print(f"{chip()}; one thread, medians of {args.rounds} rounds in turn")
    for number, network in enumerate(chosen, start=1):
        print(f"\n{network.name} ({number} of {len(chosen)})", flush=True)
        measure(network, data, args)


if __name__ == "__main__":
    main()
