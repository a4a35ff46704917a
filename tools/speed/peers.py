"""Networks of torchvision and timm for comparison, with random weights."""

from __future__ import annotations

from collections.abc import Callable
from importlib.util import find_spec
from typing import Any

import torch
from torch import Tensor, nn
from torchvision.models import MobileNet_V3_Large_Weights, mobilenet_v3_large
from torchvision.models.detection import ssdlite320_mobilenet_v3_large

from backbone.cost import count_cost
from datasets.images import Image
from tasks.classification.application import CLASSIFICATION
from tasks.detection.application import DETECTION
from tasks.timing import NETWORK, POST, PREPROCESS
from tools.speed.subjects import Subject, staged

_COCO_COLUMNS = 91
# Detectors are compared with detectors, everything else with classifiers.
_CLASSIFIERS = ("torchvision mobilenet_v3_large", "timm mobilenetv1_100")
_DETECTORS = ("torchvision ssdlite320_mobilenet_v3_large",)


def peer_names(task: str) -> tuple[str, ...]:
    """Peers of a task whose packages are installed."""
    names = _DETECTORS if task == DETECTION.name else _CLASSIFIERS
    return tuple(name for name in names if find_spec(name.split()[0]))


def is_peer(name: str) -> bool:
    """Whether a name is a peer's."""
    return name in (*_CLASSIFIERS, *_DETECTORS)


def open_peer(name: str) -> Subject:
    """A peer with random weights, unmodified, ready to be timed."""
    if name in _DETECTORS:
        return _detector(name)
    if name == _CLASSIFIERS[0]:
        return _classifier(name, mobilenet_v3_large(weights=None))
    import timm

    return _classifier(name, timm.create_model(name.split()[1], pretrained=False))


def _classifier(name: str, model: nn.Module) -> Subject:
    model.eval()
    # Short side to 232, the central 224, ImageNet's mean and deviation. Nothing is downloaded.
    fit = MobileNet_V3_Large_Weights.IMAGENET1K_V2.transforms()

    steps: dict[str, Callable[[Any], Any]] = {
        PREPROCESS: lambda photo: fit(_tensor(photo))[None],
        NETWORK: model,
        POST: lambda logits: logits.softmax(1).numpy(),
    }

    @torch.inference_mode()
    def answer(photos: list[Image]) -> object:
        return model(torch.stack([fit(_tensor(photo)) for photo in photos])).softmax(1).numpy()

    cost, run = count_cost(model, (1, 3, 224, 224)), staged(name, steps)
    return Subject(name, "PyTorch", "float32", CLASSIFICATION.name, run, answer, cost.mult_adds)


def _detector(name: str) -> Subject:
    model: Any = ssdlite320_mobilenet_v3_large(
        weights=None, weights_backbone=None, num_classes=_COCO_COLUMNS
    ).eval()

    def preprocess(photo: Image) -> tuple[Any, Any]:
        images, _ = model.transform([_tensor(photo).float() / 255])
        return photo.shape[:2], images

    def layers(seen: tuple[Any, Any]) -> tuple[Any, ...]:
        shape, images = seen
        features = list(model.backbone(images.tensors).values())
        return shape, images, model.head(features), model.anchor_generator(images, features)

    def decode(raw: tuple[Any, ...]) -> object:
        shape, images, outputs, anchors = raw
        found = model.postprocess_detections(outputs, anchors, images.image_sizes)
        found = model.transform.postprocess(found, images.image_sizes, [shape])
        return [value.numpy() for value in found[0].values()]

    @torch.inference_mode()
    def answer(photos: list[Image]) -> object:
        return model([_tensor(photo).float() / 255 for photo in photos])

    network: Callable[[Any, Tensor], object] = lambda m, x: m.head(list(m.backbone(x).values()))  # noqa: E731
    cost = count_cost(model, (1, 3, 320, 320), network)
    run = staged(name, {PREPROCESS: preprocess, NETWORK: layers, POST: decode})
    return Subject(name, "PyTorch", "float32", DETECTION.name, run, answer, cost.mult_adds)


def _tensor(photo: Image) -> Tensor:
    """(3, H, W) of an (H, W, 3) image."""
    return torch.from_numpy(photo).permute(2, 0, 1)
