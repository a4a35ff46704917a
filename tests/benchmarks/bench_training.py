"""A training step as the suite does it, beside the same step in plain eager float32.

Forward, loss, backward, clipping, optimiser and weight averaging; the same batch.

    python -m tests.benchmarks.bench_training
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

import torch
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from configs.detection import DEMO
from datasets.demo import draw_scenes
from datasets.detection import DetectionSet, open_detection
from datasets.loader import detection_loader
from datasets.transforms import DetectionTransform
from datasets.types import ClassMap, DetectionBatch
from tasks.detection.model import build_detector
from tasks.engine import has_native_bf16
from tasks.optim import make_optimizer
from tests.benchmarks.timing import medians, pin_threads

ROUNDS = 15


def make_step(
    batch: DetectionBatch, classes: ClassMap, alpha: float, *, plain: bool
) -> Callable[[], object]:
    """One step on a model of its own."""
    torch.manual_seed(0)
    model = build_detector(replace(DEMO.model, alpha=alpha), classes, loss=DEMO.loss).train()
    layout = torch.contiguous_format if plain else torch.channels_last
    model.to(memory_format=layout)  # type: ignore[call-overload]
    optimizer = make_optimizer(model, DEMO.fit)
    average = AveragedModel(model, multi_avg_fn=get_ema_multi_avg_fn(0.99), use_buffers=True)
    images = batch["images"].contiguous(memory_format=layout)
    bf16 = not plain and has_native_bf16("cpu")

    def step() -> None:
        with torch.autocast("cpu", torch.bfloat16, enabled=bf16):
            losses = model(images, batch["targets"])
        sum(losses.values()).backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), DEMO.fit.clip_norm)
        optimizer.step()
        optimizer.zero_grad()
        average.update_parameters(model)

    return step


def main() -> None:
    """Measure and print."""
    threads = pin_threads()
    with TemporaryDirectory() as folder:
        data = open_detection(draw_scenes(Path(folder) / "s", num_train=16, num_val=1), "train")
        scenes = DetectionSet(data, DetectionTransform(300, "flip"))
        batch = next(iter(detection_loader(scenes, batch_size=16, train=True, workers=0)))
    layout = "bf16, channels_last" if has_native_bf16("cpu") else "float32, channels_last"
    print(f"SSD300, batch 16, {threads} threads, median of {ROUNDS} interleaved rounds")
    for alpha in (1.0, 0.5, 0.25):
        sides = {
            plain: make_step(batch, data.classes, alpha, plain=plain) for plain in (True, False)
        }
        found = medians({str(plain): step for plain, step in sides.items()}, ROUNDS)
        eager, ours = found["True"] / 16 * 1e3, found["False"] / 16 * 1e3
        print(
            f"  alpha {alpha:4g}: plain float32 {eager:6.1f} ms per image, "
            f"{layout} {ours:6.1f}: {eager / ours:.2f} times as fast"
        )


if __name__ == "__main__":
    main()
