"""A flavour in the making: what a file states, what its source usually does, what the user says.

Nothing heavy is imported: the fields are flags of tools/import_weights.py.
"""

from __future__ import annotations

from dataclasses import dataclass, fields

from backbone.flavour import ChannelOrder, Flavour, InputSpec, Interpolation, Padding
from datasets.errors import InputError

RGB = tuple[float, float, float]
# What a weights file or its layout implies; an input can be prepared anew, these cannot.
_OF_NETWORK = ("padding", "bn_eps", "activation")


@dataclass(frozen=True)
class PartialFlavour:
    """Conventions of the weights, for sources that do not tell them."""

    padding: Padding | None = None
    """same (TensorFlow), symmetric (PyTorch, Caffe) or keras (as SAME but on odd sizes)."""
    bn_eps: float | None = None
    """Batch-norm epsilon: 1e-3 in TensorFlow and Keras, 1e-5 in PyTorch and Caffe."""
    activation: str | None = None
    """relu6, relu or leaky_relu:SLOPE."""
    size: int | None = None
    """Side of the square input in pixels."""
    mean: RGB | None = None
    """Subtracted per channel, on the 0..1 scale: .485 .456 .406 for ImageNet's."""
    std: RGB | None = None
    """Divided by per channel, on the 0..1 scale: .229 .224 .225 for ImageNet's."""
    channels: ChannelOrder | None = None
    """Channel order of the input: rgb unless the source is Caffe."""
    interpolation: Interpolation | None = None
    """How photos were resized: bilinear unless the source is timm."""
    crop: float | None = None
    """Share of the resized short side that the central crop keeps: .875 unless known."""

    def values(self) -> dict[str, object]:
        """What is known, by field."""
        every = {field.name: getattr(self, field.name) for field in fields(self)}
        return {name: value for name, value in every.items() if value is not None}


# What may be taken for granted where neither the file nor the user says otherwise.
PLAIN = PartialFlavour(channels="rgb", interpolation="bilinear", crop=0.875)
# TensorFlow's and Keras' models see -1..1.
TENSORFLOW = PartialFlavour(
    mean=(0.5,) * 3, std=(0.5,) * 3, channels="rgb", interpolation="bilinear", crop=0.875
)


def resolve(
    name: str, stated: PartialFlavour, usual: PartialFlavour, given: PartialFlavour
) -> Flavour:
    """One whole flavour from three partial ones.

    Args:
        name: Of the file, for errors.
        stated: What the file or its layout says: cannot be overruled.
        usual: What holds for this source unless the user says otherwise.
        given: What the user says.

    Raises:
        InputError: If the user contradicts the file, naming both; or if something is still
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
        raise InputError(f"{name}: nothing in this file tells its conventions; give {flags}")
    network = {field: known.pop(field) for field in _OF_NETWORK}
    return Flavour(**network, input=InputSpec(**known))  # type: ignore[arg-type]


def assumed_input(stated: PartialFlavour, usual: PartialFlavour, given: PartialFlavour) -> str:
    """What is taken for granted of the values that a network sees, and how to say otherwise.

    Empty if the file or the user tells. The partial flavours are those of :func:`resolve`.
    """
    told = {**stated.values(), **given.values()}
    mean, std = usual.mean, usual.std
    if mean is None or std is None or {"mean", "std"} <= told.keys():
        return ""
    low, high = -mean[0] / std[0], (1 - mean[0]) / std[0]
    return (
        f"input: values in {low:g}..{high:g} are assumed, for the file does not tell (--mean "
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
