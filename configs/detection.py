"""Presets of the detectors. The docstring of each gives its table, command, time and result."""

from __future__ import annotations

from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any, Literal

from configs.presets import Presets
from configs.training import PAPER_FIT, GridTraining
from datasets.errors import InputError
from datasets.spec import Augmentation, BoxFormat
from tasks.detection.spec import (
    SIZES,
    DetectorSpec,
    Framework,
    LossSpec,
    PostSpec,
    TwoStageLossSpec,
)
from tasks.fitting.spec import FitSpec
from tasks.flag_values import flag_of, require_with_data

Preset = Literal["auto", "demo", "paper", "focal", "finetune", "adapt"]


@dataclass(frozen=True)
class TrainDet(GridTraining):
    """Train and evaluate an object detector.

    Without --data it trains on built-in synthetic scenes. The run folder is --out, by default
    runs/<preset>/<time>. It contains everything that was produced: weights with their card,
    report.html, checkpoint, metrics and configuration. With --grid it holds one folder per run and
    a table that compares them.
    """

    preset: Preset = "auto"
    """Set of default values. auto means demo without --data, finetune with --weights, and paper
    otherwise."""
    data: Path | None = None
    """Folder or file with boxes in COCO, Pascal VOC, YOLO or another format that docs/data.md
    lists; the format is recognised automatically."""
    format: BoxFormat | None = None
    """Format of --data, needed only if its files match several formats."""
    images: Path | None = None
    """Folder of the images of --data, if they are not beside the annotations."""
    val: Path | None = None
    """Data to evaluate on, in any format that --data accepts; all of --data, or its training part
    if it has one, is then used for training."""
    weights: Path | None = None
    """Run folder or weights file to start from; classes of the same name keep their weights. From
    weights of another detector, or of a classifier, only the body is used."""
    resume: Path | None = None
    """Run folder of an interrupted training to continue, with the configuration stored in it."""
    model: DetectorSpec = field(default_factory=DetectorSpec)
    loss: LossSpec = field(default_factory=LossSpec)
    two_stage: TwoStageLossSpec = field(default_factory=TwoStageLossSpec)
    post: PostSpec = field(default_factory=PostSpec)
    augment: Augmentation = "ssd"
    """Augmentation of training images. ssd: crops with a minimum overlap (IoU) with objects,
    zooming out, flips and colour changes. tf: TensorFlow's crops and flips. flip: flips only.
    none: no augmentation."""

    def __post_init__(self) -> None:
        if self.val is not None and self.data is None:
            raise InputError(f"--val {self.val}: goes with --data")
        require_with_data(self)
        idle = self.loss if self.model.two_stage else self.two_stage
        for one in fields(idle):
            if getattr(idle, one.name) != one.default:
                raise InputError(
                    f"--{flag_of(one.name)} {getattr(idle, one.name)}: "
                    f"{self.model.framework} has no such loss"
                )

    def following(self, model: DetectorSpec, seed: int) -> dict[str, Any]:
        """A detector with another number of stages gets the default losses of its own kind."""
        if model.two_stage == self.model.two_stage:
            return {}
        return {"loss": LossSpec(), "two_stage": TwoStageLossSpec()}


PAPER = TrainDet(
    preset="paper",
    loss=LossSpec(loss="hard_negative", min_negatives=0),
    fit=replace(PAPER_FIT, epochs=41, lr=0.004, decay_rate=0.95, decay_epochs=164),
    augment="tf",
)
"""Table 13, SSD300 MobileNet: COCO mAP 19.3, 1.2 B mult-adds, 6.8 M parameters.

``tools/train_det.py --framework ssd300 --preset paper --data COCO``. TensorFlow's recipe: RMSprop,
batch size 24, 200k steps, which are 41 epochs of COCO's 117k training images. The number of epochs
is the same for a data set of any other size. It has not been run to the end here: that takes days
on a GPU.
"""

FOCAL = TrainDet(
    preset="focal",
    loss=LossSpec(loss="focal"),
    fit=FitSpec(epochs=175, batch_size=1024, lr=0.9, bn_momentum=0.003, ema_decay=0.999),
    augment="tf",
)
"""TensorFlow's later public recipe for the same detector.

Focal loss, momentum .9, cosine schedule with 1,000 steps of warm-up to .9 at batch size 1024, 20k
steps (175 epochs of COCO). For another batch size scale the rate in proportion: ``--batch-size 32
--lr .028``.
"""

_ADAMW = FitSpec(optimizer="adamw", weight_decay=1e-2)
_DEMO_FIT = replace(
    _ADAMW,
    epochs=10,
    batch_size=8,
    lr=6e-3,
    bn_momentum=0.05,
    clip_norm=3.0,
    ema_decay=0.995,
    eval_every=6,
)
DEMO = TrainDet(
    preset="demo",
    model=DetectorSpec(alpha=0.25, size=300),
    loss=LossSpec(min_negatives=8),
    fit=_DEMO_FIT,
    augment="flip",
)
"""Built-in scenes, sized for two CPU cores.

``tools/train_det.py``: AP .697, AP50 .885 on 300 held-out scenes in 4.9 minutes, including the
drawing of the scenes (Zen 4, bfloat16). With one epoch less .644 and .832.
"""

FINETUNE = TrainDet(
    preset="finetune",
    loss=LossSpec(min_negatives=8),
    fit=replace(_ADAMW, epochs=40, batch_size=16, lr=1e-3, warmup=0.1, ema_decay=0.998),
)
"""Own classes, starting from existing weights.

``tools/train_det.py --data PETS --weights ssd.safetensors``: three breeds' heads, 242 images, from
TensorFlow's SSD300 alpha .75: AP .76, AP50 .97 on 54 other images in 6 minutes. Frozen batch norm
at half this rate reached .87: these weights came with batch norm folded, and only batch statistics
undo the drift that AdamW's equal step sizes cause.
"""

ADAPT = replace(FINETUNE, preset="adapt", fit=replace(FINETUNE.fit, epochs=12, lr=3e-5))
"""Same classes, other images: a rate so small that the weights keep what they have learnt.

``tools/train_det.py --preset adapt --data COCO --weights ssd.safetensors`` on 160 of COCO's own
images, from which weights trained on 118,000 have little to learn: AP .244 before, .224 at the
end. At the rate of ``finetune`` it falls to .16.
"""

RCNN_PAPER = TrainDet(
    preset="paper",
    model=DetectorSpec(framework="faster_rcnn_300"),
    fit=FitSpec(epochs=26, batch_size=16, lr=0.02, warmup=0.02, eval_every=2),
    augment="flip",
)
"""Table 13, Faster R-CNN 300 / 600 on MobileNet: COCO mAP 16.4 / 19.8.

25.2 / 30.5 B mult-adds, 6.1 M parameters. ``tools/train_det.py --framework faster_rcnn_300 --data
COCO --weights BODY --preset paper``. The paper states neither rate nor length; these are the usual
ones of a Faster R-CNN on COCO (rate .02 at batch size 16, 26 epochs), with TensorFlow's losses. It
has not been run to the end here: that takes days on a GPU.
"""

RCNN_DEMO = TrainDet(
    preset="demo",
    model=DetectorSpec(framework="faster_rcnn_300", alpha=0.25, roi_pool=True),
    two_stage=TwoStageLossSpec(box_samples=32, box_positive_share=0.5),
    fit=replace(_DEMO_FIT, epochs=7, lr=5e-3),
    augment="flip",
)
"""Built-in scenes, sized for two CPU cores.

``tools/train_det.py --framework faster_rcnn_300``: AP .679, AP50 .848 on 300 held-out scenes in
6.5 minutes (Zen 4, bfloat16). With 1000 candidates in the first NMS it was .712 and .884, and with
one more epoch .735 and .901. With a quarter of the sampled proposals on objects, as in TensorFlow,
AP50 was .812; crops without pooling were no better.
"""

RCNN_FINETUNE = replace(
    FINETUNE,
    model=RCNN_PAPER.model,
    loss=LossSpec(),
    fit=replace(FINETUNE.fit, batch_size=8, lr=5e-4),
    augment="flip",
)
"""Own classes, starting from existing weights or from the body of a classifier."""

RCNN_ADAPT = replace(
    RCNN_FINETUNE, preset="adapt", fit=replace(RCNN_FINETUNE.fit, epochs=12, lr=3e-5)
)
"""Same classes, other images: a rate so small that the weights keep what they have learnt."""

SSD_PRESETS = (PAPER, FOCAL, DEMO, FINETUNE, ADAPT)
RCNN_PRESETS = (RCNN_PAPER, RCNN_DEMO, RCNN_FINETUNE, RCNN_ADAPT)


def detector_presets(
    framework: Framework = "ssd300", backbone: str = "mobilenet_v1"
) -> Presets[TrainDet]:
    """The presets of a detector, adapted to its body.

    Args:
        framework: Detector on top of the body.
        backbone: Name of the body.

    Raises:
        InputError: If the framework is unknown; the message lists the choices.
    """
    if framework not in SIZES:
        raise InputError(f"--framework {framework}: choose one of {', '.join(SIZES)}")
    named = SSD_PRESETS if framework == "ssd300" else RCNN_PRESETS
    return Presets(
        tuple(_suited(preset, framework, backbone) for preset in named),
        with_data="paper",
        offer=f"{framework} has",
    )


def _suited(preset: TrainDet, framework: Framework, backbone: str) -> TrainDet:
    model = replace(preset.model, framework=framework, size=0)
    fit = preset.fit
    if backbone != "mobilenet_v1":  # Which alone has widths; and VGG16 pools its crops anyway.
        model = replace(model, alpha=1.0, roi_pool=model.roi_pool and backbone != "vgg16")
    if backbone == "vgg16":  # Without batch norm it takes the small rate of its own papers.
        fit = replace(fit, optimizer="sgd", lr=1e-3, weight_decay=5e-4, schedule="cosine")
        fit = replace(fit, warmup=0.05, clip_norm=10.0)
    return replace(preset, model=model, fit=fit)
