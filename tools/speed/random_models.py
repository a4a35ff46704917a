"""Networks with random weights, as good as trained ones to measure time and size."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from backbone.flavour import Flavour
from datasets.types import COCO_CLASSES, ClassMap
from tasks.body_spec import ClassifierSpec
from tasks.classification.model import build_classifier
from tasks.detection.model import build_detector
from tasks.detection.spec import DetectorSpec, Framework
from tasks.face_attributes.model import build_attribute_net
from tasks.face_embedding.load import NO_CLASSES, describe_model
from tasks.face_embedding.model import build_embedder
from tasks.face_embedding.spec import EmbedderSpec
from tasks.geolocation import s2
from tasks.geolocation.atlas import Atlas
from tasks.geolocation.load import build_geolocator
from tasks.geolocation.partition import Partition
from tasks.photo_graph import Model
from tasks.weights.card import Card
from tools.flows.source import Source

# Outputs of the paper's networks: ImageNet's classes, CelebA's attributes, PlaNet's cells (of
# table 11, as its printed parameters tell).
NUM_CLASSES, NUM_ATTRIBUTES, NUM_CELLS = 1000, 40, 9760
_CELL_LEVEL = 7


def random_source(
    task: str, alpha: float, size: int, *, framework: Framework = "ssd300", seed: int = 0
) -> Source:
    """A network of the paper with random weights.

    Args:
        task: What for.
        alpha: Width multiplier.
        size: Side of its input in pixels.
        framework: Of a detector.
        seed: Of the weights.

    Raises:
        InputError: If it cannot be built so.
    """
    torch.manual_seed(seed)
    model, facts, classes = _build(task, alpha, size, framework)
    flavour = replace(_flavour(model), input=replace(_flavour(model).input, size=size))
    card = Card(task, facts, flavour, classes, source="random weights, to measure time alone")
    return Source(model.eval(), card, Path("random weights"))


def _build(
    task: str, alpha: float, size: int, framework: Framework
) -> tuple[Model, dict[str, Any], ClassMap]:
    """The network, how its card tells it, and its classes."""
    if task == "detection":
        detector = DetectorSpec(framework, alpha=alpha, size=size)
        return build_detector(detector, COCO_CLASSES), detector.to_json(), COCO_CLASSES
    if task == "face_embedding":
        embedder = EmbedderSpec(alpha=alpha, size=size)
        return build_embedder(embedder), describe_model(embedder, "none"), NO_CLASSES
    spec = ClassifierSpec(alpha=alpha, size=size)
    if task == "geolocation":
        atlas = _atlas()
        return build_geolocator(spec, atlas), spec.to_json(), atlas.classes
    count = NUM_ATTRIBUTES if task == "face_attributes" else NUM_CLASSES
    build = build_attribute_net if task == "face_attributes" else build_classifier
    names = ClassMap.from_names([f"{number}" for number in range(count)])
    return build(spec, count), spec.to_json(), names


def _flavour(model: Model) -> Flavour:
    flavour: Flavour = model.body.flavour
    return flavour


def _atlas() -> Atlas:
    """As many cells as PlaNet on MobileNet has, in a row along the curve."""
    cells = s2.parents(s2.cell_ids(np.zeros(1), np.zeros(1)), 0)
    for _ in range(_CELL_LEVEL):
        cells = s2.children(cells).ravel()
    cells = cells[:NUM_CELLS]
    return Atlas((Partition(cells, np.ones(len(cells), np.int64), *s2.centres(cells)),))
