"""Networks with folded batch norms: convolutions with biases, one after the other."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import Tensor

from backbone.formats.network import (
    BODY,
    BODY_CONVS,
    CONVS,
    HEAD_BIAS,
    HEAD_WEIGHT,
    LAST,
    STEM,
    Network,
    check_state,
    find_alpha,
    refuse_kin,
)
from backbone.formats.partial import PLAIN, RGB, PartialFlavour
from backbone.mobilenet_v1 import BLOCKS
from datasets.errors import InputError

STRIDES = [2, *(stride for step, _ in BLOCKS for stride in (step, 1))]
# Epsilon of batch norms that only add a bias.
EPS = 1e-3


@dataclass(frozen=True)
class FoldedConv:
    """One convolution with what follows it, dequantised.

    Attributes:
        name: Name of its weight tensor.
        weight: Weights (out, in, kh, kw); (out, 1, kh, kw) if depthwise.
        bias: Bias (out,), which contains the folded batch norm.
        depthwise: Whether each channel has its own filter.
        stride: Stride in both directions.
        padding: ``same``, ``symmetric``, ``keras`` or a description of any other kind.
        activation: ``none``, ``relu``, ``relu6`` or ``leaky_relu:SLOPE``.
    """

    name: str
    weight: Tensor
    bias: Tensor
    depthwise: bool
    stride: int
    padding: str
    activation: str


@dataclass(frozen=True)
class Chain:
    """A classifier or a body as a sequence of convolutions.

    Attributes:
        path: Path of the file.
        kind: Description of the source.
        convs: Convolutions in order of execution; a fully connected layer counts as a 1x1 one.
        shape: (height, width, channels) of an image; None where the file leaves it open.
        mean: Mean of the flavour if the file takes bytes or scales them itself; otherwise None.
        std: Standard deviation, under the same condition as ``mean``.
        takes: Largest input value, as in :class:`~backbone.formats.network.Network`.
    """

    path: Path
    kind: str
    convs: Sequence[FoldedConv]
    shape: tuple[int | None, int | None, int]
    mean: RGB | None = None
    std: RGB | None = None
    takes: int = 0


def read_chain(chain: Chain, last: FoldedConv | None) -> Network:
    """Read a complete classifier, or a body if there is no last layer.

    Args:
        chain: The convolutions, of which the first 27 are used.
        last: The linear layer of the classifier.

    Raises:
        InputError: If the layers are not those of a MobileNet v1; the message names the first that
            is not.
    """
    path, (height, width, _) = chain.path, chain.shape
    alpha = chain_alpha(chain)
    convs = as_same(chain.convs[:BODY_CONVS], height)
    if height != width:
        raise InputError(f"{path}: takes images of {(height, width)}; square ones are read")
    if [conv.stride for conv in convs] != STRIDES:
        raise InputError(f"{path}: not a MobileNet v1: other strides")
    padding, activation = chain_conventions(path, convs)
    if padding == "keras" and height is not None and height % 32 == 0:
        padding = "same"  # Equal there.
    stated = PartialFlavour(
        padding=padding,  # type: ignore[arg-type]
        bn_eps=EPS,
        activation=activation,
        size=height,
        mean=chain.mean,
        std=chain.std,
    )
    state = {f"{BODY}{key}": value for key, value in body_state(convs).items()}
    if last is not None:
        state |= {HEAD_WEIGHT: last.weight[:, :, 0, 0], HEAD_BIAS: last.bias}
    check_state(str(path), state, alpha, {})
    return Network(
        str(path), chain.kind, state, alpha, stated, PLAIN, folded=True, takes=chain.takes
    )


def as_same(convs: Sequence[FoldedConv], side: int | None) -> Sequence[FoldedConv]:
    """Recognise explicit zero padding, written by a converter for one image size, as SAME.

    SAME pads an even side at the end and an odd side on both sides, when it halves it. A network
    with both kinds, each where SAME would have it, is SAME.

    Args:
        convs: Convolutions in order of execution, each reading the one before.
        side: Side of the input in pixels; with None nothing is changed.
    """
    halving = [conv.padding for conv in convs if conv.stride == 2]
    if side is None or not {"keras", "symmetric"} <= set(halving):
        return convs
    for padding in halving:
        if padding not in ("same", "symmetric" if side % 2 else "keras"):
            return convs
        side = -(-side // 2)
    return [replace(conv, padding="same") if conv.stride == 2 else conv for conv in convs]


def one_linear(layers: Sequence[FoldedConv]) -> list[FoldedConv]:
    """Merge consecutive linear layers into the single layer that they amount to.

    TensorFlow's retrain.py puts a new layer on ImageNet's logits. Other layers are left unchanged.
    """
    merged = list(layers)
    while len(merged) > 1:
        one, two = merged[:2]
        linear = all(c.weight.shape[2:] == (1, 1) and c.activation == "none" for c in (one, two))
        if not linear or one.depthwise or two.depthwise or two.weight.shape[1] != len(one.weight):
            break
        first, second = (c.weight[:, :, 0, 0].double() for c in (one, two))
        weight = (second @ first).float()[:, :, None, None]
        bias = (second @ one.bias.double() + two.bias.double()).float()
        merged[:2] = [replace(two, weight=weight, bias=bias)]
    return merged


def chain_conventions(path: Path, convs: Sequence[FoldedConv]) -> tuple[str, str]:
    """The padding of the convolutions of stride 2, and the activation of all convolutions.

    Args:
        path: Path of the file, for errors.
        convs: The convolutions.

    Raises:
        InputError: If they are not the same everywhere, or no MobileNet v1 has them.
    """
    activation = convs[0].activation
    padding = next(conv.padding for conv in convs if conv.stride > 1 and conv.depthwise)
    for conv in convs:
        # At stride 1 all of them are one, and at the end of the stem SAME may be written out.
        alike = {"same", "symmetric"} if conv.stride == 1 else {padding}
        alike |= {"same", "keras"} if conv is convs[0] and padding in ("same", "keras") else set()
        fits = conv.padding in alike or conv.weight.shape[2:] == (1, 1)
        if not fits or conv.activation != activation or activation == "none":
            raise InputError(
                f"{path}: {conv.name} has {conv.padding} padding and activation "
                f"{conv.activation}; a MobileNet v1 has {padding} and {activation}"
            )
    return padding, activation


def chain_alpha(chain: Chain) -> float:
    """Width multiplier, determined from the first and the last layer of the body.

    Raises:
        InputError: If the layers are not those of a MobileNet v1.
    """
    path, convs = chain.path, chain.convs[:BODY_CONVS]
    refuse_kin(str(path), [conv.weight.shape[-1] for conv in chain.convs if conv.depthwise])
    kinds = [conv.depthwise for conv in convs]
    height, width, channels = chain.shape
    if kinds[:1] == [True] or channels != 3:
        first = "depthwise" if kinds[:1] == [True] else "an ordinary convolution"
        raise InputError(
            f"{path}: takes images of {height}x{width}x{channels} and its first layer is {first}: "
            "not a MobileNet v1, which takes RGB and begins with an ordinary convolution"
        )
    if kinds != [False, *(True, False) * len(BLOCKS)]:
        raise InputError(f"{path}: not a MobileNet v1: the layers alternate otherwise")
    return find_alpha(str(path), {STEM: convs[0].weight, LAST: convs[-1].weight})


def body_state(convs: Sequence[FoldedConv]) -> dict[str, Tensor]:
    """State dict of :class:`~backbone.mobilenet_v1.MobileNetV1` from its 27 convolutions."""
    state: dict[str, Tensor] = {}
    for name, conv in zip(CONVS, convs, strict=True):
        state |= conv_bn(f"layers.{name}", conv)
    return state


def conv_bn(name: str, conv: FoldedConv) -> dict[str, Tensor]:
    """A convolution with its batch norm folded in, as a :class:`~backbone.layers.ConvBNAct`.

    The batch norm gets mean 0 and variance 1 - ``EPS``, so that it only adds the bias.
    """
    ones = torch.ones_like(conv.bias)
    return {
        f"{name}.conv.weight": conv.weight,
        f"{name}.bn.weight": ones,
        f"{name}.bn.bias": conv.bias,
        f"{name}.bn.running_mean": torch.zeros_like(ones),
        f"{name}.bn.running_var": ones * (1 - EPS),
        f"{name}.bn.num_batches_tracked": torch.tensor(0),
    }
