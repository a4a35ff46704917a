"""What is timed: models and exports whose stages can be told apart, from a photo's file on."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from backbone.cost import Cost, count_cost
from backbone.layers import fold_batchnorm
from configs.common import Common
from configs.deploy import Export
from datasets.images import Image, decode_image
from datasets.squares import centre_square, fit_square
from tasks.body_spec import ClassifierSpec
from tasks.detection.faster_rcnn import FasterRCNN
from tasks.detection.model import Detector, detector_cost
from tasks.detection.postprocess import postprocess
from tasks.detection.spec import DetectorSpec
from tasks.detection.ssd import SSD
from tasks.face_embedding.load import TASK as FACE_EMBEDDING
from tasks.face_embedding.load import embedder_spec
from tasks.geolocation.load import TASK as GEOLOCATION
from tasks.photo_graph import Model, make_graph
from tasks.runtime.exported import Exported
from tasks.runtime.open import is_export, open_export
from tasks.timing.latency import Stages
from tasks.timing.profile import NETWORK, POST, PREPROCESS
from tasks.weights.card import Card
from tasks.weights.file import spec_of
from tools.classification.recipe import classifier_cost
from tools.face_embedding.recipe import embedder_cost
from tools.flows.source import Source, open_source

DECODE, GRAPH = "decode", "graph"
_BY_HAND = "stages timed one by one"


@dataclass(frozen=True)
class Subject:
    """A model, ready to be timed.

    Attributes:
        name: For people.
        runtime: ``PyTorch``, ``ONNX Runtime``, ...
        precision: ``float32`` or ``int8``.
        task: Of the model.
        run: Times one photo, from its file's bytes to the answer, by stage.
        answer: Answers for decoded photos (H, W, 3) of one size.
        mult_adds: Of the network, for one photo; 0 where unknown.
        most: Photos that it takes at once; 0 for any number.
        inside: How its stages are told apart.
        file: Export that ONNX Runtime can profile.
    """

    name: str
    runtime: str
    precision: str
    task: str
    run: Callable[[bytes], Stages]
    answer: Callable[[list[Image]], object]
    mult_adds: int = 0
    most: int = 0
    inside: str = _BY_HAND
    file: Path | None = None


class Watch:
    """Seconds since the last stage's end."""

    def __init__(self) -> None:
        self.stages: Stages = {}
        self._last = time.perf_counter()

    def stop(self, stage: str) -> None:
        """End a stage."""
        now = time.perf_counter()
        self.stages[stage] = now - self._last
        self._last = now


def open_subject(path: Path, common: Common, threads: int) -> Subject:
    """A run folder, weights file or export, ready to be timed.

    Raises:
        InputError: If it cannot be used.
    """
    if is_export(path):
        return export_subject(path, threads)
    return source_subject(load_source(path, common))


def load_source(path: Path, common: Common) -> Source:
    """A model of a run folder or weights file, as it would be exported.

    Raises:
        InputError: If it cannot be used.
    """
    return open_source(Export(weights=path, common=replace(common, out=None)))


def export_subject(path: Path, threads: int) -> Subject:
    """An export: decoding, and the graph as one."""
    exported = open_export(path, threads)

    def run(data: bytes) -> Stages:
        watch = Watch()
        photo = decode_image(data, path, upright=True)
        watch.stop(DECODE)
        exported([photo])
        watch.stop(GRAPH)
        return watch.stages

    onnx = path.suffix == ".onnx"
    return Subject(
        name=str(path),
        runtime="ONNX Runtime" if onnx else "OpenVINO",
        precision=exported.precision,
        task=exported.task,
        run=run,
        answer=exported,
        mult_adds=cost_of_export(exported),
        most=1 if exported.single else 0,
        inside="stages by the runtime's profile" if onnx else "the graph as one",
        file=path if onnx else None,
    )


def source_subject(source: Source) -> Subject:
    """A model in PyTorch, as predict.py runs it: batch norm folded, channels last."""
    model = fold_batchnorm(source.model)
    model.to(memory_format=torch.channels_last)
    fit, post = fit_of(source), _post_of(source)
    two_stage = isinstance(model, FasterRCNN)
    call: Callable[[Tensor], Any] = model if isinstance(model, FasterRCNN) else model.raw

    @torch.inference_mode()
    def run(data: bytes) -> Stages:
        watch = Watch()
        photo = decode_image(data, source.file, upright=True)
        watch.stop(DECODE)
        pixels = torch.from_numpy(np.stack([fit(photo)])).permute(0, 3, 1, 2)
        watch.stop(PREPROCESS)
        raw = call(pixels)
        watch.stop(NETWORK)
        post(raw)
        watch.stop(POST)
        return watch.stages

    return Subject(
        name=str(source.file),
        runtime="PyTorch",
        precision="float32",
        task=source.task,
        run=run,
        answer=source.predict(),
        mult_adds=cost_of(source.model).mult_adds,
        inside="its NMS counts to the network" if two_stage else _BY_HAND,
    )


def fit_of(source: Source) -> Callable[[Image], Image]:
    """How a photo becomes the model's square input, outside a graph."""
    spec, seen = source.model.spec, source.card.flavour.input
    if isinstance(spec, DetectorSpec):
        return partial(fit_square, size=spec.size, keep_aspect=spec.keep_aspect)
    return partial(centre_square, size=spec.size, crop=seen.crop, interpolation=seen.interpolation)


def _post_of(source: Source) -> Callable[[Any], object]:
    """What follows the network: to arrays of the answer."""
    model = source.model
    if isinstance(model, SSD):
        anchors, post = model.anchors, model.post
        return lambda raw: [part.numpy() for part in postprocess(raw[0], raw[1], anchors, post)]
    if isinstance(model, FasterRCNN):
        return lambda found: [part.numpy() for part in found]
    graph = make_graph(model, source.card.flavour.input, temperature=source.temperature)
    return lambda raw: [part.numpy() for part in graph.decode(raw)]


def cost_of(model: Model) -> Cost:
    """Mult-adds and parameters of a model for one photo."""
    shape = (1, 3, model.spec.size, model.spec.size)
    if isinstance(model, Detector):
        return count_cost(model, shape, lambda m, x: m.network(x))
    return count_cost(model, shape, lambda m, x: m.raw(x))


def cost_of_export(exported: Exported) -> int:
    """Mult-adds of an export for one photo, by its card; of several heads as it tells itself."""
    card: Card = exported.card
    if exported.heads:
        return int(exported.facts["mult_adds"])
    if card.task == "detection":
        cost = detector_cost(spec_of(card, DetectorSpec, exported.path), len(card.classes))
    elif card.task == FACE_EMBEDDING:
        cost = embedder_cost(embedder_spec(card, exported.path))
    else:
        outputs = len(exported.cells) if card.task == GEOLOCATION else len(card.classes)
        cost = classifier_cost(spec_of(card, ClassifierSpec, exported.path), outputs)
    return cost.mult_adds
