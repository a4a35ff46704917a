"""What a GAN is made of and how it is trained. Nothing heavy is imported: help is built of it."""

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
    """Side of the pictures in pixels: 32, 64 or 128."""
    latent: int = 64
    """Random numbers that a picture is made from, besides its class."""
    width: int = 32
    """Channels of the map of half the pictures' side; each smaller map has twice as many."""

    def __post_init__(self) -> None:
        """Refuse what cannot be built. Raises InputError naming flag, value and choices."""
        if self.size not in SIZES:
            raise InputError(f"--size {self.size}: choose one of {', '.join(map(str, SIZES))}")
        require_at_least(self, 1, "latent", "width")

    @property
    def channels(self) -> tuple[int, ...]:
        """Of the maps of 4, 8, ... pixels, up to half the pictures' side."""
        levels = self.size.bit_length() - 3  # 32 has maps of 4, 8 and 16 pixels.
        return tuple(self.width * 2**level for level in reversed(range(levels)))

    def to_json(self) -> dict[str, Any]:
        """Plain dict for a card."""
        return asdict(self)


@dataclass(frozen=True)
class GanLossSpec:
    """The game of generator and discriminator."""

    objective: Objective = "hinge"
    """hinge, or logistic (DCGAN's own, with the generator's non-saturating form)."""
    spectral_norm: bool = True
    """Hold each layer of the discriminator to spectral norm 1 (Miyato et al.)."""
    r1: float = 0.0
    """Weight of R1, which punishes the discriminator's slope at real photos (Mescheder et al.);
    0 for none. With --no-spectral-norm .1 to 10."""
    r1_every: int = 8
    """Steps from one R1 to the next, which counts so many times as much."""
    diff_augment: tuple[Policy, ...] = ALL_POLICIES
    """Differentiable augmentation of all that the discriminator sees, real or not, in both steps
    (Zhao et al.); nothing after the flag for none."""
    mirror: bool = True
    """Show the discriminator half the real photos mirrored: not for letters or traffic signs."""

    def __post_init__(self) -> None:
        """Refuse impossible numbers. Raises InputError naming the flag and its value."""
        require_at_least(self, 0, "r1")
        require_at_least(self, 1, "r1_every")


@dataclass(frozen=True)
class GanFitSpec:
    """Two optimisers (Adam), and the engine."""

    epochs: int = 300
    """Passes over the training photos."""
    batch_size: int = 64
    """Real photos, and generated ones, of a step."""
    lr_generator: float = 2e-4
    """Learning rate of the generator."""
    lr_discriminator: float = 4e-4
    """Learning rate of the discriminator: a time scale of its own (Heusel et al.)."""
    beta1: float = 0.0
    """Of both Adams: how long gradients are averaged; DCGAN's own is .5."""
    beta2: float = 0.99
    """Of both Adams: how long squared gradients are averaged."""
    ema_decay: float = 0.999
    """Decay per step of the averaged generator, which pictures are sampled from; 0 for none."""
    precision: Precision = "auto"
    """bf16 where the chip computes it natively (auto), always, or never."""
    channels_last: bool = True
    """Memory layout that convolutions run fastest in."""
    eval_every: int = 25
    """Epochs between sample sheets and scores; the last epoch always has them."""
    save_minutes: float = 10.0
    """Longest time between checkpoints within an epoch; each epoch's end saves one anyway."""
    patience: int = 500
    """Steps for which the discriminator may be sure of everything, or the generator's pictures
    all alike, before the training stops; 0 never stops."""

    def __post_init__(self) -> None:
        """Refuse values that cannot train. Raises InputError naming the flag and its value."""
        require_at_least(self, 2, "batch_size")
        require_at_least(self, 0, "patience")
        require_above_0(self, "lr_generator", "lr_discriminator")
        require_within(self, "[0, 1)", "beta1", "beta2")
        self.engine()

    def engine(self) -> FitSpec:
        """What the engine has to know of it. Raises InputError naming a flag and its value."""
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
