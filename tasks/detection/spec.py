"""The options of a detector. It imports nothing slow: command-line help is built from it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any, ClassVar, Literal, Self, get_args

from backbone.flavour import MOST_PIXELS_A_SIDE
from backbone.spec import OnBody
from datasets.errors import InputError
from tasks.detection.track_spec import TrackSpec as TrackSpec  # A flag of the tools.
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
# Boxes with a score above this may continue a track through a video.
WEAK_SCORE = 0.1


@dataclass(frozen=True)
class DetectorSpec(OnBody):
    """Architecture of the network."""

    OF_MOBILENET: ClassVar[tuple[str, ...]] = ("alpha", "head")

    framework: Framework = "ssd300"
    """Detector on top of the body."""
    backbone: DetectorBackbone = "mobilenet_v1"
    """Body: MobileNet, or one of those that table 13 compares it with."""
    alpha: float = 1.0
    """Width multiplier of MobileNet and of the detector's own layers, above 0; the paper uses 1,
    .75, .5 and .25."""
    size: int = 0
    """Side of the square input in pixels, 32 to 8192; 0 means the framework's own, 300 or 600."""
    keep_aspect: bool = False
    """Preserve the aspect ratio of images: scale the longer side to the input and pad the right or
    bottom, instead of stretching images to a square as the paper does."""
    head: Head = "ssd"
    """Head of SSD on MobileNet. ssd: 1x1 predictors as in table 13. ssdlite: depthwise-separable
    extra layers and predictors."""
    proposals: int = PROPOSALS
    """For Faster R-CNN: number of proposed regions that the second stage classifies, 1 to 1000;
    they account for most of the cost."""
    roi_pool: bool = False
    """For Faster R-CNN: max-pool the 14x14 crops to 7x7, which makes the second stage three times
    cheaper."""

    def __post_init__(self) -> None:
        """Fill in the framework's size, and refuse what cannot be built.

        Raises:
            InputError: If a value is impossible; the message names the field, the value and the
                choices.
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
        """Refuse flags that would have no effect: they are a misunderstanding."""
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
        """Whether the detector is a Faster R-CNN."""
        return self.framework != "ssd300"

    def varied(self, values: Mapping[str, Any]) -> Self:
        """A copy with other values; fields that belong to another framework or body are reset.

        Another framework has its own size, unless a size other than the old framework's own was
        chosen.
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
    """SSD's training objective. The defaults are those of the paper's authors in TensorFlow."""

    loss: Loss = "hard_negative"
    """Class loss of SSD. hard_negative: sigmoid cross-entropy with hard-negative mining. focal:
    focal loss over all anchors."""
    match_iou: float = 0.5
    """For SSD: anchors whose IoU with a box is at least this are trained to detect it, between 0
    and 1."""
    negatives_per_positive: float = 3.0
    """For hard_negative: number of background anchors, those with the highest loss, that are used
    per matched anchor."""
    min_negatives: int = 0
    """For hard_negative: smallest number of background anchors per image, so that images without
    objects contribute to training too."""
    focal_alpha: float = 0.75
    """For focal: weight of the positive class, between 0 and 1."""
    focal_gamma: float = 2.0
    """For focal: exponent gamma; 0 is plain cross-entropy."""
    box_weight: float = 1.0
    """For SSD: weight of the smooth L1 box loss relative to the class loss."""

    def __post_init__(self) -> None:
        """Refuse values that cannot train. Raises InputError naming the flag and its value."""
        require_between_0_and_1(self, "match_iou", "focal_alpha")
        require_at_least(
            self, 0, "negatives_per_positive", "min_negatives", "focal_gamma", "box_weight"
        )


@dataclass(frozen=True)
class TwoStageLossSpec:
    """Faster R-CNN's training objective. The defaults are TensorFlow's."""

    rpn_samples: int = 256
    """First stage: number of anchors per image in its loss, at most half of them on objects."""
    rpn_positive_iou: float = 0.7
    """First stage: anchors whose IoU with a box is at least this count as objects, as does the
    best anchor of each box."""
    rpn_negative_iou: float = 0.3
    """First stage: anchors whose IoU with every box is lower than this count as background; those
    in between are ignored."""
    rpn_box_weight: float = 2.0
    """First stage: weight of the box loss."""
    box_samples: int = 64
    """Second stage: number of proposals per image in its loss."""
    box_positive_share: float = 0.25
    """Second stage: largest share of these proposals that contain objects."""
    box_iou: float = 0.5
    """Second stage: proposals whose IoU with a box is at least this count as that object."""
    second_box_weight: float = 2.0
    """Second stage: weight of the box loss."""
    smooth_l1_beta: float = 1.0
    """Error at which the box losses change from quadratic to linear (torchvision uses 1/9)."""

    def __post_init__(self) -> None:
        """Refuse values that cannot train. Raises InputError naming the flag and its value."""
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
    """How raw outputs of a detector become detections."""

    score_threshold: float = 0.01
    """Lowest score of a reported detection, 0 to 1. COCO's mAP needs a low value; use a higher one
    for drawing."""
    nms_iou: float = 0.6
    """Non-maximum suppression (NMS): of two boxes of the same class whose IoU exceeds this, the
    one with the lower score is dropped."""
    candidates: int = 1000
    """Largest number of (anchor, class) pairs per image that enter NMS, best first."""
    detections: int = 100
    """Largest number of detections per image."""

    def __post_init__(self) -> None:
        """Refuse values outside their ranges. Raises InputError naming the field and the value."""
        require_within(self, "[0, 1]", "score_threshold", "nms_iou")
        require_at_least(self, 1, "candidates", "detections")


@dataclass(frozen=True)
class KeepSpec:
    """Which detections are kept, by class."""

    classes: tuple[str, ...] = ()
    """Classes to report, by name or id as in the results; by default all."""
    class_thresholds: tuple[str, ...] = ()
    """Score thresholds of single classes, such as person=.5 "traffic light=.3"; all other classes
    have --score-threshold."""

    def __post_init__(self) -> None:
        """Refuse what is no threshold. Raises InputError naming the flag and its value."""
        _ = self.thresholds

    @property
    def thresholds(self) -> dict[str, float]:
        """Threshold of each class that has its own, by name or id."""
        found = {}
        for text in self.class_thresholds:
            name, _, number = text.rpartition("=")
            try:
                value = float(number)
            except ValueError:
                value = -1.0
            if not name or not 0 <= value <= 1:
                raise InputError(
                    f"--class-thresholds {text}: write a class and a score from 0 to 1, such as "
                    "person=.5"
                )
            found[name] = value
        return found


@dataclass(frozen=True)
class TileSpec:
    """Sliced inference, for small objects in large images."""

    tiles: int = 0
    """Also detect in square tiles of this side in pixels of the image, and join the detections; 0
    looks at the whole image only. About the network's input size suits small objects."""
    overlap: float = 0.2
    """Share of a tile's side by which neighbouring tiles overlap at least, 0 to .9."""

    def __post_init__(self) -> None:
        """Refuse values outside their ranges. Raises InputError naming the field and the value."""
        if not 0 <= self.overlap <= 0.9:
            raise InputError(f"--overlap {self.overlap} is not in [0, .9]")
        require_at_least(self, 0, "tiles")
        if 0 < self.tiles < 32:
            raise InputError(f"--tiles {self.tiles} is too small: 32 pixels or more")
        if not self.tiles and self.overlap != type(self).overlap:
            raise InputError(f"--overlap {self.overlap}: has no effect without --tiles")


@dataclass(frozen=True)
class DetectOptions:
    """Options for computing a detector's answers."""

    proposals: int | None = None
    """For Faster R-CNN: number of proposed regions that the second stage classifies; by default
    the same as in training."""
    post: PostSpec = field(default_factory=PostSpec)
    keep: KeepSpec = field(default_factory=KeepSpec)
    tracking: TrackSpec = field(default_factory=TrackSpec)

    @property
    def lowest(self) -> PostSpec:
        """Thresholds of the network: its score threshold is the lowest of any class."""
        floors = [self.post.score_threshold, *self.keep.thresholds.values()]
        if self.tracking.track:
            floors.append(WEAK_SCORE)
        return replace(self.post, score_threshold=min(floors))
