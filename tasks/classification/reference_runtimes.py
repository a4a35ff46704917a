"""Runs an imported model's own file, if a runtime for it is installed, to compare answers.

Otherwise a plain network with the file's tensors is run, and named as such.
"""

from __future__ import annotations

import importlib.util
import os
import re
import textwrap
import warnings
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from backbone.flavour import Flavour, parse_activation
from backbone.formats.network import (
    BODY,
    CONV_HEAD,
    CONVS,
    HEAD_BIAS,
    HEAD_WEIGHT,
    LAST,
    Network,
)
from backbone.formats.pytorch import TIMM, read_state
from backbone.formats.recognise import kind_of, weights_inside
from backbone.formats.tflite import read_tflite
from backbone.layers import Normalize, same_padding
from backbone.mobilenet_v1 import BLOCKS
from backbone.spec import Variant
from datasets.errors import InputError
from tasks.classification.import_weights import Imported
from tasks.classification.spec import BODY_TASK

_TIMM_ALPHAS: dict[Variant, tuple[float, ...]] = {"standard": (1.0, 1.25), "conv_head": (1.0,)}
# The runtime's name and its module, by kind of file.
_RUNTIMES = {
    "tflite": ("LiteRT", "ai_edge_litert"),
    "keras": ("Keras", "keras"),
    "onnx": ("ONNX Runtime", "onnxruntime"),
    "timm": ("timm", "timm"),
}
# Largest deviation of the sum of probabilities from 1, in bytes as well as in floats.
_SUM_TOLERANCE = 0.05
# In an error's message, where a dump begins, and how many characters are shown.
_DUMP = re.compile(r"[:,]? *(?:using )?(?:config=|\{)")
_SHORT = 120


class Comparison(NamedTuple):
    """The answers of the original, by its runtime, compared with the import's on some images.

    Attributes:
        runtime: Name of what ran, with a description if it was not the file itself.
        pictures: Number of images that were compared.
        difference: Largest difference of a probability; for a body, 1 - the smallest cosine of its
            pooled features.
        agreed: Number of images on which the best class is the same; None for a body.
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


class _CannotRunError(InputError):
    """There is no runtime for a file, or the runtime does not accept it."""


def compare(
    source: Path,
    network: Network,
    imported: Imported,
    images: Tensor,
    head: Path | None = None,
) -> Comparison | str:
    """Run both, or return a sentence on why the original cannot be run.

    Args:
        source: The original file.
        network: Network that was read from it.
        imported: The imported model.
        images: (B, 3, S, S) uint8.
        head: File of the last layers, if it was given.
    """
    flavour = imported.card.flavour
    kind = kind_of(source)
    if network.kind == TIMM.kind and network.alpha in _TIMM_ALPHAS[network.variant]:
        kind = "timm"
    runtime, module = _RUNTIMES.get(kind, ("", ""))
    if module and importlib.util.find_spec(module) is None:
        return f"not compared with the original: {runtime} is not installed here"
    with torch.inference_mode():
        inputs = Normalize(flavour.input)(images)
        taken = images.float() * (network.takes / 255) if network.takes else inputs
        try:
            if kind == "tflite":
                theirs = LiteRt(source, head, is_body=not network.columns)(taken)
            elif kind == "timm":
                theirs = run_timm(source, network, inputs)
            elif kind == "keras":
                runtime, theirs = run_keras(source, network, taken)
            elif kind == "onnx":
                theirs = run_onnx(source, network, taken)
            else:
                of = "weights that are " if network.kind.startswith("mapped by") else ""
                raise _CannotRunError(f"no runtime of {of}{network.kind} is supported")
        except _CannotRunError as error:
            runtime = f"a plain network of its tensors ({error})"
            theirs = run_plain(network, flavour, inputs)
        if imported.card.task == BODY_TASK:
            ours = imported.model(inputs)[32].mean((2, 3))
            cosine = float(functional.cosine_similarity(ours, theirs).min())
            return Comparison(runtime, len(images), 1 - cosine, None)
        ours = imported.model(images).softmax(1)
    if imported.background:
        theirs = theirs[:, 1:] / theirs[:, 1:].sum(1, keepdim=True)
    agreed = int((ours.argmax(1) == theirs.argmax(1)).sum())
    return Comparison(runtime, len(images), float((ours - theirs).abs().max()), agreed)


class LiteRt:
    """A TensorFlow Lite file, run by LiteRT.

    Args:
        source: The file; if it takes integers, they are made by its own scale and zero point.
        head: File to run on the output of the first.
        is_body: Whether it returns features, pooled or not, rather than logits or probabilities.

    Raises:
        InputError: If LiteRT cannot run it, here or when it is called.
    """

    def __init__(self, source: Path, head: Path | None = None, *, is_body: bool = False) -> None:
        files = [source] if head is None else [source, head]
        self._is_body = is_body
        self._runtimes = [_open_litert(file) for file in files]
        others = read_tflite(files[-1]).others
        self._is_answer = is_body or bool({"LOGISTIC", "SOFTMAX"} & others)

    def __call__(self, inputs: Tensor) -> Tensor:
        """Probabilities, or pooled features, (B, columns).

        Args:
            inputs: (B, 3, S, S) as the file's network takes them, before conversion to integers:
                normalised, unless the network does that itself.
        """
        rows = []
        for image in inputs.permute(0, 2, 3, 1).numpy():
            first = self._runtimes[0].get_input_details()[0]
            comes_first = first["shape"][1] == image.shape[2] != first["shape"][-1]
            image = image.transpose(2, 0, 1) if comes_first else image
            value = _as_taken(image[None], first)
            for runtime in self._runtimes:
                entry, result = runtime.get_input_details()[0], runtime.get_output_details()[0]
                given = value.reshape(entry["shape"]).astype(entry["dtype"])
                try:
                    runtime.set_tensor(entry["index"], given)
                    runtime.invoke()
                except (RuntimeError, ValueError) as error:
                    raise _refusal(error) from error
                value = runtime.get_tensor(result["index"])
            scale, zero = result["quantization"]
            plain = value.astype(np.float32)
            plain = (plain - zero) * scale if scale else plain
            plain = plain.mean((1, 2)) if plain.ndim == 4 else plain
            rows.append(torch.from_numpy(plain.reshape(-1).astype(np.float32)))
        theirs = torch.stack(rows)
        if theirs.shape[1] == 1 and not self._is_body:
            theirs = theirs if self._is_answer else theirs.sigmoid()
            return torch.cat([1 - theirs, theirs], 1)
        return theirs if self._is_answer else theirs.softmax(1)


def _as_taken(values: NDArray[np.float32], entry: Any) -> NDArray[Any]:
    """Normalised values in a file's input type: integers have its own scale and zero point."""
    scale, zero = entry["quantization"]
    if not np.issubdtype(entry["dtype"], np.integer) or not scale:
        return values
    kind = np.iinfo(entry["dtype"])
    steps: NDArray[Any] = np.clip(np.round(values / scale) + zero, kind.min, kind.max)
    return steps


def _open_litert(file: Path) -> Any:
    from ai_edge_litert.interpreter import Interpreter

    try:
        runtime = Interpreter(str(file), num_threads=1)
        runtime.allocate_tensors()
    except (RuntimeError, ValueError) as error:
        raise _refusal(error) from error
    return runtime


def _refusal(error: Exception) -> _CannotRunError:
    return _CannotRunError(f"LiteRT cannot run this file: {_first_words(error)}")


def _first_words(error: Exception) -> str:
    """What is wrong, in one short line; Keras states it after a dump of the configuration."""
    told = str(error).rpartition("Exception encountered:")[2].strip().partition("\n")[0]
    told = _DUMP.split(told.partition(". ")[0])[0]
    return textwrap.shorten(told, _SHORT, placeholder=" ...") or type(error).__name__


def run_timm(source: Path, network: Network, inputs: Tensor) -> Tensor:
    """Timm's probabilities, or its pooled features if there is no classifier."""
    import timm

    ending = "h" if network.variant == "conv_head" else ""
    name = f"mobilenetv1_{round(100 * network.alpha):03d}{ending}"
    model = timm.create_model(name, pretrained=False, num_classes=network.columns)
    model.load_state_dict(read_state(weights_inside(source)))
    answer: Tensor = model.eval()(inputs)
    return answer.softmax(1) if network.columns else answer


def run_keras(source: Path, network: Network, inputs: Tensor) -> tuple[str, Tensor]:
    """Name of what ran, and its probabilities, or pooled features without a classifier.

    A file that holds only weights is loaded into Keras' own MobileNet.

    Args:
        source: The file.
        network: Network that was read from it.
        inputs: (B, 3, S, S) as the file's network takes them.
    """
    if importlib.util.find_spec("tensorflow") is None:
        os.environ.setdefault("KERAS_BACKEND", "torch")
    import keras

    # Keras prints warnings about its own files that the user can do nothing about.
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            runtime, model = _open_keras(keras, source, network, inputs.shape[2])
            answer = model(inputs.permute(0, 2, 3, 1).numpy(), training=False)
        except Exception as error:  # Files of other versions fail in many ways.
            told = f"Keras cannot run this file: {_first_words(error)}"
            raise _CannotRunError(told) from error
    values = torch.from_numpy(np.array(keras.ops.convert_to_numpy(answer), np.float32))
    values = values.mean((1, 2)) if values.ndim == 4 else values
    return runtime, _probabilities(values) if network.columns else values


def _open_keras(keras: Any, source: Path, network: Network, size: int) -> tuple[str, Any]:
    """Description of what runs, and the model, which returns features if the network is a body."""
    runtime = "Keras"
    if network.whole:
        model = keras.saving.load_model(source, compile=False)
    else:
        runtime = "Keras' own MobileNet filled with the file's weights"
        top = {"include_top": True, "classes": network.columns}
        bare = {"include_top": False, "pooling": "avg"}
        model = keras.applications.MobileNet(
            weights=None,
            alpha=network.alpha,
            input_shape=(size, size, 3),
            **(top if network.columns else bare),
        )
        model.load_weights(source)
    if not network.columns:
        model = keras.Model(model.inputs[0], _pooled(model, network))
    return runtime, model


def run_onnx(source: Path, network: Network, inputs: Tensor) -> Tensor:
    """An ONNX file's probabilities, or its pooled features if there is no classifier.

    Args:
        source: The file.
        network: Network that was read from it.
        inputs: (B, 3, S, S) as the file's network takes them.
    """
    import onnxruntime

    try:
        session = onnxruntime.InferenceSession(source, providers=["CPUExecutionProvider"])
        entry = session.get_inputs()[0]
        images = inputs if entry.shape[1] == 3 else inputs.permute(0, 2, 3, 1)
        values = images.numpy().astype(np.uint8 if "uint8" in entry.type else np.float32)
        rows = [session.run(None, {entry.name: image[None]})[0] for image in values]
    except Exception as error:  # It raises many kinds of its own.
        raise _CannotRunError(f"ONNX Runtime cannot run it: {_first_words(error)}") from error
    answers = torch.from_numpy(np.concatenate(rows).astype(np.float32))
    if answers.ndim == 4:
        width = network.state[LAST].shape[0]
        axes = (2, 3) if answers.shape[1] in (width, network.columns) else (1, 2)
        answers = answers.mean(axes)
    return _probabilities(answers) if network.columns else answers


def _pooled(model: Any, network: Network) -> Any:
    """The first output of a layer that is as wide as the body, pooled or not."""
    width = network.state[LAST].shape[0]
    outputs = [layer.output for layer in model.layers if not isinstance(layer.output, list)]
    flat = [one for one in outputs if len(one.shape) == 2 and one.shape[-1] == width]
    return flat[0] if flat else model.output


def _probabilities(values: Tensor) -> Tensor:
    """Probabilities from a classifier's last layer: a single one, all of them, or logits."""
    are_shares = bool(((values >= 0) & (values <= 1)).all())
    if values.shape[1] == 1:
        shares = values if are_shares else values.sigmoid()
        return torch.cat([1 - shares, shares], 1)
    sums_up = bool(((values.sum(1) - 1).abs() < _SUM_TOLERANCE).all())
    return values if are_shares and sums_up else values.softmax(1)


def run_plain(network: Network, flavour: Flavour, inputs: Tensor) -> Tensor:
    """Probabilities, or pooled features, computed from a file's tensors step by step.

    It shares no code with the suite's layers, so that a mistake in filling them shows.

    Args:
        network: Network that was read from the file.
        flavour: Its conventions.
        inputs: (B, 3, S, S), normalised.
    """
    kind, slope = parse_activation(flavour.activation)
    strides = [2, *(stride for step, _ in BLOCKS for stride in (step, 1)), 1]
    every = (*CONVS, CONV_HEAD)[: len(CONVS) + (network.variant == "conv_head")]
    x = inputs
    for name, stride in zip(every, strides, strict=False):
        part = {
            key.removeprefix(f"{BODY}layers.{name}."): value
            for key, value in network.state.items()
            if key.startswith(f"{BODY}layers.{name}.")
        }
        weight = part["conv.weight"]
        depthwise = name.endswith("depthwise")
        if weight.shape[-1] == 3:
            x = functional.pad(x, _padding(flavour, x.shape[-1], stride, depthwise=depthwise))
        x = functional.conv2d(x, weight, stride=stride, groups=x.shape[1] if depthwise else 1)
        mean, var = part["bn.running_mean"], part["bn.running_var"]
        x = functional.batch_norm(
            x, mean, var, part["bn.weight"], part["bn.bias"], eps=flavour.bn_eps
        )
        x = functional.leaky_relu(x, slope)
        x = x.clamp(max=6) if kind == "relu6" else x
    features = x.mean((2, 3))
    if not network.columns:
        return features
    return (features @ network.state[HEAD_WEIGHT].T + network.state[HEAD_BIAS]).softmax(1)


def _padding(flavour: Flavour, size: int, stride: int, *, depthwise: bool) -> list[int]:
    """Left, right, top and bottom padding of a 3x3 convolution."""
    if flavour.padding == "symmetric" or stride == 1:
        return [1, 1, 1, 1]
    if flavour.padding == "keras" and depthwise:
        return [0, 1, 0, 1]
    return [*same_padding(size, 3, stride)] * 2
