"""Inception V3 (Szegedy et al., arXiv 1512.00567) from torchvision, as a body."""

from __future__ import annotations

from torch import nn
from torchvision.models import inception_v3

from backbone.body import Body, Stage
from backbone.flavour import Flavour, imagenet_flavour, keep_conventions
from backbone.layers import init_tf_slim

FLAVOUR = imagenet_flavour(bn_eps=1e-3, size=299)
# Standard deviation of fresh weights in TF-slim and torchvision.
INIT_STD = 0.1


class InceptionV3(Body):
    """The baseline of table 10, without the auxiliary classifier.

    Its stem does not pad, so maps are a few rows smaller than ceil(H / s): 8x8 at 299 pixels.

    Args:
        flavour: Conventions; only the input may differ from torchvision's.

    Attributes:
        channels: {2: 64, 4: 192, 8: 288, 16: 768, 32: 2048}.
    """

    def __init__(self, flavour: Flavour | None = None) -> None:
        flavour = keep_conventions(flavour, FLAVOUR, "inception_v3")
        net = inception_v3(
            weights=None, aux_logits=False, transform_input=False, init_weights=False
        )
        stages = [
            Stage(net.Conv2d_1a_3x3, 2, 32),
            Stage(net.Conv2d_2a_3x3, 1, 32),
            Stage(net.Conv2d_2b_3x3, 1, 64),
            Stage(nn.MaxPool2d(3, stride=2), 2, 64),
            Stage(net.Conv2d_3b_1x1, 1, 80),
            Stage(net.Conv2d_4a_3x3, 1, 192),
            Stage(nn.MaxPool2d(3, stride=2), 2, 192),
            Stage(net.Mixed_5b, 1, 256),
            Stage(net.Mixed_5c, 1, 288),
            Stage(net.Mixed_5d, 1, 288),
            Stage(net.Mixed_6a, 2, 768),
            Stage(net.Mixed_6b, 1, 768),
            Stage(net.Mixed_6c, 1, 768),
            Stage(net.Mixed_6d, 1, 768),
            Stage(net.Mixed_6e, 1, 768),
            Stage(net.Mixed_7a, 2, 1280),
            Stage(net.Mixed_7b, 1, 2048),
            Stage(net.Mixed_7c, 1, 2048),
        ]
        super().__init__(stages, flavour, min_size=75)
        init_tf_slim(self, INIT_STD)
