"""Presets of the GANs. Each docstring is its lab note: command, time, result."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

from configs.classification import CLS_PRESETS, TrainCls
from configs.presets import Presets
from configs.training import DataFlags, Training
from datasets.errors import InputError
from datasets.spec import LabelAugmentation
from tasks.body_spec import ClassifierSpec
from tasks.dcgan.spec import GanFitSpec, GanLossSpec, GanSpec
from tasks.flag_values import require_at_least

GanPreset = Literal["auto", "demo", "photos"]
Arm = Literal["real", "synthetic", "real+synthetic", "real+standard", "all"]
FOUR_ARMS: tuple[Arm, ...] = ("real", "synthetic", "real+synthetic", "real+standard")


@dataclass(frozen=True)
class ClassifierRecipe:
    """The classifiers: one to score pictures by, and those of the experiment."""

    cls_preset: Literal["small", "demo"] = "small"
    """Preset of train_cls.py that gives optimiser and loss: small for photos, demo for drawings.
    Of its augmentation nothing is taken but --standard."""
    cls_alpha: float = 0.5
    """Width multiplier of their MobileNet, of which the stem has stride 1; their resolution is
    --size."""
    cls_epochs: int = 40
    """Passes over the real photos of those trained on real photos; the others take as many
    steps."""
    cls_batch_size: int = 32
    """Pictures of a step."""
    standard: LabelAugmentation = "small"
    """The standard augmentation: small shifts and mirrors, mild crops and mirrors, modern adds
    RandAugment, tf_slim is that of MobileNet's authors."""

    def __post_init__(self) -> None:
        require_at_least(self, 1, "cls_epochs")
        require_at_least(self, 2, "cls_batch_size")
        if not self.cls_alpha > 0:
            raise InputError(f"--cls-alpha {self.cls_alpha} must be above 0 (1 is full width)")


@dataclass(frozen=True)
class TrainGan(Training, DataFlags):
    """Train a GAN that draws pictures of each class; sample from it; see whether they help.

    A class-conditional DCGAN. Without --data it trains on built-in breeds. Its pictures are scored
    in the features of a classifier of yours (--features), or of one that is trained at once.
    --experiment then trains classifiers on real, generated and augmented pictures and compares
    them. The run folder is --out, by default runs/<preset>/<time>. --weights RUN --sample N writes
    pictures from a finished run.
    """

    preset: GanPreset = "auto"
    """Recipe: auto is demo without --data, else photos."""
    data: Path | None = None
    """Labelled photos in any form that train_cls.py reads from files; a set without a validation
    part gives up a fifth of its photos, which the GAN never sees."""
    classes: Path | None = None
    """Text file with the names or ids of the classes to take, one per line; all by default."""
    features: Path | None = None
    """Run folder or weights file of the classifier in whose features pictures are scored; by
    default one is trained on the real photos first."""
    weights: Path | None = None
    """Run folder or weights file of a trained generator, to --sample or --experiment with, or to
    score in the --features of another classifier."""
    sample: int = 0
    """Write so many pictures of each class to --out, a folder per class, and do nothing else;
    needs --weights."""
    experiment: bool = False
    """Compare classifiers trained on real photos, on generated pictures, on both, and on real
    photos with standard augmentation, in equal steps."""
    arms: tuple[Arm, ...] = FOUR_ARMS
    """What to compare; the first is what the others are measured by. all: real and generated
    with standard augmentation."""
    seeds: int = 3
    """Classifiers for each arm of the experiment, with generated pictures of their own."""
    synthetic: int = 1
    """Generated pictures for each real photo, in the experiment."""
    resume: Path | None = None
    """Run folder to go on with after an interruption, wherever that was; its own configuration is
    used."""
    model: GanSpec = field(default_factory=GanSpec)
    loss: GanLossSpec = field(default_factory=GanLossSpec)
    fit: GanFitSpec = field(default_factory=GanFitSpec)
    classifier: ClassifierRecipe = field(default_factory=ClassifierRecipe)
    scored: int = 2000
    """Most photos, and generated pictures, that are compared."""
    boxes: bool = False
    """Cut photos to their boxes first, where the data have boxes (Stanford Dogs)."""
    workers: int = -1
    """Loader processes of the classifiers; -1 takes half the cores, at most 8; 0 loads in the
    trainer's own."""

    def __post_init__(self) -> None:
        require_at_least(self, 1, "seeds", "synthetic")
        require_at_least(self, 10, "scored")
        require_at_least(self, 0, "sample")
        if not self.arms or len(set(self.arms)) < len(self.arms):
            raise InputError(f"--arms {' '.join(self.arms)}: name each once, and one at least")
        if self.sample and self.weights is None:
            raise InputError(f"--sample {self.sample}: needs --weights RUN, a trained generator")
        if self.weights is not None and not (self.sample or self.experiment or self.features):
            raise InputError(
                f"--weights {self.weights}: goes with --sample N, --experiment or --features"
            )

    def train_cls(self, augment: LabelAugmentation, *, epochs: int, seed: int) -> TrainCls:
        """One of the classifiers: --cls-preset without mixing, its last weights kept.

        Only the last epoch is evaluated, so no arm is chosen by the photos it is measured on.
        """
        base = CLS_PRESETS[self.classifier.cls_preset]
        fit = replace(
            base.fit,
            epochs=epochs,
            batch_size=self.classifier.cls_batch_size,
            eval_every=epochs,
            precision=self.fit.precision,
        )
        size, alpha = self.model.size, self.classifier.cls_alpha
        return replace(
            base,
            model=ClassifierSpec(alpha=alpha, size=size, stem_stride=1),
            loss=replace(base.loss, mixup=0.0, progressive=1.0),
            fit=fit,
            augment=augment,
            boxes=self.boxes,
            command=self.command,
            workers=self.workers,
            common=replace(self.common, seed=seed),
        )


PHOTOS_GAN = TrainGan(preset="photos")
"""Own photos at 64 pixels: ``tools/train_gan.py --data PATH``.

A step takes .35 CPU seconds of one core (bfloat16), .16 with ``--width 16``.
"""

DEMO_GAN = TrainGan(
    preset="demo",
    model=GanSpec(size=32),
    fit=GanFitSpec(
        epochs=120, lr_generator=5e-4, lr_discriminator=1e-3, ema_decay=0.995, eval_every=20
    ),
    classifier=ClassifierRecipe(cls_preset="demo", cls_alpha=0.25, cls_epochs=40),
    boxes=True,
)
"""Built-in breeds at 32 pixels, sized for two CPU cores: ``tools/train_gan.py``.

A step takes .09 CPU seconds of one core (bfloat16), and there are 2,160. Four of the breeds
(``--classes``) for 396 steps: Frechet distance 15.1 (untrained 72.4, held-out photos .65),
coverage .57 (.04, .71), D(real) .50 and D(fake) .46 at the end; 71 CPU seconds, the
classifier's among them.
"""

GAN_PRESETS = Presets((PHOTOS_GAN, DEMO_GAN), with_data="photos", with_weights=None)
