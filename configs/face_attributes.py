"""Presets of the face attributes. Each docstring is its lab note: table, command, result."""

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
    """The teacher, and how much it counts: cross-entropy to its outputs, mean over attributes."""

    teacher: str | None = None
    """Learn from a teacher: a run folder or weights file, whose attributes are found by name;
    torchvision:NAME with --teacher-weights; or MODULE:FUNCTION, Python that turns pictures
    (B, 3, S, S) of 0..255 into logits (B, attributes). It sees pictures as the student does."""
    teacher_weights: Path | None = None
    """File with the weights of a torchvision or timm teacher; nothing is downloaded."""
    temperature: tyro.conf.Suppress[float] = 4.0
    """Of classes alone."""
    distill_weight: float = 1.0
    """Share of the teacher's loss, the rest being the labels'; at 1, as in the paper, labels are
    not used."""
    top_k: tyro.conf.Suppress[int] = 50
    """Of classes alone."""


@dataclass(frozen=True)
class TrainAttr(PhotoTraining):
    """Train and evaluate a network of face attributes, from labels or from a teacher.

    Without --data it trains on built-in faces. Everything it needs is in the run folder
    afterwards: weights with their card and thresholds, report.html, checkpoint, metrics,
    configuration. It is --out, by default runs/<preset>/<time>. With --grid it is a folder of runs
    with one table. Do not infer sex, age, origin or character of people from their faces.
    """

    preset: AttrPreset = "auto"
    """Recipe: auto is demo without --data, distill with --teacher, finetune with --weights, else
    labels."""
    data: Path | None = None
    """Folder in CelebA's layout (img_align_celeba/, list_attr_celeba.txt, .csv as well) or LFWA's
    (lfw_att_40.mat); or, with a --teacher that tells all, any folder of photos, and --val."""
    val: Path | None = None
    """Data to validate and test on, in one of these layouts; all photos of --data's part for
    training are then trained on. By default --data's own parts."""
    attributes: tuple[str, ...] = ()
    """Names of the attributes to take; all by default."""
    weights: Path | None = None
    """Run folder or weights file to start from; attributes of the same name keep their weights."""
    loss: AttributeLossSpec = field(default_factory=AttributeLossSpec)
    distill: AttributeDistillSpec = field(default_factory=AttributeDistillSpec)
    fit_thresholds: bool = False
    """After the training, set the probability from which each attribute is answered yes so that
    the balanced accuracy on the validation photos is greatest; else it is a half."""
    augment: LabelAugmentation = "small"
    """small: shifts by an eighth at most, and the flip, for aligned faces; tf_slim: TensorFlow's
    for MobileNet; mild: few small crops; modern: crops, flip, RandAugment; none."""
    crop: float = 1.0
    """Share of the resized short side that the central crop keeps in evaluation; 1 keeps all."""

    def __post_init__(self) -> None:
        super().__post_init__()
        self.distill.refuse_unused(self.loss)


PAPER_ATTR = TrainAttr(
    preset="paper", fit=replace(PAPER_CLS.fit, epochs=60, weight_decay=0.0, eval_every=60)
)
"""Table 12: mean AP 88.7 at full width and 224 pixels, 86.4 at a quarter and 128; the teacher's
86.9 at 1600 million mult-adds.

``tools/train_attr.py --preset paper --data CELEBA --teacher TEACHER --grid alpha=1,.5,.25
size=224,128``. The paper's section 4.5: the loss is the average per-attribute cross-entropy to the
teacher's outputs, labels are not needed, no weight decay and no early stopping. Its photos and
attributes are Google's own; CelebA stands in for them. Optimiser and schedule are those of its
section 3.2; the length is not in it. Not run to its end here: it takes days of a GPU.
"""

LABELS = TrainAttr(
    preset="labels", fit=replace(MODERN.fit, epochs=20, weight_decay=0.05, eval_every=2)
)
"""From labels, from scratch: how a teacher is made where there is none.

``tools/train_attr.py --data CELEBA``; for a teacher ``--backbone resnet50 --size 224``.
"""

DISTILL = replace(LABELS, preset="distill", fit=replace(LABELS.fit, weight_decay=0.0))
"""From a teacher alone, in the paper's way with a faster optimiser: no labels, no weight decay.

``tools/train_attr.py --data CELEBA --teacher RUN``.
"""

FINETUNE_ATTR = replace(
    LABELS, preset="finetune", fit=replace(FINETUNE_CLS.fit, epochs=15, frozen_epochs=1)
)
"""From existing weights: of ImageNet, or of other attributes."""

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

Mean AP .761 (95 %: .743 to .780; chance .328) on 360 photos of 60 unseen people, in 2.3 minutes on
one core, drawing included.
"""

ATTR_PRESETS = Presets(
    (PAPER_ATTR, LABELS, DISTILL, FINETUNE_ATTR, DEMO_ATTR),
    with_data="labels",
    with_teacher="distill",
)
