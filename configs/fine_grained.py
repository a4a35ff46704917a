"""Presets of the fine-grained classifiers. The docstring of each is its lab note."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from configs.classification import FINETUNE_CLS, MODERN, PAPER_CLS, TrainCls
from configs.presets import Presets
from datasets.errors import InputError
from datasets.spec import COPY_BITS
from tasks.body_spec import ClassifierSpec
from tasks.classification.spec import ClassLossSpec, Robust
from tasks.distillation.spec import DistillSpec
from tasks.flag_values import require_above_0, require_at_least, require_within

DogsPreset = Literal["auto", "demo", "paper", "modern", "finetune"]


@dataclass(frozen=True)
class TrainDogs(TrainCls):
    """Train and evaluate a fine-grained classifier, for example of breeds, car makes or species.

    With --web, training has two stages, as in the paper's experiment on Stanford Dogs: first on
    images from the web, whose labels are noisy, then on --data. Web images that are copies of test
    images are found and left out. Without --data it trains on built-in synthetic breeds and a
    built-in web. The run folder is --out, by default runs/<preset>/<time>; the first stage writes
    to a folder web/ in it. With --grid it holds one folder per run and a table that compares them.
    """

    preset: DogsPreset = "auto"
    """Set of default values. auto means demo without --data, finetune with --weights, and modern
    otherwise."""
    resume: Path | None = None
    """Run folder of an interrupted training to continue, with the configuration stored in it."""
    web: Path | None = None
    """Folder of noisily labelled images for the first stage, with one folder per class, named by
    the class or its WordNet id; folders of other classes are ignored. Without it there is no first
    stage."""
    web_epochs: int = 30
    """Number of epochs of the first stage; 0 skips it."""
    web_lr: float = 2e-3
    """Highest learning rate of the first stage. Optimiser, schedule and batch size are those of
    the second stage; all layers are trained at this rate, without a teacher."""
    web_robust: Robust = "gce"
    """Loss of the first stage against wrong labels; --robust sets that of the second stage."""
    noise: float = 0.0
    """Share of the training images of --data whose labels are made wrong on purpose, from 0 to
    below 1, to test how a loss copes with noise: try .4 with --robust none and gce. The report
    states how many of the wrong labels were memorised."""
    copy_bits: int = COPY_BITS
    """A web image counts as a copy of a test image if at most this many of the 64 bits of their
    perceptual hashes differ, 0 to 31. A higher value finds more copies; up to about 14 is
    sensible."""

    def __post_init__(self) -> None:
        super().__post_init__()
        require_at_least(self, 0, "web_epochs")
        require_above_0(self, "web_lr")
        require_within(self, "[0, 1)", "noise")
        if not 0 <= self.copy_bits < 32:
            raise InputError(
                f"--copy-bits {self.copy_bits} is not in 0..31: different images differ in 32 of "
                "64 bits on average"
            )

    def first_stage(self) -> TrainDogs:
        """Configuration of the first stage: all layers at one rate, no teacher, whole images.

        Only the images of the data set have boxes.
        """
        fit = replace(
            self.fit,
            epochs=self.web_epochs,
            lr=self.web_lr,
            frozen_epochs=0,
            layer_decay=1.0,
            freeze_bn=False,
        )
        loss = replace(self.loss, robust=self.web_robust)
        return replace(self, fit=fit, loss=loss, boxes=False, distill=DistillSpec())


PAPER_DOGS = TrainDogs(
    preset="paper",
    fit=replace(PAPER_CLS.fit, epochs=100, batch_size=64, lr=0.0045),
    augment="mild",
    web_epochs=100,
    web_lr=0.045,
    web_robust="none",
)
"""Table 10, Stanford Dogs: 83.3 % at full width and 224 pixels; Inception V3 84.

``tools/train_dogs.py --preset paper --data DOGS --web WEB``. The paper's section 4.3: "we use the
noisy web data to pretrain a fine grained dog recognition model and then fine tune the model on the
Stanford Dogs training set"; its web images were never published. Optimiser and augmentation are
those of its section 3.2 and of TF-slim; the paper does not state the lengths and the rate of the
second stage, which is a tenth of the first's here. For comparison: ``--backbone inception_v3
--size 299``. It has not been run to the end here: that takes days on a GPU.
"""

MODERN_DOGS = TrainDogs(preset="modern", loss=MODERN.loss, fit=MODERN.fit, augment="modern")
"""Own data from scratch, after web images if there are any."""

FINETUNE_DOGS = TrainDogs(
    preset="finetune",
    loss=FINETUNE_CLS.loss,
    fit=replace(FINETUNE_CLS.fit, epochs=20, frozen_epochs=2, layer_decay=0.85),
    augment="mild",
    web_epochs=10,
    web_lr=3e-4,
)
"""Own classes, starting from existing weights: first the head alone, then lower layers at lower
rates."""

DEMO_DOGS = TrainDogs(
    preset="demo",
    model=ClassifierSpec(alpha=0.25, size=64),
    loss=ClassLossSpec(),
    fit=replace(MODERN.fit, epochs=35, batch_size=32, lr=3e-3, ema_decay=0.99, eval_every=10),
    augment="small",
    crop=1.0,
    boxes=True,
    web_epochs=40,
    web_lr=4e-3,
    copy_bits=4,
)
"""Built-in breeds and web, sized for two CPU cores: ``tools/train_dogs.py``.

Top-1 .683 on 360 images of twelve breeds (chance .083), .483 after the first stage; 3 minutes on
one core. With 25 and 30 epochs .525.

Synthetic animals look more alike than real images do, so copies must be more similar to be found.
"""

DOGS_PRESETS = Presets((PAPER_DOGS, MODERN_DOGS, FINETUNE_DOGS, DEMO_DOGS), with_data="modern")
