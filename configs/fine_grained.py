"""Presets of the fine-grained classifiers. Each docstring is its lab note."""

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
    """Train and evaluate a fine-grained classifier: breeds, makes, species.

    In two stages where there are photos from the web, as the paper's for Stanford Dogs: first on
    these, whose labels are noisy, then on the data. Copies of test photos among them are found
    and left out. Without --data it trains on built-in breeds and a built-in web. The run folder
    is --out, by default runs/<preset>/<time>; the first stage has a folder web/ in it. With --grid
    it is a folder of runs with one table.
    """

    preset: DogsPreset = "auto"
    """Recipe: auto is demo without --data, finetune with --weights, else modern."""
    resume: Path | None = None
    """Run folder to go on with after an interruption; its own configuration is used."""
    web: Path | None = None
    """Folder of noisy photos for the first stage: a folder per class, called by its name or
    WordNet id; what is no class of --data is left out. Without it there is no first stage."""
    web_epochs: int = 30
    """Epochs of the first stage; 0 leaves it out."""
    web_lr: float = 2e-3
    """Its highest learning rate. Optimiser, schedule and batch size are those of the second; it
    trains all layers at this rate, without a teacher."""
    web_robust: Robust = "gce"
    """Its loss, as --robust is the second stage's."""
    noise: float = 0.0
    """Share of --data's training photos that are given a wrong label on purpose, to measure what
    a loss bears: try .4 with --robust none and gce. The report tells how many of these were learnt
    by heart."""
    copy_bits: int = COPY_BITS
    """A web photo is taken for a copy of a test photo if so many bits or fewer of their 64-bit
    perceptual hashes differ. Raise it to be stricter with copies, up to about 14."""

    def __post_init__(self) -> None:
        super().__post_init__()
        require_at_least(self, 0, "web_epochs")
        require_above_0(self, "web_lr")
        require_within(self, "[0, 1)", "noise")
        if not 0 <= self.copy_bits < 32:
            raise InputError(
                f"--copy-bits {self.copy_bits} is not in 0..31: different photos differ in 32 of "
                "64 bits on average"
            )

    def first_stage(self) -> TrainDogs:
        """What the first stage trains: all layers at one rate, without a teacher, on whole photos.

        Only those of the data have boxes.
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
"""Table 10, Stanford Dogs: 83.3 % at full width and 224 pixels, Inception V3's 84.

``tools/train_dogs.py --preset paper --data DOGS --web WEB``. The paper's section 4.3: "we use the
noisy web data to pretrain a fine grained dog recognition model and then fine tune the model on
the Stanford Dogs training set"; its web photos were never published. Optimiser and augmentation
are those of its section 3.2 and of TF-slim; lengths and the second stage's rate, a tenth of the
first's, are not in it. The comparison: ``--backbone inception_v3 --size 299``. Not run to its end
here: it takes days of a GPU.
"""

MODERN_DOGS = TrainDogs(preset="modern", loss=MODERN.loss, fit=MODERN.fit, augment="modern")
"""Own data from scratch, after web photos if there are any."""

FINETUNE_DOGS = TrainDogs(
    preset="finetune",
    loss=FINETUNE_CLS.loss,
    fit=replace(FINETUNE_CLS.fit, epochs=20, frozen_epochs=2, layer_decay=0.85),
    augment="mild",
    web_epochs=10,
    web_lr=3e-4,
)
"""Own classes from existing weights: the head alone first, then lower layers at lower rates."""

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

Top-1 .683 on 360 photos of twelve breeds (chance .083), .483 after the first stage; 3 minutes of
one core. With 25 and 30 epochs .525.

Drawn animals look more alike than photos do, so copies must be nearer.
"""

DOGS_PRESETS = Presets((PAPER_DOGS, MODERN_DOGS, FINETUNE_DOGS, DEMO_DOGS), with_data="modern")
