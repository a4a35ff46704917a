"""Presets of the classifiers. The docstring of each gives its table, command, time and result."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

from configs.presets import Presets
from configs.training import PAPER_FIT, PhotoTraining
from datasets.errors import InputError
from tasks.body_spec import ClassifierSpec
from tasks.classification.spec import ClassLossSpec
from tasks.fitting.spec import FitSpec
from tasks.flag_values import require_within

ClsPreset = Literal["auto", "demo", "paper", "modern", "small", "finetune"]


@dataclass(frozen=True)
class TrainCls(PhotoTraining):
    """Train and evaluate an image classifier.

    Without --data it trains on built-in synthetic shapes. The run folder is --out, by default
    runs/<preset>/<time>. It contains everything that was produced: weights with their card,
    report.html, checkpoint, metrics and configuration. With --grid it holds one folder per run and
    a table that compares them.
    """

    preset: ClsPreset = "auto"
    """Set of default values. auto means demo without --data, finetune with --weights, and modern
    otherwise."""
    data: Path | None = None
    """Labelled images: a folder in the layout of ImageNet, Tiny ImageNet, Stanford Dogs or Pets,
    or with a folder per class; a CSV list (path,label,split) or another format in docs/data.md; or
    webdataset shards, which are streamed: a folder of .tar files, a folder with train/ and val/ of
    .tar files, or 'FOLDER/NAME-{000000..000123}.tar'."""
    val: Path | None = None
    """Data to evaluate on, in any format that --data accepts; all of --data, or its training part
    if it has one, is then used for training. By default the validation part of --data, or a fifth
    of its images if it has none."""
    classes: Path | None = None
    """Text file with the names or ids of the classes to use, one per line; by default all classes.
    """
    weights: Path | None = None
    """Run folder or weights file to start from; classes of the same name keep their weights."""
    loss: ClassLossSpec = field(default_factory=ClassLossSpec)
    resample: float = 0.0
    """Class-balanced sampling, from 0 to 1: each epoch draws classes in proportion to their number
    of images to the power 1 - this. 0: every image is drawn once; 1: every class equally often.
    """
    boxes: bool = False
    """Crop images to their bounding boxes first, in training and in evaluation, if the data has
    boxes (Stanford Dogs)."""

    def __post_init__(self) -> None:
        super().__post_init__()
        require_within(self, "[0, 1]", "resample")
        if self.distill.targets is None:
            return
        if self.resample:
            raise InputError(
                f"--targets {self.distill.targets}: holds one answer per image and epoch, and "
                f"--resample {self.resample} draws some images again; leave one of them out"
            )
        for name, off in (("mixup", 0), ("cutmix", 0), ("progressive", 1)):
            if getattr(self.loss, name) != off:
                raise InputError(
                    f"--targets {self.distill.targets}: stored answers are to whole images, "
                    f"and --{name} {getattr(self.loss, name)} changes them; add --{name} {off}, "
                    "or leave --targets out: a live teacher sees what the student sees"
                )


PAPER_CLS = TrainCls(
    preset="paper", fit=replace(PAPER_FIT, epochs=200, batch_size=96, lr=0.045), augment="mild"
)
"""Tables 4 to 9: ImageNet top-1 70.6 at full width and 224 pixels.

``tools/train_cls.py --preset paper --data IMAGENET``. Follows the paper's section 3.2, with
TF-slim's values: RMSprop with epsilon inside the root, no label smoothing, few small crops, no
weight decay on depthwise filters, the same for every width and resolution. It has not been run to
the end here: that takes days on a GPU.
"""

MODERN = TrainCls(
    preset="modern",
    loss=ClassLossSpec(label_smoothing=0.1, mixup=0.2, cutmix=1.0, dropout=0.1),
    fit=FitSpec(
        epochs=100,
        batch_size=128,
        optimizer="adamw",
        lr=2e-3,
        weight_decay=0.05,
        bn_momentum=0.05,
        clip_norm=5.0,
        ema_decay=0.9995,
    ),
    augment="modern",
)
"""Own data from scratch: mixup or cutmix, RandAugment, label smoothing, averaged weights, cosine.

With a similar recipe, timm reached 75.4 on ImageNet with MobileNet v1 at full width.
"""

SMALL = TrainCls(
    preset="small",
    model=ClassifierSpec(size=64, stem_stride=1),
    loss=ClassLossSpec(label_smoothing=0.1, mixup=0.2, progressive=0.5),
    fit=replace(
        MODERN.fit,
        epochs=40,
        batch_size=32,
        optimizer="sgd",
        lr=0.1,
        weight_decay=5e-4,
        ema_decay=0.995,
    ),
    augment="small",
    crop=1.0,
)
"""A few thousand images of 32 to 64 pixels, from scratch.

Chosen on ten classes of Tiny ImageNet (5,000 images) at alpha .5: top-1 .768 after 24 epochs, on
the same 500 images that the settings were chosen on. With the paper's stride of 2, no mixup and
full resolution from the start, 40 epochs in the same time give .75.
"""

DEMO_CLS = replace(
    SMALL,
    preset="demo",
    model=ClassifierSpec(alpha=0.25, size=64),
    loss=ClassLossSpec(),
    fit=replace(MODERN.fit, epochs=12, batch_size=64, lr=4e-3, ema_decay=0.99),
)
"""Built-in shapes, sized for two CPU cores: ``tools/train_cls.py``."""

FINETUNE_CLS = replace(
    MODERN,
    preset="finetune",
    loss=ClassLossSpec(label_smoothing=0.1, dropout=0.1),
    fit=replace(MODERN.fit, epochs=15, batch_size=32, lr=3e-4, ema_decay=0.99, eval_every=3),
    augment="mild",
)
"""Own classes, starting from existing weights."""

CLS_PRESETS = Presets(
    (PAPER_CLS, MODERN, SMALL, DEMO_CLS, FINETUNE_CLS), with_data="modern", with_small="small"
)
