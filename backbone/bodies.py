"""All bodies by name: MobileNet v1 and those that the paper compares it with."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from backbone import alexnet, googlenet, inception_v2, inception_v3, resnet50, squeezenet, vgg16
from backbone.body import Body
from backbone.flavour import Flavour
from backbone.mobilenet_v1 import MobileNetV1
from backbone.spec import BackboneName, Variant
from datasets.errors import InputError

# Function that builds a body from a flavour or None, and its default flavour.
_COMPARED: dict[BackboneName, tuple[Callable[[Flavour | None], Body], Flavour]] = {
    "vgg16": (vgg16.VGG16, vgg16.FLAVOUR),
    "inception_v2": (inception_v2.InceptionV2, inception_v2.FLAVOUR),
    "inception_v3": (inception_v3.InceptionV3, inception_v3.FLAVOUR),
    "googlenet": (googlenet.GoogLeNet, googlenet.FLAVOUR),
    "squeezenet": (squeezenet.SqueezeNet, squeezenet.FLAVOUR),
    "alexnet": (alexnet.AlexNet, alexnet.FLAVOUR),
    "resnet50": (resnet50.ResNet50, resnet50.FLAVOUR),
    "resnet50_separable": (partial(resnet50.ResNet50, separable=True), resnet50.FLAVOUR),
    "resnet50_separable_params": (
        partial(resnet50.ResNet50, separable=True, match="params"),
        resnet50.FLAVOUR,
    ),
}


def build_body(
    name: BackboneName,
    *,
    alpha: float = 1.0,
    variant: Variant = "standard",
    stem_stride: int = 2,
    flavour: Flavour | None = None,
) -> Body:
    """A body with fresh weights.

    Args:
        name: Name of the body.
        alpha: Width multiplier of MobileNet.
        variant: Variant of MobileNet.
        stem_stride: Stride of MobileNet's first convolution.
        flavour: Conventions; None means the body's default.

    Raises:
        InputError: If the body is unknown, has no width multiplier or variants, or cannot
            follow the flavour.
    """
    if name == "mobilenet_v1":
        return MobileNetV1(alpha, flavour, variant=variant, stem_stride=stem_stride)
    _check_name(name)
    for flag, value, only in (
        ("--alpha", alpha, 1.0),
        ("--variant", variant, "standard"),
        ("--stem-stride", stem_stride, 2),
    ):
        if value != only:
            raise InputError(f"{flag} {value} is for mobilenet_v1: {name} takes {only} only")
    build, _ = _COMPARED[name]
    return build(flavour)


def default_flavour(name: BackboneName) -> Flavour:
    """A body's usual conventions. Raises InputError if the body is unknown."""
    if name == "mobilenet_v1":
        return Flavour()
    _check_name(name)
    return _COMPARED[name][1]


def _check_name(name: BackboneName) -> None:
    if name not in _COMPARED:
        choices = ", ".join(("mobilenet_v1", *_COMPARED))
        raise InputError(f"unknown backbone {name!r}: choose one of {choices}")
