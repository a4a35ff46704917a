"""Running an imported model's original where its own runtime is installed, to compare answers."""

from __future__ import annotations

import importlib.util
import os
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from backbone.formats.keras import BY_NAME
from backbone.formats.network import Network
from backbone.formats.pytorch import TIMM, read_state
from backbone.formats.recognise import is_tflite
from backbone.layers import Normalize
from backbone.spec import Variant
from backbone.tflite import read_tflite
from tasks.classification.import_weights import Imported
from tasks.classification.spec import BODY_TASK

_POOLED = "AvgPool"
_TIMM_ALPHAS: dict[Variant, tuple[float, ...]] = {"standard": (1.0, 1.25), "conv_head": (1.0,)}


class Comparison(NamedTuple):
    """Answers of the original, by its runtime, beside ours on some pictures.

    Attributes:
        difference: Largest difference of a probability; of a body, 1 - the smallest cosine of
            its pooled features.
        agreed: Pictures on which the best class is the same; None for a body.
    """

    runtime: str
    pictures: int
    difference: float
    agreed: int | None

    def __str__(self) -> str:
        text = f"against {self.runtime} on {self.pictures} built-in scenes: "
        if self.agreed is None:
            return f"{text}features have a cosine of {1 - self.difference:.3f} or more"
        return (
            f"{text}probabilities differ by {self.difference:.2g} at most, the best class agrees "
            f"on {self.agreed}"
        )


def runtime_of(source: Path, network: Network) -> tuple[str, str]:
    """The runtime for a source and its module, or two empty names."""
    if is_tflite(source):
        return "LiteRT", "ai_edge_litert"
    if network.kind == TIMM.kind and network.alpha in _TIMM_ALPHAS[network.variant]:
        return "timm", "timm"
    if network.kind == BY_NAME.kind:
        return "Keras", "keras"
    return "", ""


def why_not_compared(source: Path, network: Network) -> str:
    """Why :func:`compare` gave nothing, in a sentence."""
    runtime, _ = runtime_of(source, network)
    if runtime:
        return f"not compared with the original: {runtime} is not installed here"
    return f"not compared with the original: no runtime of {network.kind} is supported"


def compare(
    source: Path,
    network: Network,
    imported: Imported,
    images: Tensor,
    head: Path | None = None,
) -> Comparison | None:
    """Run both; None where the original's runtime is not installed or not supported.

    The network was read from the source, to which ``head`` may have been chained, and imported.
    Images are (B, 3, S, S) uint8.
    """
    runtime, module = runtime_of(source, network)
    if not module or importlib.util.find_spec(module) is None:
        return None
    flavour = imported.card.flavour
    with torch.inference_mode():
        inputs = Normalize(flavour.input)(images)
        if runtime == "LiteRT":
            theirs = run_litert(source, images, inputs, head)
        elif runtime == "timm":
            theirs = run_timm(source, network, inputs)
        else:
            theirs = run_keras(source, network, inputs)
        if imported.card.task == BODY_TASK:
            ours = imported.model(inputs)[32].mean((2, 3))
            cosine = float(functional.cosine_similarity(ours, theirs).min())
            return Comparison(runtime, len(images), 1 - cosine, None)
        ours = imported.model(images).softmax(1)
    if imported.background:
        theirs = theirs[:, 1:] / theirs[:, 1:].sum(1, keepdim=True)
    agreed = int((ours.argmax(1) == theirs.argmax(1)).sum())
    return Comparison(runtime, len(images), float((ours - theirs).abs().max()), agreed)


def run_litert(source: Path, images: Tensor, inputs: Tensor, head: Path | None = None) -> Tensor:
    """Output of a TensorFlow Lite file (B, columns): probabilities, or pooled features.

    Images (B, 3, S, S) uint8 are for files that take bytes, ``inputs``, the same normalised, for
    those that take floats. The file ``head`` runs on the output of the first.
    """
    from ai_edge_litert.interpreter import Interpreter

    files = [source] if head is None else [source, head]
    runtimes: list[Any] = [Interpreter(str(file), num_threads=1) for file in files]
    for runtime in runtimes:
        runtime.allocate_tensors()
    takes_bytes = runtimes[0].get_input_details()[0]["dtype"] == np.uint8
    rows = []
    for image in (images if takes_bytes else inputs).permute(0, 2, 3, 1).numpy():
        value = image[None]
        for runtime in runtimes:
            entry, result = runtime.get_input_details()[0], runtime.get_output_details()[0]
            given = value.reshape(entry["shape"]).astype(entry["dtype"])
            runtime.set_tensor(entry["index"], given)
            runtime.invoke()
            value = runtime.get_tensor(result["index"])
        scale, zero = result["quantization"]
        plain = value.reshape(-1).astype(np.float32)
        rows.append(torch.from_numpy((plain - zero) * scale if scale else plain))
    theirs = torch.stack(rows)
    is_answer = "SOFTMAX" in read_tflite(files[-1]).others or result["name"].endswith(_POOLED)
    return theirs if is_answer else theirs.softmax(1)


def run_timm(source: Path, network: Network, inputs: Tensor) -> Tensor:
    """Timm's probabilities, or its pooled features where there is no classifier."""
    import timm

    ending = "h" if network.variant == "conv_head" else ""
    name = f"mobilenetv1_{round(100 * network.alpha):03d}{ending}"
    model = timm.create_model(name, pretrained=False, num_classes=network.columns)
    file = source / "model.safetensors" if source.is_dir() else source
    model.load_state_dict(read_state(file))
    answer: Tensor = model.eval()(inputs)
    return answer.softmax(1) if network.columns else answer


def run_keras(source: Path, network: Network, inputs: Tensor) -> Tensor:
    """Keras' probabilities, or its pooled features where there is no classifier."""
    if importlib.util.find_spec("tensorflow") is None:
        os.environ.setdefault("KERAS_BACKEND", "torch")
    import keras

    top = {"include_top": True, "classes": network.columns}
    model = keras.applications.MobileNet(
        weights=None,
        alpha=network.alpha,
        input_shape=(*inputs.shape[2:], 3),
        **(top if network.columns else {"include_top": False, "pooling": "avg"}),
    )
    model.load_weights(source)
    answer = model(inputs.permute(0, 2, 3, 1).numpy(), training=False)
    return torch.from_numpy(np.asarray(keras.ops.convert_to_numpy(answer)))
