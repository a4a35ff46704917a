"""The options of a classifier. It imports nothing slow: command-line help is built from it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from tasks.flag_values import require_at_least, require_within

TASK = "classification"
# Task of weights of a body without a head, from which any network can start.
BODY_TASK = "body"
Robust = Literal["none", "gce"]


@dataclass(frozen=True)
class ClassLossSpec:
    """The training objective of a classifier."""

    label_smoothing: float = 0.0
    """Share of the target probability that is spread evenly over all classes, from 0 to below 1;
    the paper uses none."""
    robust: Robust = "none"
    """Loss against wrong labels. gce: generalised cross-entropy, in which an image counts less the
    more the network disagrees with its label. none: plain cross-entropy."""
    gce_q: float = 0.5
    """How strongly gce discounts such images, above 0 and up to 1: near 0 it is cross-entropy; 1
    discounts most and learns slowest."""
    mixup: float = 0.0
    """Mixup: parameter a of the Beta(a, a) distribution from which the blending ratio of two
    images is drawn; 0 disables it."""
    cutmix: float = 0.0
    """CutMix: parameter a of the Beta(a, a) distribution of the area that is pasted from another
    image; 0 disables it. If mixup is used too, each batch gets one of the two."""
    balance: float = 0.0
    """Weight of rare classes, from 0 to 1: the loss of an image is multiplied by (1 / number of
    images of its class) to this power, scaled to a mean of 1. 0: every image has the same weight;
    1: every class has."""
    dropout: float = 0.001
    """Dropout before the last layer: share of the features that are set to zero in training, from
    0 to below 1."""
    progressive: float = 1.0
    """Progressive resolution: share of the input size with which training begins, above 0 and up
    to 1. It grows to the full size over the first three quarters of the run. At .5 a run needs
    about 70 % of the computation."""

    def __post_init__(self) -> None:
        """Refuse values that cannot train. Raises InputError naming the flag and its value."""
        require_within(self, "[0, 1)", "label_smoothing", "dropout")
        require_within(self, "(0, 1]", "gce_q", "progressive")
        require_within(self, "[0, 1]", "balance")
        require_at_least(self, 0, "mixup", "cutmix")
