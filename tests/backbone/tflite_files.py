"""Small random MobileNets as TensorFlow Lite files: classifiers, whole and in two, and SSD."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from backbone.flavour import Flavour
from backbone.formats.network import CONVS
from tasks.detection.anchors import CODER_WEIGHTS
from tasks.detection.from_tflite import BOX_ORDER
from tasks.detection.spec import DetectorSpec
from tasks.detection.ssd import SSD
from tests.backbone.foreign import random_state
from tests.backbone.tflite_writer import LINEAR, TfliteGraph

# A sixteenth, so that widths come out whole: 8 to 64 channels.
ALPHA = 0.0625
EPS = 1e-3
SIZE = 64
SSD_SIZE = 96
# Ranges of bytes between 0 and 2, and between -1 and 1.
PREPARED = ((2 / 255, 0), (2 / 255, 128))
_HIDDEN = 7


def folded(state: Mapping[str, Tensor], name: str) -> tuple[Tensor, Tensor]:
    """Weight and bias of a convolution of ours with its batch norm folded in."""
    norm = {k: state[f"{name}.bn.{k}"] for k in ("weight", "bias", "running_mean", "running_var")}
    factor = norm["weight"] / (norm["running_var"] + EPS).sqrt()
    weight = state[f"{name}.conv.weight"] * factor[:, None, None, None]
    return weight, norm["bias"] - norm["running_mean"] * factor


def add_body(
    graph: TfliteGraph,
    state: Mapping[str, Tensor],
    *,
    relu6: bool,
    photo: int | None = None,
    average_before: str = "",
) -> dict[int, int]:
    """The 27 convolutions; the last tensor of each stride.

    Args:
        graph: To add to.
        state: In our names.
        relu6: Whether activations are fused into them.
        photo: What the first of them reads, by default the input.
        average_before: One of them that reads averages.
    """
    x, stride, maps = graph.input if photo is None else photo, 1, {}
    for conv in CONVS:
        x = graph.average(x, "average") if conv == average_before else x
        weight, bias = folded(state, f"body.layers.{conv}")
        step = 2 if conv in ("0", *(f"{k}.depthwise" for k in (2, 4, 6, 12))) else 1
        x = graph.conv(x, weight, bias, name=f"Conv2d_{conv}", stride=step, relu6=relu6)
        stride *= step
        maps[stride] = x
    return maps


def write_classifier(
    path: Path,
    *,
    columns: int = 6,
    quantised: bool = True,
    alpha: float = ALPHA,
    size: int = SIZE,
    headless: bool = False,
    entry: tuple[float, int] = (1 / 128, 128),
    signed: bool = False,
    weights: str = "float32",
    before: Sequence[tuple[str, Any]] = (),
    channels_first: bool = False,
    hidden: Sequence[str] | None = None,
    average_before: str = "",
) -> dict[str, Tensor]:
    """A classifier in a file, in floats with a fully connected layer; its state in our names.

    Args:
        path: To write.
        columns: Of the classifier; one ends in a sigmoid.
        quantised: Whether it computes in bytes; ``signed`` and ``entry`` as the writer has them.
        alpha: Width multiplier.
        size: Of the input.
        headless: Whether it ends with the pooled features.
        entry: Quantisation of a photo.
        signed: Whether bytes count from -128.
        weights: As the writer has it.
        before: Arithmetic on photos, (kind, number).
        channels_first: Whether photos are (1, 3, size, size).
        hidden: Operators behind a layer of 7 columns that stands before the last one.
        average_before: As of :func:`add_body`.
    """
    state = random_state(columns, alpha)
    shape = (1, 3, size, size) if channels_first else (1, size, size, 3)
    kept = {"entry": entry, "signed": signed, "weights": weights}
    graph = TfliteGraph(shape, quantised=quantised, **kept)  # type: ignore[arg-type]
    x = graph.channels_last(graph.input) if channels_first else graph.input
    for number, (code, value) in enumerate(before):
        x = graph.arithmetic(x, code, value, f"before{number}", PREPARED[min(number, 1)])
    # In bytes the range of 0 to 6 activates alone, as in TensorFlow's files.
    given = {"relu6": not quantised, "photo": x}
    maps = add_body(graph, state, average_before=average_before, **given)  # type: ignore[arg-type]
    pooled = graph.pool(maps[32])
    if not headless:
        _add_head(graph, pooled, state, hidden)
    graph.write(path)
    return state


def write_grey(path: Path) -> Path:
    """A network of grey pictures that begins with a depthwise convolution of 8 outputs."""
    state = random_state(0, ALPHA)
    graph = TfliteGraph((1, SIZE, SIZE, 1), quantised=True)
    x = graph.conv(graph.input, torch.ones(8, 1, 3, 3), torch.ones(8), name="first", stride=2,
                   as_depthwise=True)  # fmt: skip
    for conv in CONVS[1:]:
        weight, bias = folded(state, f"body.layers.{conv}")
        x = graph.conv(x, weight, bias, name=f"Conv2d_{conv}")
    return graph.write(path)


def write_head(path: Path, *, columns: int = 6) -> Path:
    """The last layers of such a classifier, which take up where a headless one ends."""
    state = random_state(columns, ALPHA)
    width = state["head.2.weight"].shape[1]
    graph = TfliteGraph((1, 1, 1, width), quantised=True, entry=(6 / 255, 0))
    _add_head(graph, graph.input, state)
    return graph.write(path)


def _add_head(
    graph: TfliteGraph,
    pooled: int,
    state: Mapping[str, Tensor],
    hidden: Sequence[str] | None = None,
) -> None:
    weight, bias = state["head.2.weight"], state["head.2.bias"]
    columns, width = weight.shape
    if graph.quantised:
        weight = weight[:, :, None, None]
        x = graph.conv(pooled, weight, bias, name="Logits/Conv2d_1c_1x1", range_=LINEAR)
        x = graph.reshape(x, (1, columns), "Logits/SpatialSqueeze")
    else:
        x = graph.reshape(pooled, (1, width), "Logits/Flatten")
        if hidden is not None:
            rng = torch.Generator().manual_seed(1)
            first = torch.randn(_HIDDEN, width, generator=rng) / width**0.5
            x = graph.dense(x, first, torch.ones(_HIDDEN), name="Hidden/Dense")
            for code in hidden:
                x = graph.plain(x, code, code)
            weight = torch.randn(columns, _HIDDEN, generator=rng)
        x = graph.dense(x, weight, bias, name="Logits/Dense")
    graph.probabilities(x, "Predictions/Reshape_1", softmax=columns > 1)


def write_ssd(path: Path, *, classes: int = 90, signed: bool = False) -> SSD:
    """TensorFlow's SSD with its own post-processing, in bytes; the same network as ours."""
    model = random_ssd(classes)
    state = model.state_dict()
    graph = TfliteGraph((1, SSD_SIZE, SSD_SIZE, 3), quantised=True, signed=signed)
    maps = add_body(graph, state, relu6=False)
    taps = [maps[16], maps[32]]
    for number in range(len(model.extras)):
        x = taps[-1]
        for part in range(2):
            weight, bias = folded(state, f"extras.{number}.{part}")
            name = f"Extra_{number}_{part}"
            # Another range than 0 to 6: here the fused activation alone tells.
            x = graph.conv(
                x, weight, bias, name=name, stride=1 + part, range_=(0.03, 0), relu6=True
            )
        taps.append(x)
    boxes, scores = [], []
    for level, x in enumerate(taps):
        prefix = f"BoxPredictor_{level}"
        weight, bias = (_reordered(state[f"box_predictors.{level}.{k}"]) for k in _BOTH)
        box = graph.conv(x, weight, bias, name=f"{prefix}/BoxEncodingPredictor", range_=LINEAR)
        count = weight.shape[0] // 4 * graph.shape(x)[1] * graph.shape(x)[2]
        boxes.append(graph.reshape(box, (1, count, 4), f"{prefix}/Reshape"))
        weight, bias = (state[f"class_predictors.{level}.{k}"] for k in _BOTH)
        score = graph.conv(x, weight, bias, name=f"{prefix}/ClassPredictor", range_=LINEAR)
        scores.append(graph.reshape(score, (1, count, 1 + classes), f"{prefix}/Reshape_1"))
    _add_post(graph, boxes, scores, model, classes)
    graph.write(path)
    return model


_BOTH = ("weight", "bias")


def _add_post(
    graph: TfliteGraph, boxes: list[int], scores: list[int], model: SSD, classes: int
) -> None:
    encodings = graph.concatenate(boxes, 1, "Squeeze")
    logits = graph.concatenate(scores, 1, "concat_1")
    converted = graph.probabilities(logits, "convert_scores", softmax=False)
    if graph.signed:  # The operator takes floats or unsigned bytes.
        encodings = graph.dequantise(encodings, "Squeeze/floats")
        converted = graph.dequantise(converted, "convert_scores/floats")
    anchors = model.anchors[:, BOX_ORDER].numpy()
    table = graph.constant("anchors", anchors, float(anchors.max()) / 255)
    x, y, w, h = CODER_WEIGHTS
    options = {"x_scale": x, "y_scale": y, "w_scale": w, "h_scale": h, "num_classes": classes}
    options |= {"max_detections": 10, "max_classes_per_detection": 1}
    options |= {"nms_iou_threshold": 0.6, "nms_score_threshold": 1e-8}
    graph.custom("TFLite_Detection_PostProcess", [encodings, converted, table], 4, options)


def _reordered(rows: Tensor) -> Tensor:
    """Each anchor's four outputs in TensorFlow's order; the swap is its own inverse."""
    return rows.view(-1, 4, *rows.shape[1:])[:, BOX_ORDER].flatten(0, 1)


def random_ssd(classes: int) -> SSD:
    """A detector whose scores are spread over 0 to 1."""
    model = SSD(DetectorSpec(alpha=ALPHA, size=SSD_SIZE), classes, Flavour()).eval()
    state = {k: v for k, v in random_state(0, ALPHA).items() if k.startswith("body.")}
    rng = torch.Generator().manual_seed(0)
    for name, value in model.state_dict().items():
        if name in state or not value.ndim:
            continue
        if value.ndim == 4:
            scale = (2 if name.startswith("extras") else 1) / value[0].numel()
            state[name] = torch.randn(value.shape, generator=rng) * scale**0.5
        elif name.endswith(("bn.weight", "running_var")):
            state[name] = torch.ones_like(value)
        else:
            state[name] = 0.1 * torch.randn(value.shape, generator=rng)
    model.load_state_dict(state, strict=False)
    return model
