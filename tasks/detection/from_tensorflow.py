"""Imports TensorFlow's SSD300 MobileNet v1 from a checkpoint or a frozen graph."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from backbone.flavour import Flavour, InputSpec
from backbone.formats.graph_def import read_constants
from backbone.formats.network import LAST, STEM, find_alpha
from backbone.formats.slim import LAYOUT, own_name, to_torch
from backbone.formats.tf_bundle import find_bundle, read_bundle
from datasets.errors import InputError
from datasets.types import ClassMap
from tasks.detection.from_tflite import BOX_ORDER, classes_of
from tasks.detection.model import build_detector
from tasks.detection.spec import TASK, DetectorSpec, PostSpec
from tasks.detection.ssd import SSD
from tasks.detection.ssd_layout import MOBILENET
from tasks.weights.card import Card
from tasks.weights.file import load_into

SIZE = 300
_SIGN = "BoxPredictor_0/ClassPredictor/weights"
# Names end with the width, which depends on the multiplier.
_EXTRA = re.compile(r".*/Conv2d_13_pointwise_([12])_Conv2d_([2-5])_(?:1x1|3x3_s2)_\d+/(.+)")
_PREDICTOR = re.compile(
    r"(?:.*/)?BoxPredictor_([0-5])/(BoxEncoding|Class)Predictor/(weights|biases)"
)
_OF_BODY = {theirs: ours for ours, theirs in LAYOUT.names.items()}
_PARTS = {
    "weights": "conv.weight",
    "BatchNorm/gamma": "bn.weight",
    "BatchNorm/beta": "bn.bias",
    "BatchNorm/moving_mean": "bn.running_mean",
    "BatchNorm/moving_variance": "bn.running_var",
    "biases": "bias",
}


def is_tensorflow_detector(path: Path) -> bool:
    """Whether a path is a checkpoint or a frozen graph with SSD's predictors.

    Args:
        path: Path to check.

    Raises:
        InputError: If it is damaged.
    """
    index = find_bundle(path)
    if index is not None:
        return any(name.endswith(_SIGN) for name in read_bundle(index, lambda _: False)[1])
    return (
        path.suffix == ".pb"
        and path.is_file()
        and any(name.endswith(_SIGN) for name in read_constants(path))
    )


def import_tensorflow_ssd(path: Path, classes: ClassMap | None = None) -> tuple[SSD, Card]:
    """Import such a file as a detector of 300 pixels, TensorFlow's only one with this body.

    Args:
        path: Checkpoint or frozen graph.
        classes: Classes of its outputs after the background, with original ids; by default COCO's
            if there are 90, otherwise they are numbered.

    Raises:
        InputError: If the file is not that network, or a tensor does not fit.
    """
    index = find_bundle(path)
    arrays: Mapping[str, NDArray[Any]] = (
        read_constants(path)
        if index is None
        else read_bundle(index, lambda name: _our_name(name) is not None)[0]
    )
    state: dict[str, Tensor] = {}
    for name, value in arrays.items():
        ours = _our_name(name)
        if ours is not None:
            depthwise = name.endswith("depthwise_weights")
            tensor = to_torch(np.array(value, np.float32), depthwise=depthwise)
            state[ours] = _reordered(path, tensor) if ours.startswith("box_") else tensor
    norms = [key.removesuffix("running_var") for key in state if key.endswith("running_var")]
    state |= {f"{norm}num_batches_tracked": torch.tensor(0) for norm in norms}
    lacking = [key for key in (STEM, LAST, "class_predictors.0.bias") if key not in state]
    if lacking:
        raise InputError(f"{path}: not an SSD MobileNet v1: it has nothing for our {lacking[0]!r}")
    columns = state["class_predictors.0.bias"].numel() // len(MOBILENET.shapes[0])
    classes = classes_of(path, columns, classes)
    flavour = Flavour("same", 1e-3, "relu6", InputSpec(size=SIZE, crop=1.0))
    spec = DetectorSpec(alpha=find_alpha(str(path), state), size=SIZE)
    model = build_detector(spec, classes, flavour, post=PostSpec(nms_iou=0.6))
    assert isinstance(model, SSD)
    load_into(model, state, str(path))
    kind = "TensorFlow graph" if index is None else "TensorFlow checkpoint"
    source = f"imported from {path.name} ({kind})"
    card = Card(TASK, spec.to_json(), flavour, classes, source=source)
    return model.eval(), card


def _our_name(name: str) -> str | None:
    """The suite's name of one of the file's tensors; None for others, such as an optimiser's."""
    if own_name(name) in _OF_BODY:
        return _OF_BODY[own_name(name)]
    extra, predictor = _EXTRA.fullmatch(name), _PREDICTOR.fullmatch(name)
    if extra is not None and extra[3] in _PARTS:
        return f"extras.{int(extra[2]) - 2}.{int(extra[1]) - 1}.{_PARTS[extra[3]]}"
    if predictor is not None:
        kind = "box" if predictor[2] == "BoxEncoding" else "class"
        part = "weight" if predictor[3] == "weights" else "bias"
        return f"{kind}_predictors.{predictor[1]}.{part}"
    return None


def _reordered(path: Path, rows: Tensor) -> Tensor:
    """Each anchor's four outputs in the suite's order."""
    if len(rows) % 4:
        raise InputError(
            f"{path}: a box predictor of {len(rows)} outputs, which are not four a box"
        )
    return rows.view(-1, 4, *rows.shape[1:])[:, BOX_ORDER].flatten(0, 1)
