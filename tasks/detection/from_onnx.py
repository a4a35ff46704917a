"""Imports TensorFlow's SSD300 MobileNet v1 from tf2onnx, and compares it with the file.

The graph around the network (resizing in a loop, NMS) is ignored: only the sequence of
convolutions from the image on, and the two predictors on each of six maps, are read.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import torch
from torch import Tensor

from backbone.flavour import Flavour, InputSpec
from backbone.formats.folded import (
    EPS,
    STRIDES,
    Chain,
    FoldedConv,
    as_same,
    body_state,
    chain_alpha,
    chain_conventions,
    conv_bn,
)
from backbone.formats.graph import Row, Step, gather, refuse_pools, scaling
from backbone.formats.network import BODY, BODY_CONVS, refuse_kin
from backbone.formats.onnx import all_steps, reading
from datasets.errors import InputError
from datasets.types import ClassMap
from tasks.detection.from_tflite import BOX_ORDER, classes_of, reorder
from tasks.detection.model import build_detector
from tasks.detection.spec import TASK, DetectorSpec, PostSpec
from tasks.detection.ssd import SSD
from tasks.detection.ssd_layout import MOBILENET
from tasks.weights.card import Card
from tasks.weights.file import load_into

_SIZE = 300
_EXTRAS = 2 * len(MOBILENET.extras)
# Positions in the sequence of the convolutions that the predictors read: block 11's, 13's, each
# extra's.
_TAPS = (22, *range(BODY_CONVS - 1, BODY_CONVS + _EXTRAS, 2))
_BOXES, _OUTPUT = "BoxEncodingPredictor", "detection_boxes"


@dataclass(frozen=True)
class _Parts:
    """A detector's convolutions, and the tensors with the outputs of the predictors."""

    trunk: Sequence[FoldedConv]
    boxes: list[FoldedConv]
    scores: list[FoldedConv]
    box_tensors: list[str]
    score_tensors: list[str]
    row: Row


def is_onnx_detector(path: Path) -> bool:
    """Whether a path is an ONNX file with the names of TensorFlow's Object Detection.

    Args:
        path: Path to check.

    Raises:
        InputError: If it is damaged.
    """
    if path.suffix != ".onnx" or not path.is_file():
        return False
    with reading(path):
        graph = onnx.load(path, load_external_data=False).graph
        # A name that is no UTF-8 comes as bytes.
        return any(one.name.startswith(_OUTPUT) for one in graph.output) or any(
            _BOXES in name for node in graph.node for name in (node.name, *node.output)
        )


def import_onnx_ssd(path: Path, classes: ClassMap | None = None) -> tuple[SSD, Card]:
    """Import such a file as a detector of 300 pixels.

    Args:
        path: The file.
        classes: Classes of its outputs after the background, with original ids; by default COCO's
            if there are 90, otherwise they are numbered.

    Raises:
        InputError: If the file is not that network, or a tensor does not fit.
    """
    with reading(path):
        parts = _read(path, onnx.load(path).graph)
        mean, std, _ = scaling(parts.row, bytes_in=True)
    columns = len(parts.scores[0].weight) // len(MOBILENET.shapes[0])
    classes = classes_of(path, columns, classes)
    padding, activation = chain_conventions(path, parts.trunk)
    # A graph that scales images inside its loop is TensorFlow's as well: -1..1.
    given = InputSpec(size=_SIZE, crop=1.0)
    if parts.row.factor is not None and mean is not None and std is not None:
        given = InputSpec(size=_SIZE, crop=1.0, mean=mean, std=std)
    flavour = Flavour(padding, EPS, activation, given)  # type: ignore[arg-type]
    alpha = chain_alpha(Chain(path, "ONNX", parts.trunk, (_SIZE, _SIZE, 3)))
    spec = DetectorSpec(alpha=alpha, size=_SIZE)
    model = build_detector(spec, classes, flavour, post=PostSpec(nms_iou=0.6))
    assert isinstance(model, SSD)
    load_into(model, _state(parts), str(path))
    source = f"imported from {path.name} (ONNX)"
    card = Card(TASK, spec.to_json(), flavour, classes, source=source, folded=True)
    return model.eval(), card


def compare_onnx(path: Path, model: SSD, images: Tensor) -> tuple[float, float]:
    """Largest difference of any score, and of any box offset, between the file and its import.

    The file itself runs in ONNX Runtime, including its preprocessing; the outputs of its
    predictors are read before its NMS.

    Args:
        path: Path of the file.
        model: Its import, in evaluation mode.
        images: (B, 3, 300, 300) uint8.

    Raises:
        InputError: If ONNX Runtime cannot run it like this.
    """
    import onnxruntime

    with reading(path):
        file = onnx.load(path)
        parts = _read(path, file.graph)
    names = [*parts.score_tensors, *parts.box_tensors]
    shown = {one.name for one in file.graph.output}
    file.graph.output.extend(onnx.ValueInfoProto(name=name) for name in names if name not in shown)
    quiet = onnxruntime.SessionOptions()
    quiet.log_severity_level = 4
    scores, offsets = [], []
    try:
        session = onnxruntime.InferenceSession(
            file.SerializeToString(), quiet, providers=["CPUExecutionProvider"]
        )
        (entry,) = session.get_inputs()
        kind = np.uint8 if "uint8" in entry.type else np.float32
        for image in images.permute(0, 2, 3, 1).numpy().astype(kind):
            maps = session.run(names, {entry.name: image[None]})
            levels = len(parts.scores)
            scores.append(_rows(maps[:levels], parts.scores, 1 + model.num_classes))
            offsets.append(_rows(maps[levels:], parts.boxes, 4))
    except Exception as error:  # The runtime has many kinds of its own.
        told = str(error).partition("\n")[0][:160]
        raise InputError(f"{path}: ONNX Runtime cannot run it ({told})") from error
    with torch.inference_mode():
        logits, moves = model.raw(images)
    theirs = torch.stack(offsets)[..., BOX_ORDER]
    return (
        float((torch.stack(scores).sigmoid() - logits.sigmoid()).abs().max()),
        float((theirs - moves).abs().max()),
    )


def _rows(maps: Sequence[Any], convs: Sequence[FoldedConv], columns: int) -> Tensor:
    """Predictors' maps (1, n * columns, H, W), or with channels last, as (anchors, columns)."""
    found = [torch.from_numpy(one) for one in maps]
    last = [
        one if one.shape[-1] == len(conv.weight) else one.permute(0, 2, 3, 1)
        for one, conv in zip(found, convs, strict=True)
    ]
    return torch.cat([one.reshape(-1, columns) for one in last])


def _read(path: Path, graph: Any) -> _Parts:
    steps = all_steps(graph)
    row = gather(steps, _photo(steps))
    refuse_pools(path, row, len(row.convs))
    trunk = _trunk(row)
    taps = [trunk[k] for k in _TAPS] if len(trunk) == BODY_CONVS + _EXTRAS else []
    ends = [[k for k, s in enumerate(row.sources) if s == t and k not in trunk] for t in taps]
    convs = [row.convs[k] for k in trunk]
    if not taps or any(len(end) != 2 for end in ends):
        refuse_kin(str(path), [len(c.weight[0, 0]) for c in row.convs if c.depthwise])
        raise InputError(
            f"{path}: not an SSD MobileNet v1 of six maps: {len(trunk)} convolutions in a row "
            f"(of {len(row.convs)}), where {BODY_CONVS + _EXTRAS} and two predictors on each map "
            "are expected"
        )
    if [conv.stride for conv in convs] != [*STRIDES, *(1, 2) * (_EXTRAS // 2)]:
        raise InputError(f"{path}: not an SSD MobileNet v1: other strides")
    kept = [step for step in steps if step.kind == "conv"]
    labels = {name: f"{node.name} {name}" for node in graph.node for name in node.output}
    pairs = []
    for level, (one, other) in enumerate(ends):
        wide = 4 * len(MOBILENET.shapes[level])
        fits = [k for k in (one, other) if len(row.convs[k].weight) == wide]
        if len(fits) > 1:  # Three classes and background: only names tell.
            fits = [k for k in fits if _BOXES in labels[kept[k].result]]
        if len(fits) != 1:
            found = " and ".join(f"{len(row.convs[k].weight)}" for k in (one, other))
            raise InputError(
                f"{path}: the predictors of map {level} have {found} outputs: which of them has "
                f"the {wide} of its boxes is unknown"
            )
        pairs.append((fits[0], one + other - fits[0]))
    return _Parts(
        as_same(convs, _SIZE),
        [row.convs[box] for box, _ in pairs],
        [row.convs[score] for _, score in pairs],
        [_end(steps, kept[box]) for box, _ in pairs],
        [_end(steps, kept[score]) for _, score in pairs],
        row,
    )


def _photo(steps: Sequence[Step]) -> str:
    """The tensor at the beginning of the arithmetic before the first convolution."""
    makers = {step.result: step for step in reversed(steps)}
    first = next(step for step in steps if step.kind == "conv")
    name = first.source
    while name in makers and makers[name].kind in ("affine", "idle", "pad"):
        name = makers[name].source
    return name


def _trunk(row: Row) -> list[int]:
    """The convolutions that feed one another; the others are predictors."""
    feeding = set(row.sources)
    trunk: list[int] = []
    for k, source in enumerate(row.sources):
        if k in feeding and source == (trunk[-1] if trunk else -1):
            trunk.append(k)
    return trunk


def _end(steps: Sequence[Step], conv: Step) -> str:
    """The tensor that holds a predictor's values with their bias."""
    seen, end = {conv.result}, conv.result
    for step in steps:
        if step.source in seen and step.kind in ("affine", "idle"):
            seen.add(step.result)
            end = step.result if step.kind == "affine" else end
    return end


def _state(parts: _Parts) -> dict[str, Tensor]:
    state = {f"{BODY}{k}": v for k, v in body_state(parts.trunk[:BODY_CONVS]).items()}
    for number, conv in enumerate(parts.trunk[BODY_CONVS:]):
        state |= conv_bn(f"extras.{number // 2}.{number % 2}", conv)
    for level, (box, score) in enumerate(zip(parts.boxes, parts.scores, strict=True)):
        for name, conv in (("box", reorder(box)), ("class", score)):
            state[f"{name}_predictors.{level}.weight"] = conv.weight
            state[f"{name}_predictors.{level}.bias"] = conv.bias
    return state
