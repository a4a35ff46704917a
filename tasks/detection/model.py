"""Builds detectors, counts their cost, and starts them from other weights."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor

from backbone.bodies import default_flavour
from backbone.cost import Cost
from backbone.flavour import Flavour, refuse_other_flavour
from datasets.errors import InputError
from datasets.types import ClassMap
from tasks.body_network import raw_cost
from tasks.detection.faster_rcnn import FasterRCNN
from tasks.detection.spec import (
    TASK,
    DetectorBackbone,
    DetectorSpec,
    LossSpec,
    PostSpec,
    TwoStageLossSpec,
)
from tasks.detection.ssd import SSD
from tasks.start_network import refuse_other_model, with_body_of
from tasks.weights.card import Card
from tasks.weights.file import BODY_PREFIX, load_into, spec_of
from tasks.weights.head_files import load_weights

# Prefix of the layers before the last one, in a detector's second stage and in a classifier.
NECK_PREFIX, CLASSIFIER_NECK = "neck.", "head.0."
Detector = SSD | FasterRCNN


def detector_flavour(backbone: DetectorBackbone) -> Flavour:
    """A body's own conventions, for the whole image: nothing is cropped."""
    flavour = default_flavour(backbone)
    return replace(flavour, input=replace(flavour.input, crop=1.0))


def build_detector(
    spec: DetectorSpec,
    classes: ClassMap,
    flavour: Flavour | None = None,
    *,
    loss: LossSpec | TwoStageLossSpec | None = None,
    post: PostSpec | None = None,
) -> Detector:
    """A detector with fresh weights.

    Args:
        spec: Architecture.
        classes: Classes, without background.
        flavour: Flavour; by default the body's own. Its input size is replaced by the spec's.
        loss: Training objective, of the framework's kind.
        post: Settings for turning raw outputs into detections.

    Raises:
        InputError: If the flavour preprocesses images in a way that detectors do not support.
    """
    flavour = (flavour or detector_flavour(spec.backbone)).sized(spec.size)
    if flavour.input.interpolation != "bilinear" or flavour.input.crop != 1:
        raise InputError(
            f"interpolation {flavour.input.interpolation}, crop {flavour.input.crop}: a detector "
            "takes whole images, resized bilinearly"
        )
    if flavour.padding == "keras":
        raise InputError(
            "padding keras: a detector's maps round odd sizes up; import the weights anew at a "
            "--size that is a multiple of 32, where same is equal to it"
        )
    kind = FasterRCNN if spec.two_stage else SSD
    assert loss is None or isinstance(loss, kind.objective)
    return kind(spec, len(classes), flavour, loss=loss, post=post)


def detector_anchors(spec: DetectorSpec) -> Tensor:
    """Anchors (A, 4) cx cy w h of a detector, without building it."""
    return (FasterRCNN if spec.two_stage else SSD).anchors_of(spec)


def detector_cost(spec: DetectorSpec, num_classes: int) -> Cost:
    """Mult-adds and parameters for one image; classes without background."""
    classes = ClassMap.from_names([str(number) for number in range(num_classes)])
    return raw_cost(lambda: build_detector(spec, classes), spec.size)


def start_from(model: Detector, classes: ClassMap, path: Path) -> tuple[Card, list[str]]:
    """Fill a detector with the weights of another one, for fine-tuning; or only its body.

    Classes of the same name keep their predictors, in any order; new classes keep their fresh
    ones. Everything else must fit. From weights of another task or framework only the body is
    used.

    Args:
        model: Detector to fill.
        classes: Its classes.
        path: Run folder or weights file.

    Returns:
        The card of the weights, and the names of the classes that start with fresh weights.

    Raises:
        InputError: If body, width, head or flavour differ; the message names both sides.
    """
    state, card = load_weights(path)
    stages = card.task == TASK and spec_of(card, DetectorSpec, path).two_stage
    whole = card.task == TASK and stages == model.spec.two_stage
    names = {"backbone": None, "alpha": None}
    if whole:
        names |= {"head": None, "roi_pool": None}
    refuse_other_model(model.spec.to_json(), card, path, names)
    for name, usual in (("variant", "standard"), ("stem_stride", 2)):
        if card.model.get(name, usual) != usual:
            raise InputError(
                f"{path}: the weights have {name} {card.model[name]}; the body of a detector "
                f"has {usual}"
            )
    refuse_other_flavour(str(path), card.flavour, model.body.flavour)
    fresh = model.state_dict()
    if not whole:
        load_into(model, _with_body_of(fresh, state, model.spec.backbone), str(path))
        return card, list(classes.names)
    columns = torch.tensor([0, *classes.labels_in(card.classes)[1:].tolist()])
    for key, groups, background in model.class_rows():
        chosen = columns if background else columns[1:] - 1
        state[key] = _choose_rows(state[key], fresh[key], chosen, groups, background)
    load_into(model, state, str(path))
    new = [n for n, c in zip(classes.names, columns[1:].tolist(), strict=True) if c == 0]
    return card, new


def _with_body_of(
    fresh: dict[str, Tensor], state: dict[str, Tensor], backbone: DetectorBackbone
) -> dict[str, Tensor]:
    """A fresh detector's tensors, with the body of other weights in place of its own.

    VGG16's fully connected layers are part of SSD's body but not of the other bodies, so only
    those that both have are used; a classifier's two large ones initialise Faster R-CNN's second
    stage.
    """
    if backbone != "vgg16":
        return with_body_of(fresh, state)
    shared = {}
    for key, value in state.items():
        if key.startswith((BODY_PREFIX, CLASSIFIER_NECK)):
            name = key.replace(CLASSIFIER_NECK, NECK_PREFIX, 1)
            if name in fresh and fresh[name].shape == value.shape:
                shared[name] = value
    return fresh | shared


def _choose_rows(
    old: Tensor, fresh: Tensor, columns: Tensor, groups: int, background: bool
) -> Tensor:
    """Predictor rows by class: from ``old`` if the class was known, otherwise from ``fresh``.

    Rows are ordered by group (SSD's anchors), then class. ``columns`` holds the old column of each
    new class; -1 (or 0 with a background, which is column 0 on both sides) for unknown ones.
    """
    after = fresh.reshape(groups, len(columns), -1).clone()
    before = old.reshape(groups, -1, after.shape[-1])
    known = columns > 0 if background else columns >= 0
    if background:
        known[0] = True
    after[:, known] = before[:, columns[known]]
    return after.reshape(fresh.shape)
