"""Small models of every task with random weights, and their exports, made once a session."""

import json
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import torch
from torch import nn

from backbone.bodies import default_flavour
from datasets.types import ClassMap
from tasks.body_spec import ClassifierSpec
from tasks.classification.model import Classifier
from tasks.detection.model import build_detector, detector_flavour
from tasks.detection.spec import DetectorSpec, PostSpec
from tasks.export.onnx_file import write_onnx
from tasks.face_attributes.model import AttributeNet
from tasks.face_embedding.load import NO_CLASSES, describe_model
from tasks.face_embedding.model import FaceEmbedder
from tasks.face_embedding.spec import EmbedderSpec
from tasks.geolocation.atlas import Atlas
from tasks.geolocation.model import Geolocator
from tasks.geolocation.partition import split_adaptively
from tasks.runtime.session import CARD_KEY, FACTS_KEY, SQUARE
from tasks.square_graph import SquareGraph
from tasks.weights.card import Card
from tasks.weights.file import save_weights
from tools.flows.source import Source

KINDS = ("classifier", "places", "attributes", "faces", "ssd", "ssdlite", "faster_rcnn")
SMALL = ClassifierSpec(alpha=0.25, size=48, variant="shallow")
CLASSES = ClassMap.from_names(["ant", "bee", "cat", "dog", "eel", "fox"])
TRAITS = ClassMap.from_names(["Bangs", "Big_Nose", "Black_Hair", "Brown_Hair", "Eyeglasses"])
SHAPES = ClassMap.from_names(["star", "ring", "heart"])
# Candidates fill one block of suppression and begin another (:mod:`tasks.core_operators`). Each
# block has dozens of operators, over which some converters take seconds.
POST = PostSpec(score_threshold=0.02, candidates=132, detections=30)
# Kinds that take one photo per call.
SINGLE = ("faces",)


@dataclass
class Exports:
    """Weights files and exports by kind.

    Attributes:
        folder: Where they are written.
    """

    folder: Path
    _made: dict[str, Source] = field(default_factory=dict)

    def source(self, kind: str) -> Source:
        """The model, its card and its weights file."""
        if kind not in self._made:
            torch.manual_seed(3)
            model, card = _build(kind)
            _liven(model)
            file = self.folder / f"{kind}.safetensors"
            save_weights(file, model.state_dict(), card)
            self._made[kind] = Source(model.eval(), card, file)
        return self._made[kind]

    def file(self, kind: str) -> Path:
        """The ONNX export."""
        source, file = self.source(kind), self.folder / f"{kind}.onnx"
        if not file.exists():
            dynamic = kind not in SINGLE
            write_onnx(source.graph(), source.card, source.facts(), file, dynamic=dynamic)
        return file

    def square(self, kind: str) -> tuple[SquareGraph, dict[str, str]]:
        """The graph of a fixed shape, and the notes of a file of it."""
        source = self.source(kind)
        graph = SquareGraph(source.application, source.model, source.card)
        squares = {name: one.to_json() for name, one in graph.squares.items()}
        facts = {**source.facts(), SQUARE: squares}
        return graph, {CARD_KEY: json.dumps(source.card.to_json()), FACTS_KEY: json.dumps(facts)}


def photos(count: int = 1) -> list[np.ndarray]:
    """Coloured noise of odd sizes: tall, wide, small, large; so many of each."""
    rng = np.random.default_rng(1)
    sides = ((97, 61), (61, 97), (31, 45), (300, 211))
    found = []
    for side in [side for side in sides for _ in range(count)]:
        noise = rng.integers(0, 120, (*side, 3))
        blocks = rng.integers(0, 136, (4, 4, 3)).repeat(-(-side[0] // 4), 0)
        found.append(noise + blocks.repeat(-(-side[1] // 4), 1)[: side[0], : side[1]])
    return [image.astype(np.uint8) for image in found]


def _build(kind: str) -> tuple[nn.Module, Card]:
    flavour = default_flavour("mobilenet_v1")
    seen = replace(flavour.input, size=SMALL.size)
    if kind == "classifier":
        seen = replace(seen, interpolation="bicubic", channels="bgr", mean=(0.5, 0.4, 0.3))
    flavour = replace(flavour, input=seen)
    spec = SMALL.to_json()
    if kind == "classifier":
        model: nn.Module = Classifier(SMALL, len(CLASSES), flavour)
        return model, Card("classification", spec, flavour, CLASSES)
    if kind == "attributes":
        net = AttributeNet(SMALL, len(TRAITS), flavour)
        net.thresholds.copy_(torch.linspace(0.3, 0.7, len(TRAITS)))
        return net, Card("face_attributes", spec, flavour, TRAITS)
    if kind == "places":
        rng = np.random.default_rng(0)
        spots = rng.uniform(-60, 60, 900), rng.uniform(-170, 170, 900)
        atlas = Atlas(tuple(split_adaptively(*spots, most=most, least=5) for most in (100, 30)))
        card = Card("geolocation", spec, flavour, atlas.classes, {"temperature": 1.7})
        return Geolocator(SMALL, atlas, flavour), card
    if kind == "faces":
        faces = EmbedderSpec(alpha=0.25, size=48, dim=16, variant="shallow")
        described = describe_model(faces, "none")
        return FaceEmbedder(faces, flavour), Card("face_embedding", described, flavour, NO_CLASSES)
    return _build_detector(kind)


def _build_detector(kind: str) -> tuple[nn.Module, Card]:
    shared = {"alpha": 0.25, "size": 64}
    spec = {
        "ssd": DetectorSpec(**shared, keep_aspect=True),
        "ssdlite": DetectorSpec(**shared, head="ssdlite"),
        "faster_rcnn": DetectorSpec("faster_rcnn_300", **shared, proposals=20, roi_pool=True),
    }[kind]
    flavour = detector_flavour(spec.backbone)
    flavour = replace(flavour, input=replace(flavour.input, size=spec.size))
    model = build_detector(spec, SHAPES, flavour, post=POST)
    return model, Card("detection", spec.to_json(), flavour, SHAPES)


@torch.no_grad()
def _liven(model: nn.Module) -> None:
    """Weights whose answers differ from photo to photo, and batch norm that does something."""
    for layer in model.modules():
        if isinstance(layer, nn.Conv2d | nn.Linear):
            nn.init.kaiming_normal_(layer.weight)
            if isinstance(layer, nn.Linear):
                layer.weight.mul_(3)
        elif isinstance(layer, nn.BatchNorm2d):
            for value in (layer.weight, layer.running_var):
                nn.init.uniform_(value, 0.7, 1.4)
            for value in (layer.bias, layer.running_mean):
                nn.init.normal_(value, std=0.2)
