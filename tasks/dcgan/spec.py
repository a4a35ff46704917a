"""The options of a GAN and its training. It imports nothing slow: --help is built from it."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Literal

from datasets.errors import InputError
from tasks.fitting.spec import FitSpec, Precision
from tasks.flag_values import require_above_0, require_at_least, require_within

TASK = "dcgan"
Policy = Literal["translation", "cutout", "colour"]
Objective = Literal["hinge", "logistic"]
SIZES = (32, 64, 128)
ALL_POLICIES: tuple[Policy, ...] = ("translation", "cutout", "colour")


@dataclass(frozen=True)
class GanSpec:
    """Architecture of the generator; the discriminator mirrors it."""

    size: int = 64
    """Side of the images in pixels: 32, 64 or 128."""
    latent: int = 64
    """Number of random values from which an image is generated, besides its class."""
    width: int = 32
    """Number of channels of the layer at half the image's side; each smaller layer has twice as
    many."""

    def __post_init__(self) -> None:
        """Refuse what cannot be built. Raises InputError naming flag, value and choices."""
        if self.size not in SIZES:
            raise InputError(f"--size {self.size}: choose one of {', '.join(map(str, SIZES))}")
        require_at_least(self, 1, "latent", "width")

    @property
    def channels(self) -> tuple[int, ...]:
        """Numbers of channels of the layers of 4, 8, ... pixels, up to half the image's side."""
        levels = self.size.bit_length() - 3  # 32 has maps of 4, 8 and 16 pixels.
        return tuple(self.width * 2**level for level in reversed(range(levels)))

    def to_json(self) -> dict[str, Any]:
        """Plain dict for a card."""
        return asdict(self)


@dataclass(frozen=True)
class GanLossSpec:
    """The losses of generator and discriminator."""

    objective: Objective = "hinge"
    """Kind of loss: hinge, or logistic (as in DCGAN, with the generator's non-saturating form)."""
    spectral_norm: bool = True
    """Normalise each layer of the discriminator to spectral norm 1 (Miyato et al.)."""
    r1: float = 0.0
    """Weight of the R1 penalty on the discriminator's gradient at real images (Mescheder et al.);
    0 disables it. With --no-spectral-norm use .1 to 10."""
    r1_every: int = 8
    """The R1 penalty is computed every so many steps, and its weight is multiplied by this number.
    """
    diff_augment: tuple[Policy, ...] = ALL_POLICIES
    """Differentiable augmentation of all images that the discriminator sees, real and generated,
    in both steps (Zhao et al.). Give the flag without a value to disable it."""
    mirror: bool = True
    """Mirror half of the real images that the discriminator sees; unsuitable for letters or
    traffic signs."""

    def __post_init__(self) -> None:
        """Refuse impossible numbers. Raises InputError naming the flag and its value."""
        require_at_least(self, 0, "r1")
        require_at_least(self, 1, "r1_every")


@dataclass(frozen=True)
class GanFitSpec:
    """The two optimisers (Adam) and the training loop."""

    epochs: int = 300
    """Number of passes over the training images."""
    batch_size: int = 64
    """Number of real images per step, and of generated ones."""
    lr_generator: float = 2e-4
    """Learning rate of the generator."""
    lr_discriminator: float = 4e-4
    """Learning rate of the discriminator, usually higher than the generator's (Heusel et al.)."""
    beta1: float = 0.0
    """Adam's decay of averaged gradients, for both optimisers, from 0 to below 1; DCGAN used .5.
    """
    beta2: float = 0.99
    """Adam's decay of averaged squared gradients, for both optimisers, from 0 to below 1."""
    ema_decay: float = 0.999
    """Decay per step of the averaged generator, from which images are sampled; 0 disables
    averaging."""
    precision: Precision = "auto"
    """Number format of training: bf16, fp32, or auto, which uses bf16 if the processor computes it
    natively."""
    channels_last: bool = True
    """Store tensors in channels-last order, in which convolutions run fastest."""
    eval_every: int = 25
    """Number of epochs between sample sheets and scores; they are always made after the last
    epoch."""
    save_minutes: float = 10.0
    """Longest time between checkpoints within an epoch, in minutes; one is also written after each
    epoch."""
    patience: int = 500
    """Training stops with an error if for this many steps the discriminator is certain of every
    image, or the generated images are all alike; 0 never stops."""

    def __post_init__(self) -> None:
        """Refuse values that cannot train. Raises InputError naming the flag and its value."""
        require_at_least(self, 2, "batch_size")
        require_at_least(self, 0, "patience")
        require_above_0(self, "lr_generator", "lr_discriminator")
        require_within(self, "[0, 1)", "beta1", "beta2")
        self.engine()

    def engine(self) -> FitSpec:
        """The settings for the training loop. Raises InputError naming a flag and its value."""
        return FitSpec(
            epochs=self.epochs,
            batch_size=self.batch_size,
            lr=self.lr_generator,
            clip_norm=0.0,  # Lightning clips for one optimiser only.
            ema_decay=self.ema_decay,
            bn_momentum=0.1,
            precision=self.precision,
            channels_last=self.channels_last,
            eval_every=self.eval_every,
            save_minutes=self.save_minutes,
        )
