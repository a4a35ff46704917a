"""Weights of other frameworks as a state dict of ours, with the flavour that they need."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from backbone.flavour import Flavour, InputSpec
from backbone.mobilenet_v1 import BLOCKS, STEM_CHANNELS
from backbone.tflite import TfliteConv, TfliteModel

# Convolutions of the body: the stem, then a depthwise and a pointwise one per block.
BODY_CONVS = 1 + 2 * len(BLOCKS)


def tflite_flavour(model: TfliteModel, convs: int = BODY_CONVS) -> Flavour:
    """Flavour of a TensorFlow Lite file: SAME padding, its activation and input scaling.

    Args:
        model: The file.
        convs: How many of its first convolutions carry an activation.

    Raises:
        ValueError: If one of these layers pads or activates otherwise, or images are not bytes.
    """
    activation = model.convs[0].activation
    for conv in model.convs[:convs]:
        if not conv.same or conv.activation != activation or activation == "none":
            raise ValueError(
                f"{model.path}: {conv.name} has {'SAME' if conv.same else 'VALID'} padding and "
                f"activation {conv.activation}; a MobileNet v1 has SAME and {activation}"
            )
    if model.input_type != "uint8":
        raise ValueError(
            f"{model.path}: takes {model.input_type} images; uint8 ones are understood"
        )
    # The network sees (byte - zero) * scale, which is (byte / 255 - mean) / std.
    mean, std = model.input_zero / 255, 1 / (255 * model.input_scale)
    return Flavour(
        padding="same",
        bn_eps=1e-3,
        activation=activation,
        input=InputSpec(size=model.input_size[0], mean=(mean,) * 3, std=(std,) * 3),
    )


def tflite_alpha(model: TfliteModel) -> float:
    """Width multiplier, read off the last layer of the body.

    Raises:
        ValueError: If the layers are not those of a MobileNet v1.
    """
    kinds = [conv.depthwise for conv in model.convs[:BODY_CONVS]]
    if kinds != [False, *(True, False) * len(BLOCKS)]:
        raise ValueError(f"{model.path}: not a MobileNet v1: the layers alternate otherwise")
    alpha = float(model.convs[BODY_CONVS - 1].weight.shape[0] / BLOCKS[-1][1])
    if abs(model.convs[0].weight.shape[0] - max(STEM_CHANNELS * alpha, 8)) >= 1:
        raise ValueError(f"{model.path}: not a MobileNet v1: first and last width do not agree")
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
