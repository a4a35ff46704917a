"""The architecture of a body with a head. It imports nothing slow: --help is built from it."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Annotated, Any, ClassVar, get_args

import tyro

from backbone.flavour import MOST_PIXELS_A_SIDE
from backbone.spec import BackboneName, OnBody, Variant
from datasets.errors import InputError


@dataclass(frozen=True)
class ClassifierSpec(OnBody):
    """Architecture of the network."""

    OF_MOBILENET: ClassVar[tuple[str, ...]] = ("alpha", "variant", "stem_stride")

    backbone: BackboneName = "mobilenet_v1"
    """Body of the network."""
    alpha: Annotated[float, tyro.conf.arg(aliases=("--width",))] = 1.0
    """Width multiplier of MobileNet, above 0; the paper uses 1, .75, .5 and .25."""
    variant: Variant = "standard"
    """Variant of MobileNet: shallow (table 5), full_conv (table 4), conv_head (an additional 1x1
    convolution at the end, as in timm's mobilenetv1_100h), or, for the other names, where batch
    norm and activation are placed in a block."""
    stem_stride: int = 2
    """Stride of MobileNet's first convolution; 1 keeps four times as many positions, for small
    images."""
    size: Annotated[int, tyro.conf.arg(aliases=("--resolution",))] = 224
    """Side of the square input in pixels, 32 to 8192: the paper's resolution multiplier."""

    def __post_init__(self) -> None:
        """Refuse what cannot be built. Raises InputError naming field, value and choices."""
        if not self.alpha > 0:
            raise InputError(f"--alpha {self.alpha} must be above 0 (1 is full width)")
        if self.stem_stride not in (1, 2):
            raise InputError(f"--stem-stride {self.stem_stride}: choose 1 or 2")
        if self.size < 32:
            raise InputError(f"--size {self.size} is too small: 32 pixels or more")
        if self.size > MOST_PIXELS_A_SIDE:
            raise InputError(f"--size {self.size} is too large: {MOST_PIXELS_A_SIDE} at the most")
        for name, choices in (
            ("backbone", get_args(BackboneName)),
            ("variant", get_args(Variant)),
        ):
            if getattr(self, name) not in choices:
                raise InputError(
                    f"unknown {name} {getattr(self, name)!r}: choose one of {', '.join(choices)}"
                )

    def to_json(self) -> dict[str, Any]:
        """Plain dict for a card."""
        return asdict(self)
