"""The body of TensorFlow's MobileNet v1 classifiers (.tflite), for detectors to start from."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from backbone.layers import Normalize
from backbone.mobilenet_v1 import MobileNetV1
from backbone.tflite import read_tflite
from backbone.weights import tflite_alpha, tflite_body, tflite_flavour
from datasets.types import ClassMap
from tasks.card import Card, load_into

TASK = "body"
_POOLED = "AvgPool"


def import_body(path: Path) -> tuple[MobileNetV1, Card]:
    """Read the convolutions of a classifier, or of its headless twin, into a body.

    Raises:
        ValueError: If the file is not a MobileNet v1, or a tensor of it does not fit.
    """
    source = read_tflite(path)
    alpha, flavour = tflite_alpha(source), tflite_flavour(source)
    body = MobileNetV1(alpha, flavour)
    load_into(body, tflite_body(source, flavour.bn_eps), str(path))
    card = Card(
        task=TASK,
        model={"backbone": "mobilenet_v1", "alpha": alpha},
        flavour=flavour,
        classes=ClassMap((), ()),
        source=f"body imported from {path.name} (TensorFlow Lite, dequantised)",
        folded=True,
    )
    return body.eval(), card


def compare_body(path: Path, body: MobileNetV1, images: Tensor) -> float:
    """Smallest cosine between the original's pooled features and ours, over some pictures.

    Args:
        path: Of the original file, run by LiteRT.
        body: What was imported, in evaluation mode.
        images: (B, 3, S, S) uint8, S the file's own size.

    Raises:
        ValueError: If the file has no pooled features to compare with.
    """
    from ai_edge_litert.interpreter import Interpreter, OpResolverType

    # Without delegates the inner tensors can be read after a run.
    runtime: Any = Interpreter(
        str(path),
        experimental_preserve_all_tensors=True,
        experimental_op_resolver_type=OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES,
    )
    runtime.allocate_tensors()
    pooled = [row for row in runtime.get_tensor_details() if row["name"].endswith(_POOLED)]
    if not pooled:
        raise ValueError(f"{path}: no tensor {_POOLED} to compare with")
    scale, zero = pooled[0]["quantization"]
    theirs = []
    for image in images.permute(0, 2, 3, 1).numpy():
        runtime.set_tensor(runtime.get_input_details()[0]["index"], image[None].astype(np.uint8))
        runtime.invoke()
        raw = runtime.get_tensor(pooled[0]["index"]).reshape(-1).astype(np.float32)
        theirs.append(torch.from_numpy((raw - zero) * scale))
    with torch.inference_mode():
        ours = body(Normalize(body.flavour.input)(images))[32].mean((2, 3))
    return float(functional.cosine_similarity(ours, torch.stack(theirs)).min())
