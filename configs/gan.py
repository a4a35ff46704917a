"""Presets of the GANs. The docstring of each gives its command, time and result."""

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
    """The classifiers: the one that scores images, and those of the experiment."""

    cls_preset: Literal["small", "demo"] = "small"
    """Preset of train_cls.py whose optimiser and loss are used: small for real images, demo for
    synthetic ones. Its augmentation is replaced by --standard."""
    cls_alpha: float = 0.5
    """Width multiplier of their MobileNet, above 0; the first convolution has stride 1 and the
    resolution is --size."""
    cls_epochs: int = 40
    """Number of passes over the real images for classifiers trained on real images; the others
    take the same number of steps."""
    cls_batch_size: int = 32
    """Number of images per step."""
    standard: LabelAugmentation = "small"
    """The standard augmentation. small: shifts and flips. mild: crops and flips. modern: crops,
    flips and RandAugment. tf_slim: that of MobileNet's authors. none: no augmentation."""

    def __post_init__(self) -> None:
        require_at_least(self, 1, "cls_epochs")
        require_at_least(self, 2, "cls_batch_size")
        if not self.cls_alpha > 0:
            raise InputError(f"--cls-alpha {self.cls_alpha} must be above 0 (1 is full width)")


@dataclass(frozen=True)
class TrainGan(Training, DataFlags):
    """Train a GAN that generates images of each class, sample from it, and test whether they help.

    The GAN is a class-conditional DCGAN. Without --data it trains on built-in synthetic breeds.
    Its images are scored in the features of your own classifier (--features), or of one that is
    trained first. --experiment then trains classifiers on real, generated and augmented images and
    compares them. The run folder is --out, by default runs/<preset>/<time>. --weights RUN --sample
    N writes images from a finished run.
    """

    preset: GanPreset = "auto"
    """Set of default values. auto means demo without --data, and the preset for own
    images otherwise."""
    data: Path | None = None
    """Labelled images in any format that train_cls.py reads from files; if they have no validation
    part, a fifth is held out, which the GAN never sees."""
    classes: Path | None = None
    """Text file with the names or ids of the classes to use, one per line; by default all classes.
    """
    features: Path | None = None
    """Run folder or weights file of the classifier in whose features images are scored; by default
    one is trained on the real images first."""
    weights: Path | None = None
    """Run folder or weights file of a trained generator, for use with --sample, --experiment, or
    --features, which scores it in the features of another classifier."""
    sample: int = 0
    """Write this many images of each class to --out, in a folder per class, and do nothing else;
    needs --weights."""
    experiment: bool = False
    """Compare classifiers trained on real images, on generated images, on both, and on real images
    with standard augmentation, each for the same number of steps."""
    arms: tuple[Arm, ...] = FOUR_ARMS
    """Training sets to compare in the experiment; the others are compared with the first. all
    means real and generated images with standard augmentation."""
    seeds: int = 3
    """Number of classifiers per training set in the experiment, each with its own generated
    images."""
    synthetic: int = 1
    """Number of generated images per real image in the experiment."""
    resume: Path | None = None
    """Run folder to continue after an interruption at any point, with the configuration stored in
    it."""
    model: GanSpec = field(default_factory=GanSpec)
    loss: GanLossSpec = field(default_factory=GanLossSpec)
    fit: GanFitSpec = field(default_factory=GanFitSpec)
    classifier: ClassifierRecipe = field(default_factory=ClassifierRecipe)
    scored: int = 2000
    """Largest number of real images, and of generated images, that are compared for the scores."""
    boxes: bool = False
    """Crop images to their bounding boxes first, if the data has boxes (Stanford Dogs)."""
    workers: int = -1
    """Number of processes that load data for the classifiers; -1 uses half the cores, at most 8; 0
    loads in the training process itself."""

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
        """Configuration of a classifier: --cls-preset without mixup, the last weights kept.

        Only the last epoch is evaluated, so that no images are used both to select a classifier
        and to evaluate it.
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
"""Own images at 64 pixels: ``tools/train_gan.py --data PATH``.

A step takes .35 CPU seconds on one core (bfloat16), .16 with ``--width 16``.
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

A step takes .09 CPU seconds on one core (bfloat16), and there are 2,160. Four of the breeds
(``--classes``) for 396 steps: Frechet distance 15.1 (untrained 72.4, held-out images .65),
coverage .57 (.04, .71), D(real) .50 and D(fake) .46 at the end; 71 CPU seconds, including the
classifier.
"""

GAN_PRESETS = Presets((PHOTOS_GAN, DEMO_GAN), with_data="photos", with_weights=None)
