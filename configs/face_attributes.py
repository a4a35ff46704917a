"""Presets of the face attributes. The docstring of each gives its table, command and result."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

import tyro

from configs.classification import FINETUNE_CLS, MODERN, PAPER_CLS
from configs.presets import Presets
from configs.training import PhotoTraining
from datasets.spec import LabelAugmentation
from tasks.body_spec import ClassifierSpec
from tasks.distillation.spec import DistillSpec
from tasks.face_attributes.spec import AttributeLossSpec

AttrPreset = Literal["auto", "demo", "paper", "labels", "distill", "finetune"]


@dataclass(frozen=True)
class AttributeDistillSpec(DistillSpec):
    """The teacher, and the weight of its loss: mean cross-entropy to its outputs."""

    teacher: str | None = None
    """Teacher to learn from: a run folder or weights file, whose attributes are matched by name;
    torchvision:NAME with --teacher-weights; or MODULE:FUNCTION, a Python function that turns
    images (B, 3, S, S) with values in 0..255 into logits (B, attributes). The teacher sees the
    same augmented images as the student."""
    teacher_weights: Path | None = None
    """File with the weights of a torchvision or timm teacher; nothing is downloaded."""
    temperature: tyro.conf.Suppress[float] = 4.0
    """Only for classifiers."""
    distill_weight: float = 1.0
    """Weight of the teacher's loss, above 0 and up to 1; the loss of the labels gets the rest. At
    1, as in the paper, labels are not used."""
    top_k: tyro.conf.Suppress[int] = 50
    """Only for classifiers."""


@dataclass(frozen=True)
class TrainAttr(PhotoTraining):
    """Train and evaluate a network of face attributes, from labels or from a teacher.

    Without --data it trains on built-in synthetic faces. The run folder is --out, by default
    runs/<preset>/<time>. It contains everything that was produced: weights with their card and
    thresholds, report.html, checkpoint, metrics and configuration. With --grid it holds one folder
    per run and a table that compares them. Do not infer the sex, age, origin or character of
    people from their faces.
    """

    preset: AttrPreset = "auto"
    """Set of default values. auto means demo without --data, distill with --teacher, finetune with
    --weights, and labels otherwise."""
    data: Path | None = None
    """Folder in the layout of CelebA (img_align_celeba/ and list_attr_celeba.txt or .csv) or LFWA
    (lfw_att_40.mat); or, if --teacher provides the whole target, any folder of images, together
    with --val."""
    val: Path | None = None
    """Data to validate and test on, in one of these layouts; the whole training part of --data is
    then used for training. By default the parts of --data."""
    attributes: tuple[str, ...] = ()
    """Names of the attributes to use; by default all."""
    weights: Path | None = None
    """Run folder or weights file to start from; attributes of the same name keep their weights."""
    loss: AttributeLossSpec = field(default_factory=AttributeLossSpec)
    distill: AttributeDistillSpec = field(default_factory=AttributeDistillSpec)
    fit_thresholds: bool = False
    """After training, set the threshold of each attribute, the probability from which the answer
    is yes, so that balanced accuracy on the validation images is highest. Otherwise every
    threshold is .5."""
    augment: LabelAugmentation = "small"
    """Augmentation of training images. small: shifts of up to an eighth and flips, for aligned
    faces. tf_slim: TensorFlow's for MobileNet. mild: few small crops. modern: crops, flips and
    RandAugment. none: no augmentation."""
    crop: float = 1.0
    """Evaluation crops the centre of the resized image: share of its short side to keep, above 0
    and up to 1; 1 keeps the whole side."""

    def __post_init__(self) -> None:
        super().__post_init__()
        self.distill.refuse_unused(self.loss)


PAPER_ATTR = TrainAttr(
    preset="paper", fit=replace(PAPER_CLS.fit, epochs=60, weight_decay=0.0, eval_every=60)
)
"""Table 12: mean AP 88.7 at full width and 224 pixels, 86.4 at a quarter and 128; teacher 86.9.

The teacher has 1600 million mult-adds. ``tools/train_attr.py --preset paper --data CELEBA
--teacher TEACHER --grid alpha=1,.5,.25 size=224,128``. Follows the paper's section 4.5: the loss
is the average per-attribute cross-entropy to the teacher's outputs, labels are not needed, no
weight decay and no early stopping. The paper's images and attributes are Google's own; CelebA
stands in for them. Optimiser and schedule are those of its section 3.2; the paper does not state
the length. It has not been run to the end here: that takes days on a GPU.
"""

LABELS = TrainAttr(
    preset="labels", fit=replace(MODERN.fit, epochs=20, weight_decay=0.05, eval_every=2)
)
"""From labels, from scratch: use it to train a teacher where there is none.

``tools/train_attr.py --data CELEBA``; for a teacher ``--backbone resnet50 --size 224``.
"""

DISTILL = replace(LABELS, preset="distill", fit=replace(LABELS.fit, weight_decay=0.0))
"""From a teacher alone, as in the paper but with a faster optimiser: no labels, no weight decay.

``tools/train_attr.py --data CELEBA --teacher RUN``.
"""

FINETUNE_ATTR = replace(
    LABELS, preset="finetune", fit=replace(FINETUNE_CLS.fit, epochs=15, frozen_epochs=1)
)
"""From existing weights: those of ImageNet, or of other attributes."""

DEMO_ATTR = replace(
    LABELS,
    preset="demo",
    model=ClassifierSpec(alpha=0.25, size=64, stem_stride=1),
    fit=replace(
        LABELS.fit,
        epochs=20,
        batch_size=64,
        lr=4e-3,
        weight_decay=0.0,
        ema_decay=0.98,
        eval_every=5,
    ),
)
"""Built-in faces, sized for two CPU cores: ``tools/train_attr.py``.

Mean AP .761 (95 % interval .743 to .780; chance .328) on 360 images of 60 unseen people, in 2.3
minutes on one core, including the drawing of the faces.
"""

ATTR_PRESETS = Presets(
    (PAPER_ATTR, LABELS, DISTILL, FINETUNE_ATTR, DEMO_ATTR),
    with_data="labels",
    with_teacher="distill",
)
