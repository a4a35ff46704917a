"""Models and exports to time, with separate stages, starting from an image's file."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from backbone.layers import fold_batchnorm
from configs.common import Common
from configs.deploy import Export
from datasets.images import Image, decode_image
from tasks.application import Halves
from tasks.applications import photo_application
from tasks.predictor import frame_of, rows_of
from tasks.runtime.exported import Exported
from tasks.runtime.open import open_export
from tasks.runtime.runtimes import runtime_of
from tasks.timing import NETWORK, POST, PREPROCESS, Stages
from tools.flows.source import Source, open_source
from tools.speed.accuracies import Shape

DECODE, GRAPH = "decode", "graph"
_BY_HAND = "stages timed one by one"


@dataclass(frozen=True)
class Subject:
    """A model, ready to be timed.

    Attributes:
        name: Name for tables and reports.
        runtime: ``PyTorch``, ``ONNX Runtime``, ...
        precision: ``float32`` or ``int8``.
        task: Task of the model.
        run: Function that times one image, from its file's bytes to the answer, by stage.
        answer: Function that answers for decoded images (H, W, 3) of one size.
        mult_adds: Mult-adds of the network for one image; 0 if unknown.
        most: Largest number of images that it takes at once; 0 for any number.
        inside: How its stages are separated.
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


def staged(
    file: str | Path, steps: Mapping[str, Callable[[Any], Any]]
) -> Callable[[bytes], Stages]:
    """A function that times an image from its file's bytes on: decoding, then the given steps."""
    steps = {DECODE: partial(decode_image, path=file, upright=True), **steps}

    @torch.inference_mode()
    def run(data: bytes) -> Stages:
        value: Any = data
        stages: Stages = {}
        begun = time.perf_counter()
        for name, step in steps.items():
            value = step(value)
            now = time.perf_counter()
            stages[name], begun = now - begun, now
        return stages

    return run


def load_source(path: Path, common: Common) -> Source:
    """A run or weights file, as it would be exported. Raises InputError if it cannot be used."""
    return open_source(Export(weights=path, common=replace(common, out=None)))


def random_source(shape: Shape, seed: int = 0) -> Source:
    """A network of the paper with random weights. Raises InputError if it cannot be built."""
    torch.manual_seed(seed)
    network = shape.application.network()
    model, card = network.example(shape.alpha, shape.size, shape.variant)
    card = replace(card, source="random weights, to measure time alone")
    return Source(model.eval(), card, Path("random weights"))


def export_subject(path: Path, threads: int) -> Subject:
    """An export: decoding, and the graph as one."""
    exported, runtime = open_export(path, threads), runtime_of(path)
    assert runtime is not None
    onnx = runtime.target == "onnx"
    return Subject(
        name=str(path),
        runtime=runtime.title,
        precision=exported.precision,
        task=exported.task,
        run=staged(path, {GRAPH: lambda photo: exported([photo])}),
        answer=exported,
        mult_adds=_cost_of_export(exported),
        most=1 if exported.single else 0,
        inside="stages by the runtime's profile" if onnx else "the graph as one",
        file=path if onnx else None,
    )


def source_subject(source: Source) -> Subject:
    """A model in PyTorch, as predict.py runs it: batch norm folded, channels last."""
    model = fold_batchnorm(source.model)
    model.to(memory_format=torch.channels_last)
    network, card = source.application.network(), source.card
    fit = network.view.square(card)
    # What it does in two steps; everything is in the first if nothing follows.
    halves = (
        network.halves(model)
        if network.halves
        else Halves(partial(network.run, model), lambda raw: raw)
    )

    def preprocess(photo: Image) -> tuple[Image, Tensor]:
        return photo, torch.from_numpy(np.stack([fit(photo)])).permute(0, 3, 1, 2)

    def decode(photo_and_raw: tuple[Image, Any]) -> object:
        photo, raw = photo_and_raw
        frame = frame_of([(photo.shape[1], photo.shape[0])])
        return rows_of(network.decode(model, card, halves.rest(raw), frame))

    steps: dict[str, Callable[[Any], Any]] = {
        PREPROCESS: preprocess,
        NETWORK: lambda found: (found[0], halves.layers(found[1])),
        POST: decode,
    }
    return Subject(
        name=str(source.file),
        runtime="PyTorch",
        precision="float32",
        task=source.task,
        run=staged(source.file, steps),
        answer=source.predict(),
        mult_adds=source.cost().mult_adds,
        inside=f"{halves.note} counts to the network" if halves.note else _BY_HAND,
    )


def _cost_of_export(exported: Exported) -> int:
    """Mult-adds of an export for one image, by its card; with several heads by its own facts."""
    if exported.heads:
        return int(exported.facts["mult_adds"])
    network = photo_application(exported.task, exported.path).network()
    return network.cost(exported.card, exported.facts, exported.path).mult_adds
