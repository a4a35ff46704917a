"""Skewed classes, one image to a hundred, with and without --balance, three seeds each.

    python -m tests.benchmarks.bench_balance

Draws the built-in shapes with 400 training images per class, takes all but four from every second
class, and trains the demo preset of ``train_cls.py`` for 40 epochs. Both the top-1 of all 60
validation images of each class and that of the rare classes are printed.
"""

from __future__ import annotations

import argparse
import json
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from configs.classification import CLS_PRESETS
from datasets.builtin.shapes_and_breeds import draw_shapes
from tools.library import train

MANY, FEW, HELD, EPOCHS = 400, 4, 60, 40
BALANCES = (0.0, 0.5, 1.0)


def draw_skewed(root: Path) -> list[str]:
    """Write the set; returns the names of the rare classes."""
    drawn = draw_shapes(root / "drawn", num_train=MANY, num_val=HELD)
    (drawn / "shapes.json").unlink()
    rare = [folder.name for folder in sorted((drawn / "train").iterdir())[::2]]
    for name in rare:
        for file in sorted((drawn / "train" / name).iterdir())[FEW:]:
            file.unlink()
    return rare


def measure(data: Path, folder: Path, rare: list[str], balance: float, seed: int) -> list[float]:
    """Top-1 in percent of all classes and of the rare ones, after one training."""
    usual = CLS_PRESETS["demo"]
    config = replace(
        usual,
        data=data,
        preset="demo",
        fit=replace(usual.fit, epochs=EPOCHS, eval_every=EPOCHS),
        loss=replace(usual.loss, balance=balance),
        common=replace(usual.common, seed=seed, threads=1, out=folder),
    )
    train(config)
    found = json.loads((folder / "report.json").read_text(encoding="utf-8"))
    of_rare = [found["per_class"][name]["recall"] for name in rare]
    return [100 * found["metrics"]["top1"], 100 * float(np.mean(of_rare))]


def main() -> None:
    """Train and print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=3)
    args = parser.parse_args()
    with TemporaryDirectory() as folder:
        root = Path(folder)
        rare = draw_skewed(root)
        print(f"| --balance | top-1 % | top-1 % of {', '.join(rare)} |\n|---|---|---|")
        for balance in BALANCES:
            found = [
                measure(root / "drawn", root / f"run-{balance}-{seed}", rare, balance, seed)
                for seed in range(args.seeds)
            ]
            cells = (
                f"{np.mean(part):.1f} ({', '.join(f'{one:.1f}' for one in part)})"
                for part in np.transpose(found)
            )
            print(f"| {balance:g} | {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    main()
