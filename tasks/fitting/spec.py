"""How a model is trained, whatever its task. Nothing heavy is imported here."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from datasets.errors import InputError
from tasks.flag_values import require_above_0, require_at_least, require_within

Precision = Literal["auto", "bf16", "fp32"]


@dataclass(frozen=True)
class FitSpec:
    """Optimiser, schedule and engine."""

    epochs: int = 40
    """Passes over the training set."""
    batch_size: int = 24
    """Images per step and process."""
    optimizer: Literal["sgd", "rmsprop", "adamw"] = "sgd"
    """sgd with momentum; rmsprop as TensorFlow computes it (epsilon inside the root); adamw."""
    lr: float = 0.01
    """Highest learning rate, for the whole batch as given."""
    momentum: float = 0.9
    """Of sgd and rmsprop."""
    weight_decay: float = 4e-5
    """L2 on convolution weights; never on biases, batch norm or depthwise filters (paper 3.2)."""
    schedule: Literal["cosine", "exponential"] = "cosine"
    """After the warm-up: cosine to zero, or a factor per so many epochs."""
    warmup: float = 0.05
    """Share of all steps over which the rate rises from zero."""
    decay_rate: float = 0.94
    """Factor of the exponential schedule."""
    decay_epochs: float = 2.5
    """Epochs per factor of the exponential schedule."""
    clip_norm: float = 10.0
    """Gradients of a larger total norm are scaled down to it; 0 leaves them."""
    ema_decay: float = 0.9998
    """Decay per step of the averaged weights, which are evaluated and kept; 0 for none."""
    bn_momentum: float = 0.03
    """Share of a batch in the running statistics (TensorFlow's decay .9997 is .0003); in a run of
    so few steps that they would still show their start, more: 10 / steps."""
    freeze_bn: bool = False
    """Keep batch-norm statistics as they are: for fine-tuning on few images."""
    sync_bn: bool = False
    """On several GPUs, batch norm measures the batches of all processes together: for few images
    per process. Without it each process normalises by its own."""
    frozen_epochs: int = 0
    """Epochs at the start in which the body stays as it is and only the head learns: for
    fine-tuning, where a fresh head would at first pull a good body about."""
    layer_decay: float = 1.0
    """Each layer of the body learns at the rate of the one above it times this, the last one at
    the head's times this; 1 gives all the same rate. For fine-tuning .8 to .95."""
    precision: Precision = "auto"
    """bf16 where the chip computes it natively (auto), always, or never."""
    channels_last: bool = True
    """Memory layout that convolutions run fastest in."""
    compile: bool = False
    """Compile the network with torch.compile: a slow start, then faster steps."""
    eval_every: int = 5
    """Epochs between evaluations; the last epoch is always evaluated."""
    patience: int = 0
    """Stop after so many evaluations in a row without a better one; 0 trains to the end. The best
    weights are kept either way."""
    save_minutes: float = 10.0
    """Longest time between checkpoints within an epoch; each epoch's end saves one anyway."""

    def __post_init__(self) -> None:
        """Refuse values that cannot train. Raises InputError naming the flag and its value."""
        if self.batch_size == 1 and not self.freeze_bn:
            raise InputError(
                "--batch-size 1 leaves batch norm nothing to measure: take 2 or more, or "
                "--freeze-bn"
            )
        require_at_least(self, 1, "epochs", "batch_size", "eval_every")
        if not 0 <= self.frozen_epochs <= self.epochs:
            raise InputError(
                f"--frozen-epochs {self.frozen_epochs} is not in 0..{self.epochs}, the epochs"
            )
        require_above_0(self, "lr", "decay_epochs", "save_minutes")
        require_at_least(self, 0, "weight_decay", "clip_norm", "patience")
        require_within(self, "[0, 1)", "momentum", "ema_decay", "warmup")
        require_within(self, "(0, 1]", "bn_momentum", "decay_rate", "layer_decay")
