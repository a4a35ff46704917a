"""A tiny model of every task with random weights, and photos to ask them about."""

from __future__ import annotations

import io
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from PIL import Image
from torch import nn

from datasets.builtin.scenes import draw_scene
from datasets.types import ClassMap
from tasks.body_spec import ClassifierSpec
from tasks.classification.model import Classifier
from tasks.detection.model import build_detector
from tasks.detection.spec import DetectorSpec
from tasks.face_attributes.model import AttributeNet
from tasks.face_embedding.load import NO_CLASSES, describe_model
from tasks.face_embedding.model import FaceEmbedder
from tasks.face_embedding.spec import EmbedderSpec
from tasks.geolocation.atlas import Atlas
from tasks.geolocation.model import Geolocator
from tasks.geolocation.partition import split_adaptively
from tasks.multitask.model import MultiTaskNet
from tasks.multitask.spec import HEADS
from tasks.multitask.stored import multi_card, read_stored
from tasks.weights.card import Card
from tasks.weights.file import save_weights
from tasks.weights.names import HEADS_FOLDER, WEIGHTS_NAME

SMALL = ClassifierSpec(alpha=0.1, size=32)
TASKS = ("classification", "detection", "face_attributes", "face_embedding", "geolocation")
CLASSES = ("Löwe", "Tiger", "<b>Bär</b>")


def make_models(folder: Path, tasks: tuple[str, ...] = TASKS) -> list[Path]:
    """A run folder for each task, named after it."""
    makers = dict(zip(TASKS, (_classifier, _detector, _attributes, _embedder, _geo), strict=True))
    torch.manual_seed(5)
    for task in tasks:
        model, card = makers[task]()
        _see_something(model, card.flavour.input.size)
        save_weights(folder / task / WEIGHTS_NAME, model.state_dict(), card)
    return [folder / task for task in tasks]


def make_multi(folder: Path, odd: str = "") -> Path:
    """A run folder with a head of each kind on one trunk.

    Args:
        folder: To write.
        odd: Name of a head that sees photos otherwise than the rest.
    """
    makers = (_classifier, _classifier, _attributes, _geo, _embedder, _detector)
    torch.manual_seed(5)
    made = {name: make() for name, make in zip(HEADS, makers, strict=True)}
    if odd:
        model, card = made[odd]
        seen = replace(card.flavour.input, crop=0.5)
        made[odd] = model, replace(card, flavour=replace(card.flavour, input=seen))
    cards = {name: card for name, (_, card) in made.items()}
    heads: dict[str, Any] = {name: model for name, (model, _) in made.items()}
    net = MultiTaskNet(Classifier(SMALL, 1).body, heads)
    for name in net.heads:
        _see_something(net.head(name), net.head(name).spec.size)
    out = net.left_out()
    state = {key: value for key, value in net.state_dict().items() if not key.startswith(out)}
    card = multi_card(SMALL.to_json(), cards, card=cards["classes"])
    save_weights(folder / WEIGHTS_NAME, state, card)
    read_stored(folder).save_heads(folder / HEADS_FOLDER)
    return folder


def _see_something(model: nn.Module, size: int) -> None:
    """Batch norm from some pictures: without, all were much the same to fresh weights."""
    pictures = [
        cv2.resize(draw_scene(np.random.default_rng(k))[0], (size, size)) for k in range(9)
    ]
    for part in model.modules():
        if isinstance(part, nn.BatchNorm2d):
            part.momentum = 1.0
    with torch.no_grad():
        model.train().raw(torch.from_numpy(np.stack(pictures)).permute(0, 3, 1, 2))


def _classifier() -> tuple[nn.Module, Card]:
    classes = ClassMap.from_names(list(CLASSES))
    model = Classifier(SMALL, len(classes))
    return model, Card("classification", SMALL.to_json(), model.body.flavour, classes)


def _detector() -> tuple[nn.Module, Card]:
    spec = DetectorSpec(alpha=0.1, size=64)
    classes = ClassMap.from_names(["cat", "dog"])
    model = build_detector(spec, classes)
    for predictor in model.class_predictors:  # Else it would be sure of nothing.
        nn.init.normal_(predictor.bias, std=3)
    return model, Card("detection", spec.to_json(), model.body.flavour, classes)


def _attributes() -> tuple[nn.Module, Card]:
    names = ClassMap.from_names(["Eyeglasses", "Smiling", "Wearing_Hat"], first=0)
    model = AttributeNet(SMALL, len(names))
    return model, Card("face_attributes", SMALL.to_json(), model.body.flavour, names)


def _embedder() -> tuple[nn.Module, Card]:
    spec = EmbedderSpec(alpha=0.1, size=32, dim=8)
    model = FaceEmbedder(spec)
    told = describe_model(spec, "none")
    metrics = {"threshold": 1e-3}
    return model, Card("face_embedding", told, model.body.flavour, NO_CLASSES, metrics)


def _geo() -> tuple[nn.Module, Card]:
    rng = np.random.default_rng(3)
    lat, lng = rng.uniform(-60, 70, 400), rng.uniform(-180, 180, 400)
    atlas = Atlas((split_adaptively(lat, lng, most=100, least=5),))
    model = Geolocator(SMALL, atlas)
    return model, Card("geolocation", SMALL.to_json(), model.body.flavour, atlas.classes)


def photo(seed: int = 0, kind: str = "JPEG") -> bytes:
    """A drawn scene as a file."""
    picture, _, _ = draw_scene(np.random.default_rng(seed))
    file = io.BytesIO()
    Image.fromarray(picture).save(file, kind)
    return file.getvalue()
