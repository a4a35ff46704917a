"""TensorFlow's SSD300 MobileNet v1 (.tflite) as ours: every tensor checked, none guessed."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from backbone.formats.folded import FoldedConv, body_state, chain_alpha, conv_bn
from backbone.formats.network import BODY, BODY_CONVS
from backbone.formats.tflite import BOXES, TfliteModel, read_tflite, tflite_chain, tflite_flavour
from datasets.errors import InputError
from datasets.types import COCO_CLASSES, ClassMap
from tasks.detection.boxes import CODER_WEIGHTS
from tasks.detection.model import build_detector
from tasks.detection.spec import TASK, DetectorSpec, PostSpec
from tasks.detection.ssd import SSD
from tasks.detection.ssd_layout import MOBILENET
from tasks.weights.card import Card
from tasks.weights.file import load_into

# TensorFlow's box encodings are ty tx th tw; ours are dx dy dw dh.
BOX_ORDER = (1, 0, 3, 2)
_EXTRAS = 2 * len(MOBILENET.extras)  # Convolutions.
_LEVELS = len(MOBILENET.shapes)


def import_ssd(path: Path, classes: ClassMap | None = None) -> tuple[SSD, Card]:
    """Read the file into a detector.

    Args:
        path: Of the .tflite file.
        classes: Of its columns after the background column, with original ids; by default
            COCO's where there are 90, else they are only numbered.

    Raises:
        InputError: If the file is not that network, or a tensor of it does not fit.
    """
    source = read_tflite(path)
    boxes, scores = _predictors(source)
    extras = source.convs[BODY_CONVS : BODY_CONVS + _EXTRAS]
    columns = _columns(boxes, scores)
    if classes is None and columns == 1 + len(COCO_CLASSES):
        classes = COCO_CLASSES
    classes = classes or ClassMap.from_names([f"class {k}" for k in range(1, columns)])
    if len(classes) != columns - 1:
        raise InputError(
            f"{path}: {columns - 1} class columns, but {len(classes)} class names were given"
        )
    flavour = tflite_flavour(source, BODY_CONVS + len(extras))
    flavour = replace(flavour, input=replace(flavour.input, crop=1.0))
    spec = DetectorSpec(alpha=chain_alpha(tflite_chain(source)), size=source.input_shape[0])
    model = build_detector(spec, classes, flavour, post=_post(source))
    assert isinstance(model, SSD)
    _check_anchors(source, model.anchors)
    state = {f"{BODY}{k}": v for k, v in body_state(source.convs[:BODY_CONVS]).items()}
    for number, conv in enumerate(extras):
        state |= conv_bn(f"extras.{number // 2}.{number % 2}", conv)
    for level, (box, score) in enumerate(zip(boxes, scores, strict=True)):
        state |= _predictor(f"box_predictors.{level}", _reorder(box))
        state |= _predictor(f"class_predictors.{level}", score)
    load_into(model, state, str(path))
    card = Card(
        task=TASK,
        model=spec.to_json(),
        flavour=flavour,
        classes=classes,
        source=f"imported from {path.name} (TensorFlow Lite, dequantised)",
        folded=True,
    )
    return model.eval(), card


def _predictors(source: TfliteModel) -> tuple[list[FoldedConv], list[FoldedConv]]:
    """Box and class predictors of the six feature maps, finest first."""
    boxes = [conv for conv in source.convs if BOXES in conv.name]
    scores = [conv for conv in source.convs if "ClassPredictor" in conv.name]
    expected = BODY_CONVS + _EXTRAS + 2 * _LEVELS
    if (len(boxes), len(scores), len(source.convs)) != (_LEVELS, _LEVELS, expected):
        raise InputError(
            f"{source.path}: not an SSD MobileNet v1 of six feature maps: {len(source.convs)} "
            f"convolutions, {len(boxes)} box and {len(scores)} class predictors; a classifier is "
            "imported first, by tools/import_weights.py"
        )
    return boxes, scores


def _columns(boxes: list[FoldedConv], scores: list[FoldedConv]) -> int:
    """Class columns, background included."""
    anchors = sum(conv.weight.shape[0] for conv in boxes) // 4
    return sum(conv.weight.shape[0] for conv in scores) // anchors


def _predictor(name: str, conv: FoldedConv) -> dict[str, Tensor]:
    return {f"{name}.weight": conv.weight, f"{name}.bias": conv.bias}


def _reorder(conv: FoldedConv) -> FoldedConv:
    """Swap each anchor's four outputs to our order."""
    rows = conv.weight.shape[0] // 4
    order = torch.cat([4 * row + torch.tensor(BOX_ORDER) for row in range(rows)])
    return replace(conv, weight=conv.weight[order], bias=conv.bias[order])


def _post(source: TfliteModel) -> PostSpec:
    """The file's own NMS overlap; its ten detections and its score of 1e-8 are for phones."""
    names = ("x_scale", "y_scale", "w_scale", "h_scale")
    found = tuple(float(source.options.get(name, 0)) for name in names)
    if found != CODER_WEIGHTS:
        raise InputError(f"{source.path}: box coder {found}; ours is {CODER_WEIGHTS}")
    if "nms_iou_threshold" not in source.options:
        raise InputError(f"{source.path}: its post-processing tells no nms_iou_threshold")
    return PostSpec(nms_iou=round(float(source.options["nms_iou_threshold"]), 6))


def _check_anchors(source: TfliteModel, ours: Tensor) -> None:
    """Compare the file's anchors (cy cx h w, quantised) with ours (cx cy w h)."""
    theirs = source.constants.get("anchors")
    if theirs is None or theirs.shape != tuple(ours.shape):
        shape = None if theirs is None else theirs.shape
        raise InputError(f"{source.path}: anchors {shape}; ours are {tuple(ours.shape)}")
    difference = float(np.abs(theirs[:, BOX_ORDER] - ours.numpy()).max())
    step = float(np.diff(np.unique(theirs)).min())
    if difference > step:
        raise InputError(f"{source.path}: anchors differ from ours by {difference:.3f}")
