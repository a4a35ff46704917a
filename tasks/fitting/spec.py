"""The options of training, for any task. It imports nothing slow."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from datasets.errors import InputError
from tasks.flag_values import require_above_0, require_at_least, require_within

Precision = Literal["auto", "bf16", "fp16", "fp32"]
Tracker = Literal["wandb", "mlflow"]


@dataclass(frozen=True)
class FitSpec:
    """Optimiser, learning-rate schedule and training loop."""

    epochs: int = 40
    """Number of passes over the training set."""
    batch_size: int = 24
    """Number of images per batch and process."""
    accumulate: int = 1
    """Gradient accumulation: number of batches whose gradients are averaged for one step, if more
    images are wanted than fit into memory. Batch norm still sees single batches."""
    optimizer: Literal["sgd", "rmsprop", "adamw"] = "sgd"
    """Optimiser: sgd with momentum; rmsprop as TensorFlow computes it (epsilon inside the root);
    adamw."""
    lr: float = 0.01
    """Highest learning rate, for the batch size as given."""
    momentum: float = 0.9
    """Momentum of sgd and rmsprop, from 0 to below 1."""
    weight_decay: float = 4e-5
    """Weight decay (L2) of convolution weights; never applied to biases, batch norm or depthwise
    filters (section 3.2 of the paper)."""
    schedule: Literal["cosine", "exponential"] = "cosine"
    """Learning rate after the warm-up: cosine falls to zero; exponential is multiplied by
    --decay-rate every --decay-epochs."""
    warmup: float = 0.05
    """Share of all steps over which the learning rate rises from zero, from 0 to below 1."""
    decay_rate: float = 0.94
    """For the exponential schedule: factor, above 0 and up to 1."""
    decay_epochs: float = 2.5
    """For the exponential schedule: number of epochs per factor."""
    clip_norm: float = 10.0
    """Gradients with a larger total norm are scaled down to it; 0 disables this."""
    ema_decay: float = 0.9998
    """Decay per step of the averaged weights, which are evaluated and saved; 0 disables averaging.
    """
    bn_momentum: float = 0.03
    """Weight of each batch in the running statistics of batch norm (TensorFlow's decay .9997 is
    .0003). In a run with so few steps that the statistics would still show their start, at least
    10 / steps is used."""
    freeze_bn: bool = False
    """Keep batch-norm statistics fixed, for fine-tuning on few images."""
    sync_bn: bool = False
    """On several GPUs, compute batch-norm statistics over the batches of all processes, for few
    images per process. Without it each process uses its own batch."""
    frozen_epochs: int = 0
    """Number of epochs at the start in which the body stays fixed and only the head is trained,
    for fine-tuning: a new head would otherwise disturb a good body at first."""
    layer_decay: float = 1.0
    """Layer-wise learning rates: each layer of the body learns at this factor times the rate of
    the layer above it, and the last layer at this factor times the rate of the head. 1 gives all
    layers the same rate; .8 to .95 suits fine-tuning."""
    precision: Precision = "auto"
    """Number format of training: bf16; fp16 with loss scaling, on NVIDIA GPUs only; fp32; or auto,
    which uses bf16 if the processor computes it natively, and otherwise fp16 on an NVIDIA GPU."""
    channels_last: bool = True
    """Store tensors in channels-last order, in which convolutions run fastest."""
    compile: bool = False
    """Compile the network with torch.compile: a slow start, then faster steps."""
    eval_every: int = 5
    """Number of epochs between evaluations; the last epoch is always evaluated."""
    patience: int = 0
    """Early stopping: number of evaluations in a row without a better one after which training
    stops; 0 trains to the end. The best weights are kept either way."""
    logger: tuple[Tracker, ...] = ()
    """Trackers to log to besides TensorBoard and metrics.csv: wandb, mlflow. Both write local
    files only, unless WANDB_MODE or MLFLOW_TRACKING_URI is set."""
    save_minutes: float = 10.0
    """Longest time between checkpoints within an epoch, in minutes; one is also written after each
    epoch."""

    def __post_init__(self) -> None:
        """Refuse values that cannot train. Raises InputError naming the flag and its value."""
        if self.batch_size == 1 and not self.freeze_bn:
            raise InputError(
                "--batch-size 1 leaves batch norm nothing to measure: take 2 or more, or "
                "--freeze-bn"
            )
        require_at_least(self, 1, "epochs", "batch_size", "accumulate", "eval_every")
        if not 0 <= self.frozen_epochs <= self.epochs:
            raise InputError(
                f"--frozen-epochs {self.frozen_epochs} is not in 0..{self.epochs}, the epochs"
            )
        require_above_0(self, "lr", "decay_epochs", "save_minutes")
        require_at_least(self, 0, "weight_decay", "clip_norm", "patience")
        require_within(self, "[0, 1)", "momentum", "ema_decay", "warmup")
        require_within(self, "(0, 1]", "bn_momentum", "decay_rate", "layer_decay")
