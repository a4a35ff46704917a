"""A classifier's training step as the suite does it, beside the same in plain eager float32.

Photos of 224 pixels, batch 32: forward, loss, backward, clipping, optimiser and weight averaging;
with ``--compile`` and without, on one thread and on all.

    python -m tests.benchmarks.bench_label_training
"""

from __future__ import annotations

import torch
from torch import nn

from configs.classification import MODERN
from tasks.body_spec import ClassifierSpec
from tasks.classification.model import Classifier
from tasks.fitting.engine import has_native_bf16
from tests.benchmarks.bench_training import make_step
from tests.benchmarks.timing import medians, pin_threads

ROUNDS, BATCH, CLASSES = 7, 32, 1000
ALPHAS = (1.0, 0.5, 0.25)
# Plain, compiled.
SIDES = {"plain": (True, False), "ours": (False, False), "compiled": (False, True)}


def make_classifier(alpha: float) -> nn.Module:
    """MobileNet of a width with the modern recipe's loss."""
    torch.manual_seed(0)
    return Classifier(ClassifierSpec(alpha=alpha), CLASSES, loss=MODERN.loss)


def main() -> None:
    """Measure and print."""
    most = pin_threads()
    batch = {
        "images": torch.randint(256, (BATCH, 3, 224, 224), dtype=torch.uint8),
        "targets": torch.randint(CLASSES, (BATCH,)),
    }
    layout = "bf16, channels_last" if has_native_bf16("cpu") else "float32, channels_last"
    print(f"classifier, batch {BATCH}, 224 pixels, median of {ROUNDS} interleaved rounds, ms")
    print(f"plain: eager float32; ours: {layout}; the same compiled")
    for threads in sorted({1, most}):
        torch.set_num_threads(threads)
        print(f"{threads} threads{'plain':>16}{'ours':>8}{'compiled':>10}   times as fast")
        for alpha in ALPHAS:
            torch.compiler.reset()
            sides = {
                name: make_step(
                    make_classifier(alpha), batch, MODERN.fit, plain=plain, compiled=compiled
                )
                for name, (plain, compiled) in SIDES.items()
            }
            eager, ours, fast = (s * 1e3 for s in medians(sides, ROUNDS).values())
            print(
                f"  alpha {alpha:<8g}{eager:10.0f}{ours:8.0f}{fast:10.0f}   "
                f"{eager / ours:.2f}, compiled {eager / fast:.2f}",
                flush=True,
            )


if __name__ == "__main__":
    main()
