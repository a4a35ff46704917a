"""A training step as the suite does it, beside the same step in plain eager float32.

Forward, loss, backward, clipping, optimiser and weight averaging; the same batch.

    python -m tests.benchmarks.bench_training
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch
from torch import nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from configs.detection import DEMO
from datasets.boxes.augmentation import DetectionTransform
from datasets.boxes.opening import open_detection
from datasets.boxes.torch_set import DetectionSet, detection_loader
from datasets.builtin.scenes import draw_scenes
from datasets.types import ClassMap
from tasks.detection.model import build_detector
from tasks.fitting.base import Task, compile_network
from tasks.fitting.engine import has_native_bf16
from tasks.fitting.optim import make_optimizer
from tasks.fitting.spec import FitSpec
from tests.benchmarks.timing import medians, pin_threads

ROUNDS = 15


def make_step(
    model: nn.Module, batch: Any, fit: FitSpec, *, plain: bool, compiled: bool = False
) -> Callable[[], object]:
    """One step on a model: as the suite trains on this chip, or in plain eager float32."""
    if plain:
        for name, layer in [*model.named_modules()]:
            if isinstance(layer, nn.ReLU6):
                model.set_submodule(name, nn.ReLU6(inplace=True))
    task = Task(model, replace(fit, channels_last=not plain), seed=0).train()
    compile_network(task, compiled)
    optimizer = make_optimizer(model, fit)
    averaging = get_ema_multi_avg_fn(fit.ema_decay)
    average = AveragedModel(model, multi_avg_fn=averaging, use_buffers=True)
    layout = torch.contiguous_format if plain else torch.channels_last
    images = batch["images"].contiguous(memory_format=layout)
    bf16 = not plain and has_native_bf16("cpu")

    def step() -> None:
        with torch.autocast("cpu", torch.bfloat16, enabled=bf16):
            losses = model(images, batch["targets"])
        sum(losses.values()).backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), fit.clip_norm)
        optimizer.step()
        optimizer.zero_grad()
        average.update_parameters(model)

    return step


def make_detector(alpha: float, classes: ClassMap) -> nn.Module:
    """The demo's detector at another width."""
    torch.manual_seed(0)
    return build_detector(replace(DEMO.model, alpha=alpha), classes, loss=DEMO.loss)


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
            name: make_step(make_detector(alpha, data.classes), batch, DEMO.fit, plain=plain)
            for name, plain in (("plain", True), ("ours", False))
        }
        found = medians(sides, ROUNDS)
        eager, ours = found["plain"] / 16 * 1e3, found["ours"] / 16 * 1e3
        print(
            f"  alpha {alpha:4g}: plain float32 {eager:6.1f} ms per image, "
            f"{layout} {ours:6.1f}: {eager / ours:.2f} times as fast"
        )


if __name__ == "__main__":
    main()
