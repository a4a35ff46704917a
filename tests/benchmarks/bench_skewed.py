"""Skewed classes, 500 images to 5, with and without each remedy, three seeds each.

    python -m tests.benchmarks.bench_skewed --data TINY_IMAGENET --weights WEIGHTS

TINY_IMAGENET holds ``ten_classes.txt``, and WEIGHTS are of a body for ImageNet, as
``tools/import_weights.py`` writes them. Every second class keeps 5 of its 500 training images; the
validation images, 50 of each class, stay. Each training is the preset ``finetune`` of
``tools/train_cls.py``, with fewer epochs. Mean recall of all classes, of the rare ones and of the
others, in percent: mean and standard deviation over the seeds.
"""

from __future__ import annotations

import argparse
import csv
import json
import statistics
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from configs.classification import CLS_PRESETS, TrainCls
from tools.flows.flags import as_stored
from tools.library import train

FEW = 5
# Name of each variant, and the fields of the configuration and of its loss that it sets.
VARIANTS: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "none": ({}, {}),
    "--balance .5": ({}, {"balance": 0.5}),
    "--balance 1": ({}, {"balance": 1.0}),
    "--resample .5": ({"resample": 0.5}, {}),
    "--resample 1": ({"resample": 1.0}, {}),
}


def write_skewed(tiny: Path, list_file: Path) -> set[str]:
    """Write a CSV list of the skewed set; returns the rare classes."""
    classes = sorted((tiny / "ten_classes.txt").read_text(encoding="utf-8").split())
    rare = set(classes[1::2])
    rows = []
    for name in classes:
        files = sorted((tiny / "train" / name / "images").glob("*.JPEG"))
        rows += [(file, name, "train") for file in files[: FEW if name in rare else None]]
    told = (tiny / "val" / "val_annotations.txt").read_text(encoding="utf-8").splitlines()
    for file, name, *_ in (line.split("\t") for line in told):
        if name in classes:
            rows.append((tiny / "val" / "images" / file, name, "val"))
    # Under other names the classes start anew: the weights' own rows would know the rare ones.
    called = {name: f"kind {k}" for k, name in enumerate(classes)}
    with list_file.open("w", newline="", encoding="utf-8") as out:
        csv.writer(out).writerow(("path", "label", "split"))
        csv.writer(out).writerows((file, called[name], part) for file, name, part in rows)
    return {called[name] for name in rare}


def measure(config: TrainCls, rare: set[str]) -> tuple[float, float, float]:
    """Mean recall in percent of all classes, of the rare ones and of the others."""
    train(config, report=False)
    assert config.common.out is not None
    found = json.loads((config.common.out / "report.json").read_text(encoding="utf-8"))
    recalls = {name: 100 * row["recall"] for name, row in found["per_class"].items()}
    few = [value for name, value in recalls.items() if name in rare]
    many = [value for name, value in recalls.items() if name not in rare]
    return statistics.mean(few + many), statistics.mean(few), statistics.mean(many)


def main() -> None:
    """Train and print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--weights", type=Path, required=True)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--epochs", type=int, default=8)
    parser.add_argument("--size", type=int, default=96)
    parser.add_argument("--only", nargs="*", default=list(VARIANTS), choices=list(VARIANTS))
    args = parser.parse_args()
    usual = as_stored(CLS_PRESETS["finetune"], args.weights)
    usual = replace(usual, weights=args.weights, model=replace(usual.model, size=args.size))
    fit = replace(usual.fit, epochs=args.epochs, eval_every=args.epochs)
    with TemporaryDirectory() as folder:
        data = Path(folder) / "skewed.csv"
        rare = write_skewed(args.data.absolute(), data)
        print("| remedy | all | rare | others |\n|---|---|---|---|")
        for name in args.only:
            own, loss = VARIANTS[name]
            found = []
            for seed in range(args.seeds):
                out = Path(folder) / f"{name}-{seed}"
                common = replace(usual.common, seed=seed, threads=1, out=out)
                config = replace(usual, data=data, fit=fit, common=common, workers=0, **own)
                found.append(measure(replace(config, loss=replace(usual.loss, **loss)), rare))
            cells = (
                f"{statistics.mean(part):.1f} ± {statistics.stdev(part):.1f}"
                for part in zip(*found, strict=True)
            )
            print(f"| {name} | {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    main()
