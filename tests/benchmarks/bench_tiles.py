"""AP, AP of small objects and time of TensorFlow's SSD300 with and without tiles, on COCO images.

``MOBILENETS_DATA`` names the folder with ``coco/`` and ``weights/``.

    python -m tests.benchmarks.bench_tiles --images 100 --tiles 300
"""

from __future__ import annotations

import argparse
import os
import time
from pathlib import Path

import cv2
import torch
from tqdm import tqdm

from datasets.boxes.coco import to_coco
from datasets.boxes.opening import open_detection
from tasks.detection.application import DETECTION
from tasks.detection.evaluator import CocoEvaluator
from tasks.detection.from_tflite import import_ssd
from tasks.detection.spec import PostSpec, TileSpec
from tasks.detection.tiles import tiled
from tasks.predictor import network_outputs

_WEIGHTS = "weights/ssd_mobilenet_v1_0.75_300_coco_quant_detect.tflite"
_SHOWN = ("AP", "AP50", "AP_small", "AP_medium", "AP_large")


def main() -> None:
    """Score both ways, and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", type=int, default=100)
    parser.add_argument("--split", choices=("train", "val"), default="val")
    parser.add_argument("--tiles", type=int, nargs="+", default=[300])
    args = parser.parse_args()
    cv2.setNumThreads(0)
    torch.set_num_threads(1)
    root = Path(os.environ["MOBILENETS_DATA"])
    model, card = import_ssd(root / _WEIGHTS, None)
    data = open_detection(root / "coco", args.split)
    numbers = data.image_ids.tolist()[: args.images]
    labels = card.classes.labels_in(data.classes)
    alone = network_outputs(DETECTION, model.eval(), card, "cpu")
    for side in (0, *args.tiles):
        look = tiled(alone, TileSpec(side), PostSpec(), 8) if side else alone
        truth = to_coco(data)
        for part, key in (("images", "id"), ("annotations", "image_id")):
            truth[part] = [row for row in truth[part] if row[key] in set(numbers)]
        evaluator, seconds = CocoEvaluator(truth, labels), 0.0
        for index, number in enumerate(tqdm(numbers, f"tiles {side}", unit="image")):
            image = data.image(index)
            started = time.process_time()
            found = look([image])
            seconds += time.process_time() - started
            evaluator.update([number], found)
        metrics = evaluator.compute()["metrics"]
        shown = ", ".join(f"{name} {metrics[name]:.3f}" for name in _SHOWN)
        each = 1000 * seconds / len(numbers)
        print(f"tiles {side or 'none'}: {shown}; {each:.0f} ms of a core per image", flush=True)


if __name__ == "__main__":
    main()
