"""Models of every task, loaded to be exported, and how the suite itself answers with them."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from scipy.special import softmax  # type: ignore[import-untyped]

from configs.deploy import Export
from datasets.errors import InputError
from datasets.images import Image
from datasets.squares import centre_square, fit_square
from tasks.classification.answer import LabelPredictor
from tasks.classification.load import load_classifier
from tasks.detection.answer import Predictor
from tasks.detection.model import Detector, load_detector
from tasks.export.compare import Limits, Predict, compare
from tasks.export.resize import Antialias
from tasks.face_attributes.answer import AttributePredictor
from tasks.face_attributes.load import load_attribute_net
from tasks.face_attributes.model import AttributeNet
from tasks.face_embedding.answer import FacePredictor
from tasks.face_embedding.load import load_embedder
from tasks.face_embedding.model import FaceEmbedder
from tasks.geolocation.answer import GeoPredictor
from tasks.geolocation.atlas import atlas_of
from tasks.geolocation.load import load_geolocator, temperature_of
from tasks.geolocation.model import Geolocator
from tasks.geolocation.spec import DecodeSpec
from tasks.multitask.spec import TASK as MULTITASK
from tasks.photo_graph import Model, PhotoGraph, make_graph
from tasks.runtime.open import is_export, read_card
from tasks.runtime.session import FORMAT, Answer
from tasks.weights.card import Card
from tasks.weights.names import HEADS_FOLDER
from tools import cli

# The limit for probabilities and embeddings where a resize may round otherwise: a wrong one
# changes them by several times as much.
_RESIZED = 0.05
# Flags of tools/export.py that only detectors take.
DETECTOR_FLAGS = ("post",)


@dataclass(frozen=True)
class Source:
    """A model to be exported.

    Attributes:
        model: In evaluation mode, on the CPU.
        card: Its card.
        file: It was read from.
    """

    model: Model
    card: Card
    file: Path

    @property
    def task(self) -> str:
        """Of the model."""
        return self.card.task

    @property
    def temperature(self) -> float:
        """Of a geolocator; 1 for the others."""
        return temperature_of(self.card) if isinstance(self.model, Geolocator) else 1.0

    @property
    def short_side(self) -> int | None:
        """Of photos that are not resized, only cut, in pixels; None for detectors."""
        seen = self.card.flavour.input
        return None if isinstance(self.model, Detector) else round(seen.size / seen.crop)

    def limits(self, *, resized: bool) -> Limits:
        """What an export may differ by.

        Args:
            resized: The photos are not of :attr:`short_side`. Of an antialiased resize a few
                pixels differ by one level of 255, which some networks notice.
        """
        if not isinstance(self.model, Detector):
            return Limits(value=_RESIZED) if resized else Limits()
        post = self.model.post
        return Limits(least=post.score_threshold, most=post.detections)

    def facts(self) -> dict[str, Any]:
        """What a float export tells of itself beside the card."""
        facts: dict[str, Any] = {
            "format": FORMAT,
            "precision": "float32",
            "torch": torch.__version__,
        }
        if isinstance(self.model, Detector):
            facts["post"] = asdict(self.model.post)
        if isinstance(self.model, AttributeNet):
            facts["thresholds"] = self.model.thresholds.tolist()
        if isinstance(self.model, Geolocator):
            cells = self.model.cells.cpu().numpy().astype("<i8")
            facts["cells"] = base64.b64encode(cells.tobytes()).decode()
        return facts

    def predict(self) -> Predict:
        """The suite's own way from photos to answers."""
        return _predictor(self.model, self.card, self.temperature)

    def graph(self, antialias: Antialias) -> PhotoGraph:
        """The model as one graph.

        Args:
            antialias: How the resize is written (see :mod:`tasks.export.resize`).
        """
        seen = self.card.flavour.input
        return make_graph(self.model, seen, antialias=antialias, temperature=self.temperature)

    def differences(
        self, photos: Sequence[Image], found: Sequence[Answer], *, resized: bool
    ) -> dict[str, float]:
        """How far an export's answers are from the model's, by output.

        Args:
            photos: That were asked about.
            found: The export's answers.
            resized: As of :meth:`limits`.

        Raises:
            InputError: If one is too far, naming output, photo and difference.
        """
        return compare(photos, self.predict()(photos), found, self.limits(resized=resized))


def open_source(args: Export) -> Source:
    """Load what is to be exported.

    Raises:
        InputError: If it is no model that can be.
    """
    cli.prepare(args.common)
    task = task_to_export(args.weights)
    if task == MULTITASK:
        raise InputError(
            f"{args.weights}: has several heads, and one is wanted here: name its file, "
            f"{HEADS_FOLDER}/NAME.safetensors of the run"
        )
    args.refuse_unless(DETECTOR_FLAGS if task == "detection" else (), task)
    model: Model
    if task == "detection":
        model, card = load_detector(args.weights, post=args.post)
    elif task == "classification":
        model, card = load_classifier(args.weights)
    elif task == "geolocation":
        model, _, card = load_geolocator(args.weights)
    elif task == "face_attributes":
        model, card = load_attribute_net(args.weights)
    elif task == "face_embedding":
        model, card = load_embedder(args.weights)
    else:
        raise InputError(f"{args.weights}: weights for {task} cannot be exported")
    return Source(model, card, args.weights)


def task_to_export(weights: Path) -> str:
    """Of a run folder or weights file.

    Raises:
        InputError: If it is none.
    """
    if is_export(weights):
        raise InputError(f"{weights}: is an export already; name the weights it came from")
    return read_card(weights).task


def _predictor(model: Model, card: Card, temperature: float) -> Predict:
    """Answers of a model by output name, as an export gives them."""
    seen, names = card.flavour.input, card.classes.names
    if isinstance(model, Detector):
        spec = model.spec
        warp = partial(fit_square, size=spec.size, keep_aspect=spec.keep_aspect)
        detector = Predictor(model, card.classes, "cpu", warp)

        def boxes(images: Sequence[Image]) -> list[Answer]:
            return [
                {name: found[name] for name in ("boxes", "scores", "labels")}
                for found in detector(images)
            ]

        return boxes
    fit = partial(
        centre_square, size=model.spec.size, crop=seen.crop, interpolation=seen.interpolation
    )
    if isinstance(model, FaceEmbedder):
        faces = FacePredictor(model, "cpu", fit)
        return lambda images: [{"embedding": vector} for vector in faces(images)]
    if isinstance(model, Geolocator):
        atlas = atlas_of(model.cells)
        places = GeoPredictor(model, atlas, "cpu", fit, DecodeSpec(), temperature)
        return lambda images: [
            {"probabilities": row} for row in softmax(places.logits(images) / temperature, axis=1)
        ]
    if isinstance(model, AttributeNet):
        traits = AttributePredictor(model, card.classes, "cpu", fit)
        return lambda images: [
            {
                "probabilities": _by_name(found.names, found.probabilities, names),
                "present": _by_name(found.names, found.present, names),
            }
            for found in traits(images)
        ]
    labels = LabelPredictor(model, card.classes, "cpu", fit)
    return lambda images: [
        {"probabilities": _by_name(*found, names)} for found in labels(images, len(names))
    ]


def _by_name(given: Sequence[str], values: Sequence[Any], names: Sequence[str]) -> Any:
    """Values that are told by name, in the order of the columns."""
    table = dict(zip(given, values, strict=True))
    return np.array([table[name] for name in names])
