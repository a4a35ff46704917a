"""Images per second that one core loads: read, decode, augment, resize, collate.

    python -m tests.benchmarks.bench_loader

With ``MOBILENETS_DATA`` set, on real COCO photos too.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory

import torch

from datasets.boxes.augmentation import DetectionTransform
from datasets.boxes.opening import open_detection
from datasets.boxes.torch_set import DetectionSet, detection_loader
from datasets.builtin.scenes import draw_scenes
from datasets.spec import Augmentation
from tests.benchmarks.timing import medians, pin_threads

ROUNDS = 7
AUGMENTATIONS: tuple[Augmentation, ...] = ("none", "flip", "tf", "ssd")


def main() -> None:
    """Measure and print."""
    pin_threads()
    torch.set_num_threads(1)
    with TemporaryDirectory() as folder:
        sets = {"built-in scenes": draw_scenes(Path(folder) / "s", num_train=96, num_val=1)}
        if os.environ.get("MOBILENETS_DATA"):
            sets["COCO images"] = Path(os.environ["MOBILENETS_DATA"]) / "coco"
        for name, path in sets.items():
            data = open_detection(path, "train")
            calls: dict[str, Callable[[], object]] = {}
            for augmentation in AUGMENTATIONS:
                dataset = DetectionSet(data, DetectionTransform(300, augmentation))
                loader = detection_loader(dataset, batch_size=16, train=True, workers=0)
                calls[augmentation] = lambda loader=loader: list(loader)  # type: ignore[misc]
            count = len(data) // 16 * 16
            print(f"{name}: images per second on one core")
            for label, seconds in medians(calls, ROUNDS, warmup=1).items():
                print(f"  {label:6}{count / seconds:7.0f}")


if __name__ == "__main__":
    main()
