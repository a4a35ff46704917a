"""An incomplete flavour: what a file states, what its source usually does, what the user gives.

It imports nothing slow: the fields are flags of tools/import_weights.py.
"""

from __future__ import annotations

from dataclasses import dataclass, fields

from backbone.flavour import ChannelOrder, Flavour, InputSpec, Interpolation, Padding
from datasets.errors import InputError

RGB = tuple[float, float, float]
# What a weights file or its layout implies; preprocessing can be changed later, these cannot.
_OF_NETWORK = ("padding", "bn_eps", "activation")


@dataclass(frozen=True)
class PartialFlavour:
    """Conventions of the weights, for files that do not state them."""

    padding: Padding | None = None
    """Padding of convolutions: same (TensorFlow), symmetric (PyTorch, Caffe) or keras (same, but
    different on odd sizes)."""
    bn_eps: float | None = None
    """Epsilon of batch norm: 1e-3 in TensorFlow and Keras, 1e-5 in PyTorch and Caffe."""
    activation: str | None = None
    """Activation: relu6, relu or leaky_relu:SLOPE."""
    size: int | None = None
    """Side of the square input in pixels."""
    mean: RGB | None = None
    """Value that is subtracted per channel, on the 0..1 scale: .485 .456 .406 for ImageNet
    statistics."""
    std: RGB | None = None
    """Value that each channel is divided by, on the 0..1 scale: .229 .224 .225 for ImageNet
    statistics."""
    channels: ChannelOrder | None = None
    """Channel order of the input; rgb by default, except for Caffe."""
    interpolation: Interpolation | None = None
    """How images were resized; bilinear by default, except for timm."""
    crop: float | None = None
    """Share of the short side of the resized image that the central crop keeps; .875 by default.
    """

    def values(self) -> dict[str, object]:
        """The known values, by field."""
        every = {field.name: getattr(self, field.name) for field in fields(self)}
        return {name: value for name, value in every.items() if value is not None}


# Defaults where neither the file nor the user states anything else.
PLAIN = PartialFlavour(channels="rgb", interpolation="bilinear", crop=0.875)
# TensorFlow's and Keras' models see -1..1.
TENSORFLOW = PartialFlavour(
    mean=(0.5,) * 3, std=(0.5,) * 3, channels="rgb", interpolation="bilinear", crop=0.875
)


def resolve(
    name: str, stated: PartialFlavour, usual: PartialFlavour, given: PartialFlavour
) -> Flavour:
    """Combine three incomplete flavours into a complete one.

    Args:
        name: Name of the file, for errors.
        stated: Values that the file or its layout states, which cannot be overridden.
        usual: Values that hold for this source unless the user gives others.
        given: Values that the user gives.

    Raises:
        InputError: If the user contradicts the file, naming both values; or if something is still
            unknown, naming the flags to give.
    """
    said, asked = stated.values(), given.values()
    for field, value in asked.items():
        # As far as it is shown: converters store factors, which round.
        if field in said and _shown(said[field]) != _shown(value):
            raise InputError(
                f"{name}: {_flag(field)} {_shown(value)} contradicts the file, which has "
                f"{_shown(said[field])}: leave the flag out"
            )
    known = {**usual.values(), **asked, **said}
    missing = [field.name for field in fields(PartialFlavour) if field.name not in known]
    if missing:
        flags = ", ".join(f"{_flag(field)} {_HINTS[field]}" for field in missing)
        raise InputError(f"{name}: this file states none of its conventions; give {flags}")
    network = {field: known.pop(field) for field in _OF_NETWORK}
    return Flavour(**network, input=InputSpec(**known))  # type: ignore[arg-type]


def assumed_input(stated: PartialFlavour, usual: PartialFlavour, given: PartialFlavour) -> str:
    """Message about the input range that is assumed, and how to give another one.

    Empty if the file or the user states it. The arguments are those of :func:`resolve`.
    """
    told = {**stated.values(), **given.values()}
    mean, std = usual.mean, usual.std
    if mean is None or std is None or {"mean", "std"} <= told.keys():
        return ""
    low, high = -mean[0] / std[0], (1 - mean[0]) / std[0]
    return (
        f"input: values in {low:g}..{high:g} are assumed, because the file states none (--mean "
        f"{_shown(mean)} --std {_shown(std)}); for 0..1 give --mean 0 0 0 --std 1 1 1, for 0..255 "
        "--mean 0 0 0 --std .0039216 .0039216 .0039216"
    )


_HINTS = {
    "padding": "same|symmetric|keras",
    "bn_eps": "1e-5 (1e-3 from TensorFlow)",
    "activation": "relu6|relu|leaky_relu:SLOPE",
    "size": "PIXELS",
    "mean": "R G B",
    "std": "R G B",
    "channels": "rgb|bgr",
    "interpolation": "bilinear|bicubic",
    "crop": "SHARE",
}


def _flag(field: str) -> str:
    return "--" + field.replace("_", "-")


def _shown(value: object) -> str:
    return " ".join(f"{part:g}" for part in value) if isinstance(value, tuple) else str(value)
