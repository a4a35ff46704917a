"""What a classifier is made of. Nothing heavy is imported: command-line help is built from it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from tasks.flag_values import require_at_least, require_within

TASK = "classification"
# Weights of a body without anything on top, from which any network can start.
BODY_TASK = "body"
Robust = Literal["none", "gce"]


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
    balance: float = 0.0
    """For sets whose classes differ in size: an image counts by (1 / images of its class) to this
    power. 0: every image counts the same; 1: every class does; between them, as .5, less so."""
    dropout: float = 0.001
    """Share of the features that are dropped before the last layer in training."""
    progressive: float = 1.0
    """Share of the resolution that training begins with; it grows to the whole over the first
    three quarters of the run. At .5 a run computes about 70 %."""

    def __post_init__(self) -> None:
        """Refuse what teaches nothing. Raises InputError naming the flag and its value."""
        require_within(self, "[0, 1)", "label_smoothing", "dropout")
        require_within(self, "(0, 1]", "gce_q", "progressive")
        require_within(self, "[0, 1]", "balance")
        require_at_least(self, 0, "mixup", "cutmix")
