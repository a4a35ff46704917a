"""What a detector is made of. Nothing heavy is imported: command-line help is built from it."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Literal, get_args

from tasks.spec import flag_of

Framework = Literal["ssd300"]
Head = Literal["ssd", "ssdlite"]
Loss = Literal["hard_negative", "focal"]


@dataclass(frozen=True)
class DetectorSpec:
    """Architecture; together with the class list and the flavour it rebuilds the network."""

    framework: Framework = "ssd300"
    """Detector on top of the body."""
    alpha: float = 1.0
    """Width multiplier of the body and of the extra layers, above 0; 1, .75, .5, .25 in the
    paper."""
    size: int = 300
    """Side of the square input in pixels, 32 or more; photos are warped to it."""
    head: Head = "ssd"
    """ssd: 1x1 predictors as in table 13; ssdlite: depthwise-separable extras and predictors."""

    def __post_init__(self) -> None:
        """Refuse what cannot be built.

        Raises:
            ValueError: Naming the field, the value and the choices.
        """
        if not self.alpha > 0:
            raise ValueError(f"--alpha {self.alpha} must be above 0 (1 is full width)")
        if self.size < 32:
            raise ValueError(f"--size {self.size} is too small: 32 pixels or more")
        for name, choices in (("framework", get_args(Framework)), ("head", get_args(Head))):
            if getattr(self, name) not in choices:
                raise ValueError(
                    f"unknown {name} {getattr(self, name)!r}: choose one of {', '.join(choices)}"
                )

    def to_json(self) -> dict[str, Any]:
        """Plain dict for a card."""
        return asdict(self)


@dataclass(frozen=True)
class LossSpec:
    """The training objective. Defaults are the TensorFlow recipe of the paper's authors."""

    loss: Loss = "hard_negative"
    """Class loss: sigmoid cross-entropy with hard-negative mining, or focal over all anchors."""
    match_iou: float = 0.5
    """Anchors that overlap a box by this IoU or more are trained to find it."""
    negatives_per_positive: float = 3.0
    """Hard-negative mining keeps this many of the worst background anchors per matched one."""
    min_negatives: int = 0
    """Background anchors kept at least, so that images without objects teach too."""
    focal_alpha: float = 0.75
    """Weight of the positive class in the focal loss."""
    focal_gamma: float = 2.0
    """Exponent of the focal loss."""
    box_weight: float = 1.0
    """Weight of the smooth L1 box loss against the class loss."""

    def __post_init__(self) -> None:
        """Refuse what teaches nothing.

        Raises:
            ValueError: Naming the flag and its value.
        """
        for name in ("match_iou", "focal_alpha"):
            if not 0 < getattr(self, name) < 1:
                raise ValueError(f"--{flag_of(name)} {getattr(self, name)} is not between 0 and 1")
        for name in ("negatives_per_positive", "min_negatives", "focal_gamma", "box_weight"):
            if not 0 <= getattr(self, name) < float("inf"):
                raise ValueError(f"--{flag_of(name)} {getattr(self, name)} must be 0 or more")


@dataclass(frozen=True)
class PostSpec:
    """From raw outputs to detections."""

    score_threshold: float = 0.01
    """Lowest score that is reported (COCO's mAP wants it low; pictures use a higher one)."""
    nms_iou: float = 0.6
    """Of two boxes of one class that overlap by more, the weaker is dropped."""
    candidates: int = 1000
    """(anchor, class) pairs that enter NMS per image, best first."""
    detections: int = 100
    """Most detections per image."""

    def __post_init__(self) -> None:
        """Refuse values outside their ranges.

        Raises:
            ValueError: Naming the field and the value.
        """
        for name in ("score_threshold", "nms_iou"):
            if not 0 <= getattr(self, name) <= 1:
                raise ValueError(f"--{flag_of(name)} {getattr(self, name)} is not in [0, 1]")
        for name in ("candidates", "detections"):
            if getattr(self, name) < 1:
                raise ValueError(f"--{flag_of(name)} {getattr(self, name)} must be 1 or more")
