"""What a detector is made of. Nothing heavy is imported: command-line help is built from it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, ClassVar, Literal, Self, get_args

from backbone.flavour import MOST_PIXELS_A_SIDE
from backbone.spec import OnBody
from datasets.errors import InputError
from tasks.flag_values import require_at_least, require_between_0_and_1, require_within

TASK = "detection"
Framework = Literal["ssd300", "faster_rcnn_300", "faster_rcnn_600"]
DetectorBackbone = Literal["mobilenet_v1", "vgg16", "inception_v2"]
Head = Literal["ssd", "ssdlite"]
Loss = Literal["hard_negative", "focal"]
SIZES: dict[Framework, int] = {"ssd300": 300, "faster_rcnn_300": 300, "faster_rcnn_600": 600}
PROPOSALS = 300
MOST_PROPOSALS = 1000
# Objects that people are shown have a score above this.
SHOWN_SCORE = 0.5


@dataclass(frozen=True)
class DetectorSpec(OnBody):
    """Architecture; together with the class list and the flavour it rebuilds the network."""

    OF_MOBILENET: ClassVar[tuple[str, ...]] = ("alpha", "head")

    framework: Framework = "ssd300"
    """Detector on top of the body."""
    backbone: DetectorBackbone = "mobilenet_v1"
    """Body: MobileNet, or one that table 13 compares it with."""
    alpha: float = 1.0
    """Width multiplier of MobileNet and of the detector's own layers, above 0; 1, .75, .5, .25
    in the paper."""
    size: int = 0
    """Side of the square input in pixels, 32 or more; 0 is the framework's own, 300 or 600."""
    keep_aspect: bool = False
    """Scale a photo's longer side to the input and fill up at its right or bottom, instead of
    warping it to a square as the paper does."""
    head: Head = "ssd"
    """SSD on MobileNet: ssd has 1x1 predictors as in table 13; ssdlite depthwise-separable extras
    and predictors."""
    proposals: int = PROPOSALS
    """Faster R-CNN: regions that its second stage looks at; most of its cost is theirs."""
    roi_pool: bool = False
    """Faster R-CNN: max-pool the 14x14 crops to 7x7, for a second stage of a third of the cost."""

    def __post_init__(self) -> None:
        """Fill in the framework's size, and refuse what cannot be built.

        Raises:
            InputError: Naming the field, the value and the choices.
        """
        choices = {"framework": Framework, "backbone": DetectorBackbone, "head": Head}
        for name, kind in choices.items():
            if getattr(self, name) not in get_args(kind):
                raise InputError(
                    f"unknown {name} {getattr(self, name)!r}: choose one of "
                    f"{', '.join(get_args(kind))}"
                )
        if not self.size:
            object.__setattr__(self, "size", SIZES[self.framework])
        if not self.alpha > 0:
            raise InputError(f"--alpha {self.alpha} must be above 0 (1 is full width)")
        if self.size < 32:
            raise InputError(f"--size {self.size} is too small: 32 pixels or more")
        if self.size > MOST_PIXELS_A_SIDE:
            raise InputError(f"--size {self.size} is too large: {MOST_PIXELS_A_SIDE} at the most")
        if self.backbone == "vgg16" and not self.two_stage and self.size < 268:
            raise InputError(f"--size {self.size} is too small: SSD on VGG16 needs 268 or more")
        if not 1 <= self.proposals <= MOST_PROPOSALS:
            raise InputError(f"--proposals {self.proposals} is not in 1..{MOST_PROPOSALS}")
        self._refuse_idle_flags()

    def _refuse_idle_flags(self) -> None:
        """A flag that would do nothing is a misunderstanding."""
        mobilenet = self.backbone == "mobilenet_v1"
        if self.alpha != 1 and not mobilenet:
            raise InputError(f"--alpha {self.alpha}: {self.backbone} has one width only")
        if self.head != "ssd" and (self.two_stage or not mobilenet):
            raise InputError(f"--head {self.head}: only SSD on mobilenet_v1 has it")
        if not self.two_stage and (self.proposals != PROPOSALS or self.roi_pool):
            flag = "--roi-pool" if self.roi_pool else f"--proposals {self.proposals}"
            raise InputError(f"{flag}: SSD has no second stage; it is for faster_rcnn_300 or 600")
        if self.roi_pool and self.backbone == "vgg16":
            raise InputError("--roi-pool: the second stage of VGG16 pools its crops anyway")

    @property
    def two_stage(self) -> bool:
        """Whether it is a Faster R-CNN."""
        return self.framework != "ssd300"

    def varied(self, values: Mapping[str, Any]) -> Self:
        """The same with other values; what belongs to another framework or body is left behind.

        Another framework has its own size, unless another one than the old one's own was chosen.
        """
        framework = values.get("framework", self.framework)
        left: dict[str, Any] = {}
        if framework != self.framework and self.size == SIZES[self.framework]:
            left["size"] = 0
        if "ssd300" in (framework, self.framework) and framework != self.framework:
            left |= {"head": "ssd", "proposals": PROPOSALS, "roi_pool": False}
        if values.get("backbone") == "vgg16":  # It pools its crops anyway.
            left["roi_pool"] = False
        return super().varied({**left, **values})

    def to_json(self) -> dict[str, Any]:
        """Plain dict for a card."""
        return asdict(self)


@dataclass(frozen=True)
class LossSpec:
    """SSD's training objective. Defaults are the TensorFlow recipe of the paper's authors."""

    loss: Loss = "hard_negative"
    """SSD's class loss: sigmoid cross-entropy with hard-negative mining, or focal over all
    anchors."""
    match_iou: float = 0.5
    """SSD: anchors that overlap a box by this IoU or more are trained to find it."""
    negatives_per_positive: float = 3.0
    """Hard-negative mining keeps this many of the worst background anchors per matched one."""
    min_negatives: int = 0
    """Background anchors kept at least, so that images without objects teach too."""
    focal_alpha: float = 0.75
    """Weight of the positive class in the focal loss."""
    focal_gamma: float = 2.0
    """Exponent of the focal loss."""
    box_weight: float = 1.0
    """SSD: weight of the smooth L1 box loss against the class loss."""

    def __post_init__(self) -> None:
        """Refuse what teaches nothing. Raises InputError naming the flag and its value."""
        require_between_0_and_1(self, "match_iou", "focal_alpha")
        require_at_least(
            self, 0, "negatives_per_positive", "min_negatives", "focal_gamma", "box_weight"
        )


@dataclass(frozen=True)
class TwoStageLossSpec:
    """Faster R-CNN's training objective. Defaults are TensorFlow's."""

    rpn_samples: int = 256
    """Anchors per image that teach the first stage, at most half of them on objects."""
    rpn_positive_iou: float = 0.7
    """Anchors that overlap a box by this IoU or more are objects; so is each box's best one."""
    rpn_negative_iou: float = 0.3
    """Anchors that overlap every box by less are background; those between are left out."""
    rpn_box_weight: float = 2.0
    """Weight of the first stage's box loss."""
    box_samples: int = 64
    """Proposals per image that teach the second stage."""
    box_positive_share: float = 0.25
    """Of these, the largest share that shows objects."""
    box_iou: float = 0.5
    """Proposals that overlap a box by this IoU or more show it."""
    second_box_weight: float = 2.0
    """Weight of the second stage's box loss."""
    smooth_l1_beta: float = 1.0
    """Error at which a box loss turns from square to linear (torchvision: 1/9)."""

    def __post_init__(self) -> None:
        """Refuse what teaches nothing. Raises InputError naming the flag and its value."""
        require_between_0_and_1(
            self, "rpn_positive_iou", "rpn_negative_iou", "box_positive_share", "box_iou"
        )
        if self.rpn_negative_iou > self.rpn_positive_iou:
            raise InputError(
                f"--rpn-negative-iou {self.rpn_negative_iou} must not be above "
                f"--rpn-positive-iou {self.rpn_positive_iou}"
            )
        require_at_least(self, 0, "rpn_box_weight", "second_box_weight", "smooth_l1_beta")
        require_at_least(self, 2, "rpn_samples", "box_samples")


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
        """Refuse values outside their ranges. Raises InputError naming the field and the value."""
        require_within(self, "[0, 1]", "score_threshold", "nms_iou")
        require_at_least(self, 1, "candidates", "detections")


@dataclass(frozen=True)
class DetectOptions:
    """How a detector is asked."""

    proposals: int | None = None
    """Faster R-CNN: regions that its second stage looks at; by default as it was trained."""
    post: PostSpec = field(default_factory=PostSpec)
