"""SSD's layout on each body: the maps it uses, the layers it adds, the anchors of a cell."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from backbone.body import Body
from backbone.flavour import Flavour
from backbone.inception_v2 import InceptionV2
from backbone.layers import ConvBNAct, SeparableBlock, scale_channels
from backbone.mobilenet_v1 import MobileNetV1
from backbone.vgg16 import VGG16SSD
from tasks.detection.anchors import Shape, ssd_shapes, vgg_ssd_shapes
from tasks.detection.spec import DetectorSpec


@dataclass(frozen=True)
class SsdLayout:
    """The parts of SSD that differ between bodies.

    Attributes:
        taps: Strides of the body's two maps.
        extras: Channels of the additional maps, at full width.
        valid: Number of the last extra maps that come from a 3x3 convolution without padding (as
            in the SSD paper); the others come from one of stride 2.
        kernel: Kernel side of the predictors.
        shapes: Anchor shapes in a cell of each map.
    """

    taps: tuple[int, int]
    extras: tuple[int, ...]
    valid: int
    kernel: int
    shapes: list[list[Shape]]


MOBILENET = SsdLayout((16, 32), (512, 256, 256, 128), 0, 1, ssd_shapes())
"""TensorFlow's SSD, on Inception V2 as well: 19-10-5-3-2-1 at 300, 1917 anchors."""
VGG = SsdLayout((8, 16), (512, 256, 256, 256), 2, 3, vgg_ssd_shapes())
"""The SSD paper's layout: 38-19-10-5-3-1 at 300, 8732 anchors."""


def layout_of(spec: DetectorSpec) -> SsdLayout:
    """The layout on a spec's body."""
    return VGG if spec.backbone == "vgg16" else MOBILENET


def map_sizes(spec: DetectorSpec) -> list[tuple[int, int]]:
    """(height, width) of the six feature maps."""
    layout, size = layout_of(spec), spec.size
    if spec.backbone == "vgg16":
        # Only its third pool rounds up.
        finest = -(-(size // 4) // 2)
        sides = [finest, finest // 2]
    else:
        sides = [-(-size // stride) for stride in layout.taps]
    for number in range(len(layout.extras)):
        padded = number < len(layout.extras) - layout.valid
        sides.append(-(-sides[-1] // 2) if padded else sides[-1] - 2)
    return [(side, side) for side in sides]


def ssd_body(spec: DetectorSpec, flavour: Flavour) -> Body:
    """The body that returns the maps which SSD uses."""
    if spec.backbone == "vgg16":
        return VGG16SSD(flavour)
    if spec.backbone == "inception_v2":
        return InceptionV2(flavour, tap_4c=True)
    return MobileNetV1(spec.alpha, flavour)


def make_extras(
    spec: DetectorSpec, last: int, flavour: Flavour
) -> tuple[nn.ModuleList, list[int]]:
    """The layers after the body, each 1x1 to half its depth and then 3x3, and their depths."""
    layout = layout_of(spec)
    extras, depths, before = nn.ModuleList(), [], last
    for number, full in enumerate(layout.extras):
        depth = scale_channels(full, spec.alpha)
        half = depth // 2
        if spec.backbone == "vgg16":  # It has no batch norm.
            padded = number < len(layout.extras) - layout.valid
            spread = nn.Conv2d(half, depth, 3, stride=2 if padded else 1, padding=int(padded))
            squeeze = nn.Conv2d(before, half, 1), nn.ReLU(inplace=True)
            extras.append(nn.Sequential(*squeeze, spread, nn.ReLU(inplace=True)))
        else:
            first = ConvBNAct(before, half, 1, flavour=flavour)
            extras.append(nn.Sequential(first, _halving(spec, half, depth, flavour)))
        depths.append(depth)
        before = depth
    return extras, depths


def _halving(spec: DetectorSpec, before: int, after: int, flavour: Flavour) -> nn.Module:
    """A 3x3 convolution of stride 2."""
    if spec.head == "ssdlite":
        return SeparableBlock(before, after, stride=2, flavour=flavour)
    return ConvBNAct(before, after, 3, stride=2, flavour=flavour)


def make_predictors(
    spec: DetectorSpec, depths: list[int], outputs: list[int], flavour: Flavour
) -> nn.ModuleList:
    """One predictor per feature map; its last convolution has a bias and no batch norm."""
    kernel = layout_of(spec).kernel
    predictors = nn.ModuleList()
    for depth, out in zip(depths, outputs, strict=True):
        last = nn.Conv2d(depth, out, kernel, padding=kernel // 2)
        if spec.head == "ssdlite":
            spread = ConvBNAct(depth, depth, 3, groups=depth, flavour=flavour)
            predictors.append(nn.Sequential(spread, last))
        else:
            predictors.append(last)
    return predictors


class ChannelScale(nn.Module):
    """Scales each pixel's channels to length 1, then by a learned factor each.

    VGG's conv4_3 has far larger values than the maps after it (SSD paper, section 3.1).
    """

    def __init__(self, channels: int, start: float = 20.0) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.full((channels,), start))

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) to the same shape."""
        return functional.normalize(x, dim=1) * self.scale.view(1, -1, 1, 1)
