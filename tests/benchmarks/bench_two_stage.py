"""Our Faster R-CNN 300 beside torchvision's smallest, stage by stage: batch 1, float32.

Body, first stage with its NMS, crops, second stage, post-processing. Weights are random and each
score passes; where fewer regions survive the first NMS than asked for, ours goes on
with padding. Ours is as its predictor runs it (batch norm folded, channels last, at most 1000
candidates in the last NMS), torchvision's as it comes. The second stages differ by design: the
paper's takes 14x14 crops through two separable convolutions, torchvision's 7x7 ones through two
linear layers. Accuracy is not compared. Last, a crop with its gradient beside torchvision's
roi_align, as in training.

    python -m tests.benchmarks.bench_two_stage
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torchvision.models.detection import fasterrcnn_mobilenet_v3_large_320_fpn
from torchvision.ops import roi_align

from backbone.layers import fold_batchnorm
from datasets.types import COCO_CLASSES
from tasks.detection import faster_rcnn
from tasks.detection.faster_rcnn import FasterRCNN, crop
from tasks.detection.model import build_detector, detector_cost
from tasks.detection.spec import DetectorSpec, PostSpec
from tests.benchmarks.timing import medians, pin_threads

ROUNDS, WARMUP = 15, 2
STAGES = ("body", "rpn", "crop", "head", "post")
PROPOSALS = (300, 100, 50)
# Width multiplier, and whether crops are pooled.
OURS = ((1.0, False), (1.0, True), (0.5, False), (0.25, False), (0.25, True))


class Stopwatch:
    """Adds up seconds per stage; whatever is watched reports to it."""

    def __init__(self) -> None:
        self.seconds = dict.fromkeys(STAGES, 0.0)

    def watch(self, owner: Any, name: str, stage: str) -> None:
        """Time every call of a method or function of ``owner`` from now on."""
        inner = getattr(owner, name)

        def timed(*args: Any, **options: Any) -> Any:
            started = time.perf_counter()
            result = inner(*args, **options)
            self.seconds[stage] += time.perf_counter() - started
            return result

        setattr(owner, name, timed)

    def time(self, call: Callable[[], object]) -> dict[str, float]:
        """Seconds of one call, per stage and in all."""
        self.seconds = dict.fromkeys(STAGES, 0.0)
        started = time.perf_counter()
        call()
        return {**self.seconds, "all": time.perf_counter() - started}


def ours(watch: Stopwatch, alpha: float, roi_pool: bool, proposals: int) -> Callable[[], object]:
    """A call for one picture through our detector."""
    spec = DetectorSpec("faster_rcnn_300", alpha=alpha, roi_pool=roi_pool, proposals=proposals)
    built = build_detector(spec, COCO_CLASSES, post=PostSpec(score_threshold=0.0))
    model = fold_batchnorm(built.eval())
    assert isinstance(model, FasterRCNN)
    model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    watch.watch(model._halves[0], "forward", "body")
    watch.watch(model.rpn, "forward", "rpn")
    watch.watch(model, "second_stage", "head")
    images = torch.randint(256, (1, 3, 300, 300), dtype=torch.uint8)
    images = images.contiguous(memory_format=torch.channels_last)
    return lambda: model(images)


def theirs(watch: Stopwatch, proposals: int) -> Callable[[], object]:
    """A call for one picture through torchvision's."""
    model = fasterrcnn_mobilenet_v3_large_320_fpn(
        weights=None,
        weights_backbone=None,
        num_classes=91,
        rpn_post_nms_top_n_test=proposals,
        rpn_score_thresh=0.0,
        box_score_thresh=0.0,
    ).eval()
    heads = model.roi_heads
    watch.watch(model.backbone, "forward", "body")
    watch.watch(model.rpn, "forward", "rpn")
    watch.watch(heads.box_roi_pool, "forward", "crop")
    watch.watch(heads.box_head, "forward", "head")
    watch.watch(heads.box_predictor, "forward", "head")
    watch.watch(heads, "postprocess_detections", "post")
    images = [torch.rand(3, 320, 320)]
    return lambda: model(images)


@torch.inference_mode()
def main() -> None:
    """Measure and print."""
    threads = pin_threads()
    torch.manual_seed(0)
    watch = Stopwatch()
    for name, stage in (("propose", "rpn"), ("crop", "crop"), ("postprocess_regions", "post")):
        watch.watch(faster_rcnn, name, stage)
    print(f"one image, float32, {threads} threads, median of {ROUNDS} interleaved rounds")
    for proposals in PROPOSALS:
        calls = {
            f"alpha {alpha:g}{', pooled' * pooled}": ours(watch, alpha, pooled, proposals)
            for alpha, pooled in OURS
        }
        calls["torchvision"] = theirs(watch, proposals)
        rounds: dict[str, list[dict[str, float]]] = {name: [] for name in calls}
        for number in range(WARMUP + ROUNDS):
            for name, call in calls.items():
                row = watch.time(call)
                if number >= WARMUP:
                    rounds[name].append(row)
        _print(proposals, rounds)
    _compare_crops()


@torch.inference_mode(False)
def _compare_crops() -> None:
    """Forward and gradient of 64 crops of 14x14 from maps of 19x19."""
    boxes = torch.rand(64, 4).view(64, 2, 2).sort(dim=1).values.view(64, 4)
    owners = torch.zeros(64, dtype=torch.int64)
    rows = torch.cat((owners[:, None].float(), boxes * 19), dim=1)
    print("\n64 crops with their gradient, as in training:")
    for channels in (512, 128):
        feature = torch.randn(1, channels, 19, 19, requires_grad=True)

        def ours(feature: Tensor = feature) -> None:
            crop(feature, boxes, owners, 14).sum().backward()

        def peer(feature: Tensor = feature) -> None:
            roi_align(feature, rows, 14, 1.0, 1, True).sum().backward()

        found = medians({"ours": ours, "roi_align": peer}, ROUNDS)
        ratio = found["roi_align"] / found["ours"]
        print(
            f"{channels} channels: {found['ours'] * 1e3:.1f} ms, roi_align "
            f"{found['roi_align'] * 1e3:.1f} ms: {ratio:.1f} times as fast"
        )


def _print(proposals: int, rounds: dict[str, list[dict[str, float]]]) -> None:
    """A table of milliseconds, and how many times as fast as torchvision each stage is."""
    found = {
        name: {key: statistics.median(row[key] for row in rows) for key in (*STAGES, "all")}
        for name, rows in rounds.items()
    }
    peer = found["torchvision"]
    print(f"\n{proposals} proposals: ms (times as fast as fasterrcnn_mobilenet_v3_large_320_fpn)")
    print(f"{'':20}" + "".join(f"{key:>15}" for key in (*STAGES, "all")) + "   mult-adds")
    for (name, row), shape in zip(found.items(), (*OURS, None), strict=True):
        cells = "".join(f"{row[k] * 1e3:7.1f} ({peer[k] / row[k]:5.2f})" for k in (*STAGES, "all"))
        cost = ""
        if shape:
            spec = DetectorSpec(
                "faster_rcnn_300", alpha=shape[0], roi_pool=shape[1], proposals=proposals
            )
            cost = f"{detector_cost(spec, 90).mult_adds / 1e9:9.3f} B"
        print(f"{name:20}{cells}   {cost}")


if __name__ == "__main__":
    main()
