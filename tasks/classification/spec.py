"""What a classifier is made of. Nothing heavy is imported: command-line help is built from it."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Annotated, Any, Literal, get_args

import tyro

from backbone.spec import BackboneName, Variant
from datasets.errors import InputError
from tasks.fitting.spec import flag_of

TASK = "classification"
# Weights of a body without anything on top, from which any network can start.
BODY_TASK = "body"
Robust = Literal["none", "gce"]


@dataclass(frozen=True)
class ClassifierSpec:
    """Architecture; together with the class list and the flavour it rebuilds the network."""

    backbone: BackboneName = "mobilenet_v1"
    """Body of the network."""
    alpha: Annotated[float, tyro.conf.arg(aliases=("--width",))] = 1.0
    """Width multiplier of MobileNet, above 0; 1, .75, .5, .25 in the paper."""
    variant: Variant = "standard"
    """Of MobileNet: shallow (table 5), full_conv (table 4), conv_head (one more 1x1 convolution at
    the end, as timm's mobilenetv1_100h), or where batch norm and activation stand in a block."""
    stem_stride: int = 2
    """Of MobileNet's first convolution; 1 keeps four times the pixels, for small pictures."""
    size: Annotated[int, tyro.conf.arg(aliases=("--resolution",))] = 224
    """Side of the square input in pixels, 32 or more: the paper's resolution multiplier."""

    def __post_init__(self) -> None:
        """Refuse what cannot be built.

        Raises:
            InputError: Naming the field, the value and the choices.
        """
        if not self.alpha > 0:
            raise InputError(f"--alpha {self.alpha} must be above 0 (1 is full width)")
        if self.stem_stride not in (1, 2):
            raise InputError(f"--stem-stride {self.stem_stride}: choose 1 or 2")
        if self.size < 32:
            raise InputError(f"--size {self.size} is too small: 32 pixels or more")
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


@dataclass(frozen=True)
class ClassLossSpec:
    """The training objective of a classifier."""

    label_smoothing: float = 0.0
    """Share of the target that is spread over all classes; the paper uses none."""
    robust: Robust = "none"
    """Against wrong labels. gce: generalised cross-entropy, to which a photo counts less the more
    unlike its label the network finds it."""
    gce_q: float = 0.5
    """How much less, in (0, 1]: towards 0 it is cross-entropy, at 1 it learns slowest."""
    mixup: float = 0.0
    """Beta(a, a) by which pairs of images are blended in training; 0 for none."""
    cutmix: float = 0.0
    """Beta(a, a) of the area by which pairs of images are pasted; 0 for none. With mixup too,
    each batch takes one of them."""
    dropout: float = 0.001
    """Share of the features that are dropped before the last layer in training."""
    progressive: float = 1.0
    """Share of the resolution that training begins with; it grows to the whole over the first
    three quarters of the run. At .5 a run computes about 70 %."""

    def __post_init__(self) -> None:
        """Refuse what teaches nothing.

        Raises:
            InputError: Naming the flag and its value.
        """
        for name in ("label_smoothing", "dropout"):
            if not 0 <= getattr(self, name) < 1:
                raise InputError(f"--{flag_of(name)} {getattr(self, name)} is not in [0, 1)")
        if not 0 < self.gce_q <= 1:
            raise InputError(f"--gce-q {self.gce_q} is not in (0, 1]")
        if not 0 < self.progressive <= 1:
            raise InputError(f"--progressive {self.progressive} is not in (0, 1]")
        for name in ("mixup", "cutmix"):
            if not 0 <= getattr(self, name) < float("inf"):
                raise InputError(f"--{flag_of(name)} {getattr(self, name)} must be 0 or more")
