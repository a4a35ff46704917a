"""MobileNet v1 (Howard et al., arXiv 1704.04861, table 1), the body shared by all heads."""

from __future__ import annotations

from typing import get_args

from torch import nn

from backbone.body import Body, Stage
from backbone.flavour import Flavour
from backbone.layers import ConvBNAct, SeparableBlock, init_tf_slim, scale_channels
from backbone.spec import Variant
from datasets.errors import InputError

STEM_CHANNELS = 32
# (stride, output channels) of conv1..conv13. The paper's table 1 prints stride 2 for the last one;
# its own cost of 569 M mult-adds requires stride 1.
BLOCKS = (
    (1, 64),
    (2, 128),
    (1, 128),
    (2, 256),
    (1, 256),
    (2, 512),
    *((1, 512),) * 5,
    (2, 1024),
    (1, 1024),
)
# Table 5 removes the five layers of 14x14x512.
_SHALLOW = (*BLOCKS[:6], *BLOCKS[11:])
# Width of the additional layer of timm's mobilenetv1_100h, independent of alpha.
_CONV_HEAD = 1024
# Whether (depthwise, pointwise) convolutions are followed by batch norm and by the activation.
_BOTH, _FIRST, _SECOND = (True, True), (True, False), (False, True)
_AFTER: dict[str, tuple[tuple[bool, bool], tuple[bool, bool]]] = {
    "standard": (_BOTH, _BOTH),
    "shallow": (_BOTH, _BOTH),
    "conv_head": (_BOTH, _BOTH),
    "act_after_pointwise": (_BOTH, _SECOND),
    "act_after_depthwise": (_BOTH, _FIRST),
    "bn_act_after_pointwise": (_SECOND, _SECOND),
    "bn_act_after_depthwise": (_FIRST, _FIRST),
}


class MobileNetV1(Body):
    """The convolutional body, without pooling and classifier.

    Args:
        alpha: Width multiplier, above 0; the paper uses 1, .75, .5 and .25.
        flavour: Padding, batch-norm epsilon and activation.
        in_channels: Channels of the input.
        variant: ``shallow`` leaves out the five 14x14x512 layers (table 5); ``full_conv`` has
            full 3x3 convolutions in place of separable ones (table 4); ``conv_head`` has one
            more 1x1 convolution behind the last layer, as timm's mobilenetv1_100h;
            ``act_after_*`` has batch norm after both convolutions of a block but activates
            after one only; ``bn_act_after_*`` has both after one only.
        stem_stride: Stride of the first convolution: 2, or 1 for small images, whose maps then all
            have half the stride.

    Attributes:
        channels: Channels of the last feature map at each stride: {2, 4, 8, 16, 32}.
        layers: conv0 (the stem) to conv13, and conv14 in ``conv_head``.

    Raises:
        InputError: If ``alpha`` is not above 0, or the variant is unknown.
    """

    def __init__(
        self,
        alpha: float = 1.0,
        flavour: Flavour | None = None,
        in_channels: int = 3,
        variant: Variant = "standard",
        stem_stride: int = 2,
    ) -> None:
        if not alpha > 0:
            raise InputError(f"width multiplier alpha={alpha} must be above 0 (1 is full width)")
        if variant not in get_args(Variant):
            choices = ", ".join(get_args(Variant))
            raise InputError(f"unknown variant {variant!r}: choose one of {choices}")
        flavour = flavour or Flavour()
        width = scale_channels(STEM_CHANNELS, alpha)
        stem = ConvBNAct(in_channels, width, 3, stride=stem_stride, flavour=flavour)
        stages = [Stage(stem, stem_stride, width)]
        for step, base in _SHALLOW if variant == "shallow" else BLOCKS:
            out = scale_channels(base, alpha)
            block = _make_block(width, out, step, flavour, variant)
            stages.append(Stage(block, step, out))
            width = out
        if variant == "conv_head":
            out = max(_CONV_HEAD, width)
            stages.append(Stage(ConvBNAct(width, out, 1, flavour=flavour), 1, out))
        super().__init__(stages, flavour)
        self.alpha, self.variant = alpha, variant
        init_tf_slim(self)


def _make_block(
    in_channels: int, out_channels: int, stride: int, flavour: Flavour, variant: Variant
) -> nn.Module:
    if variant == "full_conv":
        return ConvBNAct(in_channels, out_channels, 3, stride=stride, flavour=flavour)
    norm, act = _AFTER[variant]
    return SeparableBlock(
        in_channels, out_channels, stride=stride, flavour=flavour, norm=norm, act=act
    )
