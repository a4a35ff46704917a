"""Weights of other frameworks as a state dict of ours, with the flavour that they need."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from backbone.flavour import Flavour, InputSpec
from backbone.formats.network import BODY, HEAD_BIAS, HEAD_WEIGHT, Network, check_state
from backbone.formats.partial import PLAIN, PartialFlavour
from backbone.mobilenet_v1 import BLOCKS, STEM_CHANNELS
from backbone.tflite import TfliteConv, TfliteModel
from datasets.errors import InputError

# Convolutions of the body: the stem, then a depthwise and a pointwise one per block.
BODY_CONVS = 1 + 2 * len(BLOCKS)
_STRIDES = [2, *(stride for step, _ in BLOCKS for stride in (step, 1))]
# What else a classifier may hold: pooling, shapes, probabilities.
_HARMLESS = {
    "AVERAGE_POOL_2D",
    "DEQUANTIZE",
    "MEAN",
    "QUANTIZE",
    "RESHAPE",
    "SOFTMAX",
    "SQUEEZE",
}


def tflite_flavour(model: TfliteModel, convs: int = BODY_CONVS) -> Flavour:
    """Flavour of a TensorFlow Lite file: SAME padding, its activation and input scaling.

    Args:
        model: The file.
        convs: How many of its first convolutions carry an activation.

    Raises:
        InputError: If one of these layers pads or activates otherwise, or images are not bytes.
    """
    activation = _activation(model, convs)
    if model.input_type != "uint8":
        raise InputError(
            f"{model.path}: takes {model.input_type} images; uint8 ones are understood"
        )
    mean, std = _scaling(model)
    return Flavour(
        padding="same",
        bn_eps=1e-3,
        activation=activation,
        input=InputSpec(size=model.input_size[0], mean=mean, std=std),
    )


def _activation(model: TfliteModel, convs: int) -> str:
    """The one activation of the first convolutions."""
    activation = model.convs[0].activation
    for conv in model.convs[:convs]:
        if not conv.same or conv.activation != activation or activation == "none":
            raise InputError(
                f"{model.path}: {conv.name} has {'SAME' if conv.same else 'VALID'} padding and "
                f"activation {conv.activation}; a MobileNet v1 has SAME and {activation}"
            )
    return activation


def _scaling(model: TfliteModel) -> tuple[tuple[float, float, float], tuple[float, float, float]]:
    """Mean and std: the network sees (byte - zero) * scale, which is (byte / 255 - mean) / std."""
    mean, std = model.input_zero / 255, 1 / (255 * model.input_scale)
    return (mean,) * 3, (std,) * 3


def tflite_network(model: TfliteModel, head: TfliteModel | None = None) -> Network:
    """A whole classifier, or a body if the file ends with the pooled features.

    Args:
        model: The file.
        head: Another file that takes up where this one ends, if it has no classifier.

    Raises:
        InputError: If the layers are not those of a MobileNet v1, or the two do not fit together.
    """
    alpha = tflite_alpha(model)
    if model.input_size[0] != model.input_size[1]:
        raise InputError(f"{model.path}: takes images of {model.input_size}; square ones are read")
    if [conv.stride for conv in model.convs[:BODY_CONVS]] != _STRIDES:
        raise InputError(f"{model.path}: not a MobileNet v1: other strides")
    activation = _activation(model, BODY_CONVS)
    bytes_in = model.input_type == "uint8"
    mean, std = _scaling(model) if bytes_in else (None, None)
    stated = PartialFlavour(
        padding="same",
        bn_eps=1e-3,
        activation=activation,
        size=model.input_size[0],
        mean=mean,
        std=std,
    )
    state = {f"{BODY}{key}": value for key, value in tflite_body(model, 1e-3).items()}
    last = _last_layer(model, head)
    if last is not None:
        state |= {HEAD_WEIGHT: last.weight[:, :, 0, 0], HEAD_BIAS: last.bias}
    check_state(str(model.path), state, alpha, {})
    kind = "TensorFlow Lite, dequantised" if bytes_in else "TensorFlow Lite"
    return Network(str(model.path), kind, state, alpha, stated, PLAIN, folded=True)


def _last_layer(model: TfliteModel, head: TfliteModel | None) -> TfliteConv | None:
    """The classifier's linear layer, from the file itself or from the one chained to it."""
    convs = model.convs[BODY_CONVS:]
    if head is not None:
        if convs:
            raise InputError(f"--head {head.path}: {model.path} has a classifier already")
        convs = head.convs
        if not convs:
            raise InputError(f"--head {head.path}: no layer in this file")
    path = model.path if head is None else head.path
    odd = sorted((model.others | (head.others if head else frozenset())) - _HARMLESS)
    if odd:
        raise InputError(f"{path}: not a MobileNet v1 classifier: it has {odd[0]}")
    if not convs:
        return None
    if len(convs) > 1 or convs[0].weight.shape[2:] != (1, 1) or convs[0].activation != "none":
        raise InputError(
            f"{path}: not a MobileNet v1 classifier: {len(convs)} layers after the body, the "
            f"first {tuple(convs[0].weight.shape)} with activation {convs[0].activation}; one "
            "linear layer is expected"
        )
    return convs[0]


def tflite_alpha(model: TfliteModel) -> float:
    """Width multiplier, read off the last layer of the body.

    Raises:
        InputError: If the layers are not those of a MobileNet v1.
    """
    kinds = [conv.depthwise for conv in model.convs[:BODY_CONVS]]
    if kinds != [False, *(True, False) * len(BLOCKS)]:
        raise InputError(f"{model.path}: not a MobileNet v1: the layers alternate otherwise")
    alpha = float(model.convs[BODY_CONVS - 1].weight.shape[0] / BLOCKS[-1][1])
    if abs(model.convs[0].weight.shape[0] - max(STEM_CHANNELS * alpha, 8)) >= 1:
        raise InputError(f"{model.path}: not a MobileNet v1: first and last width do not agree")
    return alpha


def tflite_body(model: TfliteModel, eps: float) -> dict[str, Tensor]:
    """State dict of :class:`~backbone.mobilenet_v1.MobileNetV1` from the first layers."""
    state: dict[str, Tensor] = {}
    for name, conv in zip(_body_names(), model.convs[:BODY_CONVS], strict=True):
        state |= conv_bn(f"layers.{name}", conv, eps)
    return state


def _body_names() -> Iterator[str]:
    yield "0"
    for block in range(1, len(BLOCKS) + 1):
        yield f"{block}.depthwise"
        yield f"{block}.pointwise"


def conv_bn(name: str, conv: TfliteConv, eps: float) -> dict[str, Tensor]:
    """A convolution with its batch norm folded in, as a :class:`~backbone.layers.ConvBNAct`.

    The batch norm gets mean 0 and variance 1 - eps, so that it only adds the bias.
    """
    ones = torch.ones_like(conv.bias)
    return {
        f"{name}.conv.weight": conv.weight,
        f"{name}.bn.weight": ones,
        f"{name}.bn.bias": conv.bias,
        f"{name}.bn.running_mean": torch.zeros_like(ones),
        f"{name}.bn.running_var": ones * (1 - eps),
        f"{name}.bn.num_batches_tracked": torch.tensor(0),
    }
