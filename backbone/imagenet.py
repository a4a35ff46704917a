"""The flavour of bodies whose conventions are fixed: those of torchvision's ImageNet models."""

from __future__ import annotations

from backbone.flavour import Flavour, InputSpec
from datasets.errors import InputError

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


def imagenet_flavour(*, bn_eps: float = 1e-5, size: int = 224) -> Flavour:
    """Symmetric padding, ReLU and ImageNet's mean and standard deviation.

    Args:
        bn_eps: Batch-norm epsilon: 1e-3 in the Inception family.
        size: Side of the input in pixels.
    """
    return Flavour("symmetric", bn_eps, "relu", InputSpec(size, MEAN, STD))


def keep_conventions(given: Flavour | None, own: Flavour, name: str) -> Flavour:
    """The flavour of a body that can read photos in any way but computes in one way only.

    Args:
        given: What was asked for; None takes ``own``. Its ``input`` may be any.
        own: What the body is built with.
        name: Of the body, for the error.

    Raises:
        InputError: If padding, batch-norm epsilon or activation differ, naming both sides.
    """
    if given is None:
        return own
    for field in ("padding", "bn_eps", "activation"):
        asked, fixed = getattr(given, field), getattr(own, field)
        if asked != fixed:
            raise InputError(
                f"{name} is built with {field} {fixed} and cannot take a flavour with {asked}"
            )
    return given
