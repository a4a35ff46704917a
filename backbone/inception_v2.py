"""Inception V2, or BN-Inception (Ioffe and Szegedy, arXiv 1502.03167), in TF-slim's form."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from backbone.body import Body, Stage
from backbone.flavour import Flavour
from backbone.layers import ConvBNAct, init_tf_slim, same_padding

FLAVOUR = Flavour(padding="same", bn_eps=1e-3, activation="relu")
# Depthwise outputs per input channel in the stem.
STEM_MULTIPLIER = 8
# Name: widths of the branches 1x1 | 1x1, 3x3 | 1x1, 3x3, 3x3 | pool, 1x1. An empty first branch
# and a pool without a convolution make the two modules that halve the map.
_Widths = tuple[tuple[int, ...], tuple[int, ...], tuple[int, ...], tuple[str, int]]
MODULES: dict[str, _Widths] = {
    "3b": ((64,), (64, 64), (64, 96, 96), ("avg", 32)),
    "3c": ((64,), (64, 96), (64, 96, 96), ("avg", 64)),
    "4a": ((), (128, 160), (64, 96, 96), ("max", 0)),
    "4b": ((224,), (64, 96), (96, 128, 128), ("avg", 128)),
    "4c": ((192,), (96, 128), (96, 128, 128), ("avg", 128)),
    "4d": ((160,), (128, 160), (128, 160, 160), ("avg", 96)),
    "4e": ((96,), (128, 192), (160, 192, 192), ("avg", 96)),
    "5a": ((), (128, 192), (192, 256, 256), ("max", 0)),
    "5b": ((352,), (192, 320), (160, 224, 224), ("avg", 128)),
    "5c": ((352,), (192, 320), (192, 224, 224), ("max", 128)),
}


class InceptionV2(Body):
    """A separable 7x7 stem, two convolutions and the modules Mixed_3b to Mixed_5c.

    Args:
        flavour: Padding, batch-norm epsilon and activation.
        tap_4c: Return Mixed_4c at stride 16 instead of Mixed_4e, as TensorFlow's SSD does;
            splitting is not affected.

    Attributes:
        channels: {2: 64, 4: 192, 8: 320, 16: 576, 32: 1024}.
    """

    def __init__(self, flavour: Flavour | None = None, *, tap_4c: bool = False) -> None:
        flavour = flavour or FLAVOUR
        stages = [
            Stage(_stem(flavour), 2, 64),
            Stage(_HalvingPool(flavour), 2, 64),
            Stage(ConvBNAct(64, 64, 1, flavour=flavour), 1, 64),
            Stage(ConvBNAct(64, 192, 3, flavour=flavour), 1, 192),
            Stage(_HalvingPool(flavour), 2, 192),
        ]
        index = {}
        for name, widths in MODULES.items():
            module = _Mixed(stages[-1].channels, widths, flavour)
            index[name] = len(stages)
            stages.append(Stage(module, module.stride, module.out_channels))
        super().__init__(stages, flavour)
        if tap_4c:
            self.taps[16] = index["4c"]
        init_tf_slim(self)


def _stem(flavour: Flavour) -> nn.Sequential:
    """7x7 at stride 2, factorised; slim's separable convolution has nothing in between."""
    depthwise = ConvBNAct(
        3, 3 * STEM_MULTIPLIER, 7, stride=2, groups=3, flavour=flavour, norm=False, act=False
    )
    return nn.Sequential(depthwise, ConvBNAct(3 * STEM_MULTIPLIER, 64, 1, flavour=flavour))


class _Mixed(nn.Module):
    """Four parallel branches, concatenated: (B, C, H, W) -> (B, out_channels, H/s, W/s).

    A module that halves the map does so in the last 3x3 convolution of each branch.
    """

    def __init__(self, in_channels: int, widths: _Widths, flavour: Flavour) -> None:
        super().__init__()
        single, double, triple, (pool, projection) = widths
        self.stride = 1 if single else 2
        branches: list[nn.Module] = [
            _branch(in_channels, branch, self.stride, flavour)
            for branch in (single, double, triple)
            if branch
        ]
        if projection:
            # TensorFlow's average pool does not count the padding.
            pooled = (
                nn.AvgPool2d(3, stride=1, padding=1, count_include_pad=False)
                if pool == "avg"
                else nn.MaxPool2d(3, stride=1, padding=1)
            )
            conv = ConvBNAct(in_channels, projection, 1, flavour=flavour)
            branches.append(nn.Sequential(pooled, conv))
        else:
            branches.append(_HalvingPool(flavour))
        self.branches = nn.ModuleList(branches)
        ends = sum(branch[-1] for branch in (single, double, triple) if branch)
        self.out_channels = ends + (projection or in_channels)

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat([branch(x) for branch in self.branches], 1)


def _branch(
    in_channels: int, widths: tuple[int, ...], stride: int, flavour: Flavour
) -> nn.Sequential:
    layers: list[nn.Module] = []
    for index, width in enumerate(widths):
        last = index == len(widths) - 1
        kernel, step = (3 if index else 1), (stride if last else 1)
        layers.append(ConvBNAct(in_channels, width, kernel, stride=step, flavour=flavour))
        in_channels = width
    return nn.Sequential(*layers)


class _HalvingPool(nn.Module):
    """3x3 maximum at stride 2 with the flavour's padding: (B, C, H, W) -> ceil(H/2), ceil(W/2)."""

    def __init__(self, flavour: Flavour) -> None:
        super().__init__()
        self.same = flavour.padding != "symmetric"

    def forward(self, x: Tensor) -> Tensor:
        if not self.same:
            return functional.max_pool2d(x, 3, 2, padding=1)
        # SAME padding after the map is what ceil_mode adds, so only the part before is given.
        before = [same_padding(size, 3, 2)[0] for size in x.shape[-2:]]
        return functional.max_pool2d(x, 3, 2, padding=before, ceil_mode=True)
