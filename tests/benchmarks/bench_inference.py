"""Our SSD300 beside torchvision's detectors: network and post-processing, batch 1, float32.

All have random weights and the most work that post-processing can get: ours is told to let every
score through, and torchvision's own thresholds do with such weights. Accuracy is not compared.

    python -m tests.benchmarks.bench_inference

With ``MOBILENETS_DATA`` set, ours also with TensorFlow's weights on a photo: few scores pass.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torchvision.models.detection import ssd300_vgg16, ssdlite320_mobilenet_v3_large

from backbone.layers import fold_batchnorm
from datasets.images import read_image
from datasets.squares import resize_square
from datasets.types import COCO_CLASSES
from tasks.detection.from_tflite import import_ssd
from tasks.detection.model import build_detector
from tasks.detection.postprocess import postprocess
from tasks.detection.spec import DetectorSpec, PostSpec
from tasks.detection.ssd import SSD
from tests.benchmarks.timing import medians, pin_threads

ROUNDS = 40


class Peer:
    """A torchvision detector whose post-processing is timed apart."""

    def __init__(self, make: Callable[..., Any], size: int) -> None:
        self.model = make(weights=None, weights_backbone=None, num_classes=91).eval()
        self.images = [torch.rand(3, size, size)]
        self.seconds: list[float] = []
        inner = self.model.postprocess_detections

        def timed(*args: Any) -> Any:
            started = time.perf_counter()
            result = inner(*args)
            self.seconds.append(time.perf_counter() - started)
            return result

        self.model.postprocess_detections = timed

    def __call__(self) -> object:
        """One picture."""
        return self.model(self.images)


def worst_case(alpha: float, head: str) -> tuple[SSD, Tensor]:
    """A random model that lets every score through, and random pixels."""
    spec = DetectorSpec(alpha=alpha, head=head)  # type: ignore[arg-type]
    model = build_detector(spec, COCO_CLASSES, post=PostSpec(score_threshold=0.0))
    assert isinstance(model, SSD)
    return model, torch.randint(256, (1, 3, 300, 300), dtype=torch.uint8)


def usual_case(data: Path) -> tuple[SSD, Tensor]:
    """TensorFlow's weights and a photo, with the threshold that COCO's mAP is measured with."""
    file = data / "weights" / "ssd_mobilenet_v1_0.75_300_coco_quant_detect.tflite"
    photo = resize_square(read_image(data / "photos" / "pets.jpg", upright=True), 300)
    return import_ssd(file)[0], torch.from_numpy(photo).permute(2, 0, 1)[None]


def ours(model: SSD, images: Tensor) -> tuple[Callable[[], object], Callable[[], object]]:
    """Calls for all of a model and for its post-processing alone."""
    post = model.post
    model = fold_batchnorm(model.eval())
    model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    images = images.contiguous(memory_format=torch.channels_last)
    raw = model.raw(images)
    return lambda: model(images), lambda: postprocess(*raw, model.anchors, post)


@torch.inference_mode()
def main() -> None:
    """Measure and print."""
    threads = pin_threads()
    torch.manual_seed(0)
    calls: dict[str, Callable[[], object]] = {}
    for alpha, head in ((1.0, "ssd"), (1.0, "ssdlite"), (0.5, "ssd"), (0.25, "ssd")):
        name = f"{head}300 alpha {alpha:g}"
        calls[name], calls[f"{name} post"] = ours(*worst_case(alpha, head))
    if os.environ.get("MOBILENETS_DATA"):
        name = "ssd300 alpha 0.75, an image"
        calls[name], calls[f"{name} post"] = ours(*usual_case(Path(os.environ["MOBILENETS_DATA"])))
    peers = {
        "torchvision ssdlite320_mobilenet_v3_large": Peer(ssdlite320_mobilenet_v3_large, 320),
        "torchvision ssd300_vgg16": Peer(ssd300_vgg16, 300),
    }
    found = medians({**calls, **peers}, ROUNDS)
    for name, peer in peers.items():
        found[f"{name} post"] = sorted(peer.seconds)[len(peer.seconds) // 2]
    print(f"one image, float32, {threads} threads, median of {ROUNDS} interleaved rounds")
    print(f"{'':44}{'ms':>8}{'post':>8}{'share':>8}   times as fast as")
    print(f"{'':68}{'ssdlite320':>12}{'ssd300_vgg16':>14}")
    lite, vgg = (found[name] for name in peers)
    for name in [n for n in found if not n.endswith("post")]:
        total, post = found[name], found[f"{name} post"]
        print(
            f"{name:44}{total * 1e3:8.1f}{post * 1e3:8.2f}{post / total:8.1%}"
            f"{lite / total:12.2f}{vgg / total:14.2f}"
        )


if __name__ == "__main__":
    main()
