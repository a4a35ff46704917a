"""The detector's functions for its application's record: building, running, decoding, cost."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import cast

import torch
from torch import Tensor

from datasets.errors import InputError
from datasets.types import COCO_CLASSES
from tasks.application import Bare, Halves, Network, TensorflowForm
from tasks.detection.anchors import CODER_WEIGHTS
from tasks.detection.model import Detector, build_detector, detector_cost, detector_flavour
from tasks.detection.postprocess import Detections, postprocess
from tasks.detection.spec import TASK, DetectOptions, DetectorSpec, Framework
from tasks.detection.ssd import SSD
from tasks.photo_view import WHOLE
from tasks.weights.card import Card
from tasks.weights.file import spec_of


def _build(
    card: Card, _state: Mapping[str, Tensor], path: Path, options: DetectOptions
) -> tuple[Detector, Card]:
    spec = spec_of(card, DetectorSpec, path)
    if options.proposals is not None:
        spec = replace(spec, proposals=options.proposals)
        card = replace(card, model=spec.to_json())
    return build_detector(spec, card.classes, card.flavour, post=options.lowest), card


def _halves(model: Detector) -> Halves:
    if not isinstance(model, SSD):  # Regions are chosen between its two stages.
        return Halves(model, lambda found: found, "its NMS")
    anchors, post = model.anchors, model.post
    return Halves(model.raw, lambda raw: postprocess(raw[0], raw[1], anchors, post))


def _decode(
    model: Detector, _card: Card, raw: Detections, frame: Tensor | None
) -> dict[str, Tensor]:
    """Boxes in pixels of the image; a box in the padding alone becomes empty."""
    assert frame is not None, "boxes are given in pixels of the image, whose size is needed"
    boxes, scores, labels = raw
    scale = frame.amax(dim=-1, keepdim=True) if model.spec.keep_aspect else frame
    boxes = torch.minimum(boxes * scale, frame)
    real = (labels > 0) & ((boxes[..., 2:] - boxes[..., :2]).amin(dim=-1) > 0)
    return {"boxes": boxes * real[..., None], "scores": scores * real, "labels": labels * real}


def _example(alpha: float, size: int, variant: str) -> tuple[Detector, Card]:
    """A detector of COCO's classes; its variant is the framework."""
    spec = DetectorSpec(cast("Framework", variant), alpha=alpha, size=size)
    flavour = detector_flavour(spec.backbone).sized(size)
    card = Card(TASK, spec.to_json(), flavour, COCO_CLASSES)
    return build_detector(spec, COCO_CLASSES), card


def _bare(model: Detector, _card: Card) -> Bare:
    if not isinstance(model, SSD):
        raise InputError(
            "Faster R-CNN is two networks, between which regions are chosen: it has no bare "
            "export; take the whole one, or an SSD"
        )
    told = {
        "logits": "(1, anchors, 1 + classes): the sigmoid of column k is the score of class k; "
        "column 0 is the background and not looked at",
        "offsets": "(1, anchors, 4) dx dy dw dh, to be divided by 'coder': from an anchor's cx cy "
        "w h to cx + dx w, cy + dy h, w exp(dw), h exp(dh), in shares of the square",
    }
    anchors = [[round(value, 7) for value in row] for row in model.anchors.tolist()]
    facts = {"coder": list(CODER_WEIGHTS), "post": asdict(model.post), "anchors": anchors}
    return Bare(told, facts)


def _tensorflow_form(model: Detector) -> TensorflowForm:
    from tasks.detection.tensorflow_form import form_of  # What writes LiteRT's files is not light.

    return form_of(model)


NETWORK = Network(
    build=_build,
    view=WHOLE,
    run=lambda model, squares: model(squares),
    decode=_decode,
    facts=lambda model: {"post": asdict(model.post)},
    cost=lambda card, _facts, path: detector_cost(
        spec_of(card, DetectorSpec, path), len(card.classes)
    ),
    bare=_bare,
    example=_example,
    halves=_halves,
    tensorflow_form=_tensorflow_form,
)
