"""Names of the bodies. Nothing heavy is imported: command-line help is built from it."""

from __future__ import annotations

from typing import Literal

BackboneName = Literal[
    "mobilenet_v1",
    "vgg16",
    "inception_v2",
    "inception_v3",
    "googlenet",
    "squeezenet",
    "alexnet",
    "resnet50",
    "resnet50_separable",
    "resnet50_separable_params",
]
Variant = Literal[
    "standard",
    "shallow",
    "full_conv",
    "conv_head",
    "act_after_pointwise",
    "act_after_depthwise",
    "bn_act_after_pointwise",
    "bn_act_after_depthwise",
]
