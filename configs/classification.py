"""Presets of the classifiers. Each docstring is its lab note: table, command, time, result."""

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

ClsPreset = Literal["auto", "demo", "paper", "modern", "small", "finetune"]


@dataclass(frozen=True)
class TrainCls(PhotoTraining):
    """Train and evaluate an image classifier.

    Without --data it trains on built-in shapes. Everything it needs is in the run folder
    afterwards: weights with their card, report.html, checkpoint, metrics, configuration. It is
    --out, by default runs/<preset>/<time>. With --grid it is a folder of runs with one table.
    """

    preset: ClsPreset = "auto"
    """Recipe: auto is demo without --data, finetune with --weights, else modern."""
    data: Path | None = None
    """Folder of photos: ImageNet, Tiny ImageNet, Stanford Dogs, Pets, or a folder per class; a
    CSV list (path,label,split), or as docs/data.md lists; or webdataset shards, which are
    streamed: a folder of .tar files, or of train/ and val/ with .tar files, or
    'FOLDER/NAME-{000000..000123}.tar'."""
    val: Path | None = None
    """Data to evaluate on, in any of these forms; all of --data is then trained on, unless it has
    a part for training. By default --data's own part for it, or a fifth of its photos."""
    classes: Path | None = None
    """Text file with the names or ids of the classes to take, one per line; all by default."""
    weights: Path | None = None
    """Run folder or weights file to start from; classes of the same name keep their weights."""
    loss: ClassLossSpec = field(default_factory=ClassLossSpec)
    boxes: bool = False
    """Cut photos to their boxes first, in training and after it, where the data have boxes
    (Stanford Dogs)."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.distill.targets is None:
            return
        for name, off in (("mixup", 0), ("cutmix", 0), ("progressive", 1)):
            if getattr(self.loss, name) != off:
                raise InputError(
                    f"--targets {self.distill.targets}: stored answers are to whole pictures, "
                    f"and --{name} {getattr(self.loss, name)} changes them; add --{name} {off}, "
                    "or leave --targets out: a live teacher sees what the student sees"
                )


PAPER_CLS = TrainCls(
    preset="paper", fit=replace(PAPER_FIT, epochs=200, batch_size=96, lr=0.045), augment="mild"
)
"""Tables 4 to 9: ImageNet top-1 70.6 at full width and 224 pixels.

``tools/train_cls.py --preset paper --data IMAGENET``. The paper's section 3.2 and TF-slim's
values: RMSprop with epsilon inside the root, no label smoothing, few small crops, no weight decay
on depthwise filters, the same for every width and resolution. Not run to its end here: it takes
days of a GPU.
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

With such a recipe timm brought MobileNet v1 at full width to 75.4 on ImageNet.
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
"""A few thousand pictures of 32 to 64 pixels, from scratch.

Chosen on ten classes of Tiny ImageNet (5,000 photos) at alpha .5: after 24 epochs top-1 .768, on
the 500 photos that it was chosen on. With the paper's stride of 2, no mixup and whole resolution
from the start, 40 epochs in the same time give .75.
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
"""Own classes from existing weights."""

CLS_PRESETS = Presets((PAPER_CLS, MODERN, SMALL, DEMO_CLS, FINETUNE_CLS), with_data="modern")
