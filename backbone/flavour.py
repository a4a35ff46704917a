"""The conventions that must accompany weights so that a network computes the same as in training.

Weights of the "same" MobileNet v1 from five sources differ in padding, batch-norm epsilon,
activation and input scaling, and a wrong guess in any of them changes the output by 3-12 %. So
nothing here is guessed: a :class:`Flavour` is stored with the weights and read back with them.
This module imports nothing slow, because command-line help is built from it.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, field, fields, replace
from typing import Any, Literal, get_args

from backbone.typed_fields import refuse_other_types
from datasets.errors import InputError

Padding = Literal["same", "symmetric", "keras"]
ChannelOrder = Literal["rgb", "bgr"]
Interpolation = Literal["bilinear", "bicubic"]
# Largest side of a square input; an image of twice this side is larger than any that a network
# here was tried with.
MOST_PIXELS_A_SIDE = 8192
# Fields of an input that may differ between weights and a model that starts from them.
_FREE = ("size", "crop", "interpolation")


@dataclass(frozen=True)
class InputSpec:
    """How an 8-bit image becomes the network's input.

    Attributes:
        size: Side of the square input in pixels, 32 to 8192.
        mean: Value subtracted per channel, on the 0..1 scale, in ``channels`` order.
        std: Divisor per channel, on the 0..1 scale, in ``channels`` order.
        channels: Channel order that the first convolution expects.
        interpolation: How images were resized when the weights were trained.
        crop: Share of the resized short side that the central crop keeps (1: no crop).
    """

    size: int = 224
    mean: tuple[float, float, float] = (0.5, 0.5, 0.5)
    std: tuple[float, float, float] = (0.5, 0.5, 0.5)
    channels: ChannelOrder = "rgb"
    interpolation: Interpolation = "bilinear"
    crop: float = 0.875

    def __post_init__(self) -> None:
        """Refuse values that no network could have been trained with.

        Raises:
            InputError: If the size is under 32 or over 8192, a std is not positive, the crop is
                outside (0, 1], or a name is unknown.
        """
        if self.size < 32:
            raise InputError(f"input size {self.size} is too small: the body needs 32 or more")
        if self.size > MOST_PIXELS_A_SIDE:
            raise InputError(
                f"input size {self.size} is too large: {MOST_PIXELS_A_SIDE} at the most"
            )
        if len(self.mean) != 3 or len(self.std) != 3 or min(self.std) <= 0:
            raise InputError(
                f"mean {self.mean} and std {self.std} need 3 values each, std above 0"
            )
        if not 0 < self.crop <= 1:
            raise InputError(f"crop {self.crop} is not in (0, 1]")
        _check_choice("channels", self.channels, get_args(ChannelOrder))
        _check_choice("interpolation", self.interpolation, get_args(Interpolation))


@dataclass(frozen=True)
class Flavour:
    """The conventions that a set of weights was trained with.

    Attributes:
        padding: ``same`` is TensorFlow's (asymmetric on even sizes), ``symmetric`` pads k//2,
            ``keras`` is SAME except that depthwise convolutions of stride 2 pad (0, 1) on odd
            sizes too and so round the size down.
        bn_eps: Batch-norm epsilon: 1e-3 in TensorFlow and Keras, 1e-5 in PyTorch and Caffe.
        activation: ``relu6``, ``relu`` or ``leaky_relu:SLOPE``.
        input: How an image becomes the input.
    """

    padding: Padding = "same"
    bn_eps: float = 1e-3
    activation: str = "relu6"
    input: InputSpec = field(default_factory=InputSpec)

    def __post_init__(self) -> None:
        """Refuse unknown conventions. Raises InputError naming the value and the choices."""
        _check_choice("padding", self.padding, get_args(Padding))
        if not self.bn_eps > 0:
            raise InputError(f"bn_eps {self.bn_eps} must be above 0")
        parse_activation(self.activation)

    def sized(self, size: int) -> Flavour:
        """The same flavour with another side of the input, in pixels."""
        return replace(self, input=replace(self.input, size=size))

    def to_json(self) -> dict[str, Any]:
        """Plain dict for a card; :meth:`from_json` reads it back."""
        return asdict(self)

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> Flavour:
        """Read a card's flavour. Raises InputError naming a field that is missing or unknown."""
        _check_fields(data, cls)
        if not isinstance(data["input"], dict):
            raise InputError("not a flavour: its input is no table")
        spec = {**data["input"]}
        _check_fields(spec, InputSpec)
        spec["mean"], spec["std"] = tuple(spec["mean"]), tuple(spec["std"])
        return cls(**{**data, "input": InputSpec(**spec)})


def _check_fields(data: dict[str, Any], kind: type[Flavour] | type[InputSpec]) -> None:
    """Refuse missing and unknown fields: a card states everything, and nothing is filled in."""
    odd = data.keys() ^ {field.name for field in fields(kind)}
    if odd:
        raise InputError(f"not a flavour: missing or unknown: {', '.join(sorted(odd))}")
    refuse_other_types(data, kind)


def parse_activation(name: str) -> tuple[str, float]:
    """Split ``leaky_relu:0.1`` into its kind and its negative slope (0 for the other kinds).

    Raises:
        InputError: If the activation is unknown.
    """
    kind, _, slope = name.partition(":")
    if kind in ("relu6", "relu") and not slope:
        return kind, 0.0
    if kind == "leaky_relu":
        try:
            return kind, float(slope)
        except ValueError:
            pass
    raise InputError(
        f"unknown activation {name!r}: choose relu6, relu or leaky_relu:SLOPE (leaky_relu:0.1)"
    )


def refuse_other_flavour(name: str, theirs: Flavour, ours: Flavour) -> None:
    """Check that a model computes by the same conventions as the weights that it starts from.

    Size, crop and interpolation may differ: training adapts to these.

    Args:
        name: Name of the weights file, for the message.
        theirs: Flavour of the weights.
        ours: Flavour of the model to train.

    Raises:
        InputError: If other fields differ; the message names each, with both values.
    """
    there, here = ({**f.to_json(), **f.to_json()["input"]} for f in (theirs, ours))
    odd = [field for field in there if field not in ("input", *_FREE)]
    odd = [field for field in odd if there[field] != here[field]]
    if odd:
        have, lack = (", ".join(f"{f} {side[f]}" for f in odd) for side in (there, here))
        raise InputError(f"{name}: the weights have {have}, the model to train {lack}")


def _check_choice(what: str, value: str, choices: tuple[str, ...]) -> None:
    if value not in choices:
        raise InputError(f"unknown {what} {value!r}: choose one of {', '.join(choices)}")


def imagenet_flavour(*, bn_eps: float = 1e-5, size: int = 224) -> Flavour:
    """The flavour of torchvision's ImageNet models.

    Args:
        bn_eps: Batch-norm epsilon, 1e-3 in the Inception family.
        size: Side of the square input in pixels.
    """
    spec = InputSpec(size, mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225))
    return Flavour("symmetric", bn_eps, "relu", spec)


def keep_conventions(given: Flavour | None, own: Flavour, name: str) -> Flavour:
    """The flavour of a body that accepts any preprocessing but computes in one way only.

    Args:
        given: Requested flavour, with any ``input``; None requests ``own``.
        own: Flavour that the body is built with.
        name: Name of the body, for the error.

    Raises:
        InputError: If padding, batch-norm epsilon or activation differ; the message names both
            sides.
    """
    if given is None:
        return own
    for convention in ("padding", "bn_eps", "activation"):
        asked, fixed = getattr(given, convention), getattr(own, convention)
        if asked != fixed:
            raise InputError(
                f"{name} is built with {convention} {fixed} and cannot take a flavour with {asked}"
            )
    return given
