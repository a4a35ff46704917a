"""GoogLeNet (Szegedy et al., arXiv 1409.4842) from torchvision, as a body."""

from __future__ import annotations

from typing import Any

from torch import nn
from torchvision.models import googlenet

from backbone.body import Body, Stage
from backbone.flavour import Flavour, imagenet_flavour, keep_conventions
from backbone.layers import init_tf_slim

FLAVOUR = imagenet_flavour(bn_eps=1e-3)


class GoogLeNet(Body):
    """The baseline of table 8, with batch norm and without the auxiliary classifiers.

    Args:
        flavour: Conventions; only the input may differ from torchvision's.
        true_5x5: Whether to build 5x5 convolutions as in GoogLeNet's paper; torchvision, and its
            weights, have 3x3 ones there.

    Attributes:
        channels: {2: 64, 4: 192, 8: 480, 16: 832, 32: 1024}.
    """

    def __init__(self, flavour: Flavour | None = None, *, true_5x5: bool = False) -> None:
        flavour = keep_conventions(flavour, FLAVOUR, "googlenet")
        net = googlenet(weights=None, aux_logits=False, transform_input=False, init_weights=False)
        stages = [
            Stage(net.conv1, 2, 64),
            Stage(net.maxpool1, 2, 64),
            Stage(net.conv2, 1, 64),
            Stage(net.conv3, 1, 192),
            Stage(net.maxpool2, 2, 192),
            Stage(net.inception3a, 1, 256),
            Stage(net.inception3b, 1, 480),
            Stage(net.maxpool3, 2, 480),
            Stage(net.inception4a, 1, 512),
            Stage(net.inception4b, 1, 512),
            Stage(net.inception4c, 1, 512),
            Stage(net.inception4d, 1, 528),
            Stage(net.inception4e, 1, 832),
            Stage(net.maxpool4, 2, 832),
            Stage(net.inception5a, 1, 832),
            Stage(net.inception5b, 1, 1024),
        ]
        if true_5x5:
            for stage in stages:
                _widen_third_branch(stage.layer)
        super().__init__(stages, flavour)
        init_tf_slim(self)


def _widen_third_branch(block: Any) -> None:
    """Make the 3x3 convolution of an inception block's third branch a 5x5 one."""
    if hasattr(block, "branch3"):
        narrow = block.branch3[1].conv
        block.branch3[1].conv = nn.Conv2d(
            narrow.in_channels, narrow.out_channels, 5, padding=2, bias=False
        )
