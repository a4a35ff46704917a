"""One network in every runtime: accuracy, size, and time of one thread, beside the original file.

    MOBILENETS_DATA=FOLDER python -m tests.benchmarks.bench_targets

Every side gets the same ready squares, as bytes, and answers with probabilities or boxes. Files of
8 bits are calibrated on COCO's training images; top-1 is of ImageNet's images, AP of COCO's part
val. Times are the processor's, of one process, in turns: in each round every side answers the same
image, once untimed and once timed, every other round in the opposite order. ``--networks`` and
``--only`` do a part; exports lie in ``--folder`` and are made once, beside the figures.
"""

from __future__ import annotations

import argparse
import json
import os
import warnings
from collections.abc import Callable, Iterator, Mapping
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
from tests.benchmarks.target_files import (
    FILES,
    FORMED,
    Measured,
    labelled_images,
    networks,
    write_files,
)
from tests.benchmarks.timing import turns
from tests.litert import open_litert
from tools.flows.evaluating import look_at_all
from tools.flows.recipe import recipe_for
from tools.flows.source import Source
from tools.recipes import RECIPES

# From a square (S, S, 3) to what a side answers: of classifiers (1, C) comes first.
Run = Callable[[Image], Any]
ORIGINAL, PYTORCH = "original", "PyTorch"
POINTS = "top-1 %, AP x 100"
_KEPT = "measured.json"
_ROUNDS, _IMAGES = 60, 16
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
    return found | {title: export_run(folder / name) for title, name in network.files.items()}


def top1(runs: Mapping[str, Run], source: Source, data: Path) -> dict[str, float]:
    """Top-1 in percent of each side on the same squares; of equal answers the first counts."""
    files, columns = labelled_images(data)
    square = source.application.network().view.square(source.card)
    classes = len(source.card.classes)
    right = dict.fromkeys(runs, 0)
    labelled = zip(files, columns, strict=True)
    for file, wanted in tqdm(labelled, "top-1", len(files), unit="image", mininterval=0.5):
        seen = square(read_image(file, upright=True))
        for name, run in runs.items():
            # TensorFlow's own have a column for the background before the classes.
            scores = np.ravel(run(seen)[0])[-classes:]
            right[name] += int(scores.argmax()) == wanted
    return {name: 100 * number / len(files) for name, number in right.items()}


def precision(network: Measured, source: Source, folder: Path, data: Path) -> dict[str, float]:
    """AP times 100 of each side; the original's raw outputs go through the suite's NMS."""
    application, coco = source.application, data / "coco"
    options = application.pick(())
    own = Model(application, source.card, source.file, options, network=source.model)
    original = open_original(source.file)
    assert original is not None
    models = {ORIGINAL: original, PYTORCH: own}
    models |= {
        title: open_model(folder / name, threads=1) for title, name in network.files.items()
    }
    asked = Evaluate(source.file, data=coco, batch_size=1, workers=0, common=Common(threads=1))
    exam = recipe_for(application, RECIPES, source.file).exam(asked, coco, own)
    return {
        title: 100 * look_at_all(model, exam, "cpu", title).compute()["metrics"]["AP"]
        for title, model in models.items()
    }


def times(runs: Mapping[str, Run], source: Source, data: Path, rounds: int) -> dict[str, Any]:
    """Seconds of each side in each round, images in turn."""
    images = "coco/val2017" if source.task == "detection" else "imagenet/val"
    square = source.application.network().view.square(source.card)
    files = find_images(data / images)[:_IMAGES]
    squares = [square(read_image(file, upright=True)) for file in files]
    calls = {name: _image_by_image(run, squares) for name, run in runs.items()}
    return turns(calls, rounds, source.file.stem[:24])


def _image_by_image(run: Run, squares: list[Image]) -> Callable[[], object]:
    """A call that is made twice for each image, as :func:`turns` does."""
    given = cycle(square for square in squares for _ in range(2))
    return lambda: run(next(given))


def goals(is_detector: bool, points: Mapping[str, float], spent: Mapping[str, Any]) -> list[str]:
    """Whether LiteRT's file of 8 bits is as good and as fast as it should be."""
    found = []
    pairs = [("LiteRT float", "LiteRT INT8"), *([tuple(FORMED)] if is_detector else [])]
    for real, mine in pairs:
        if points:
            lost, most = points[real] - points[mine], _GOALS[is_detector]
            found.append(f"{mine} loses {lost:.2f} points of float's; goal {most} or less")
        if ORIGINAL in spent:
            ratios = np.array(spent[mine]) / np.array(spent[ORIGINAL])
            found.append(
                f"{mine} takes {np.median(ratios):.2f} times the original's time (median of the "
                "rounds' ratios); goal 1 or less"
            )
    return found


def measure(network: Measured, data: Path, args: argparse.Namespace) -> None:
    """Measure a network, keep the figures beside its exports, and print how the goals are met."""
    source, folder = network.source(), args.folder / network.name
    write_files(network, source, data / "coco/train2017", folder, print)
    runs = sides(network, source, folder)
    kept = read_kept(folder)
    kept["MB"] = {title: size_of(title, network, source, folder) for title in runs}
    points: dict[str, float] = {}
    spent: dict[str, list[float]] = {}
    if args.only != "times":
        ap = network.is_detector
        points = precision(network, source, folder, data) if ap else top1(runs, source, data)
        kept[POINTS] = points
    if args.only != "accuracy":
        before = os.getloadavg()[0]
        spent = times(runs, source, data, args.rounds)
        print(f"load average {before:.1f} before, {os.getloadavg()[0]:.1f} after")
        kept["ms"] = {title: 1e3 * float(np.median(row)) for title, row in spent.items()}
        kept["ms, least"] = {title: 1e3 * min(row) for title, row in spent.items()}
    (folder / _KEPT).write_text(json.dumps(kept, indent=1), encoding="utf-8")
    print("\n".join(goals(network.is_detector, points, spent)), flush=True)


def read_kept(folder: Path) -> dict[str, dict[str, float]]:
    """A network's figures of this run and earlier ones, by what they are and by side."""
    file = folder / _KEPT
    kept: dict[str, dict[str, float]] = {}
    if file.exists():
        kept = json.loads(file.read_text(encoding="utf-8"))
    return kept


def tables(chosen: list[Measured], folder: Path) -> Iterator[str]:
    """All figures that are known: a table for each kind, a row for each network."""
    titles = (ORIGINAL, PYTORCH, *FILES, *FORMED)
    for kind, form in ((POINTS, ".1f"), ("MB", ".2f"), ("ms", ".2f"), ("ms, least", ".2f")):
        yield f"\n| {kind} | " + " | ".join(titles) + " |"
        yield "|---" * (1 + len(titles)) + "|"
        for network in chosen:
            row = read_kept(folder / network.name).get(kind, {})
            cells = (format(row[title], form) if title in row else "" for title in titles)
            yield f"| {network.name} | " + " | ".join(cells) + " |"


def size_of(title: str, network: Measured, source: Source, folder: Path) -> float:
    """Megabytes of a side's files; of PyTorch those of its weights."""
    if title == PYTORCH:
        return float(sum(value.nbytes for value in source.model.state_dict().values()) / 1e6)
    if title == ORIGINAL:
        return sum(file.stat().st_size for file in network.originals) / 1e6
    file = folder / network.files[title]
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
    warnings.filterwarnings("ignore", "The given NumPy array is not writable")  # Nor written.
    torch.set_num_threads(1)
    cv2.setNumThreads(0)
    data = Path(os.environ["MOBILENETS_DATA"])
    chosen = [one for one in networks(data) if any(part in one.name for part in args.networks)]
    print(f"{chip()}; one thread, medians of {args.rounds} rounds in turn")
    for number, network in enumerate(chosen, start=1):
        print(f"\n{network.name} ({number} of {len(chosen)})", flush=True)
        measure(network, data, args)
    print("\n".join(tables(chosen, args.folder)))


if __name__ == "__main__":
    main()
