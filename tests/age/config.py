"""The configuration of a training, and its presets."""

from dataclasses import dataclass, field

from configs.presets import Presets
from configs.training import PhotoTraining
from tasks.body_spec import ClassifierSpec
from tasks.fitting.spec import FitSpec


@dataclass(frozen=True)
class TrainAge(PhotoTraining):
    """Train and evaluate a network that guesses ages."""

    model: ClassifierSpec = field(
        default_factory=lambda: ClassifierSpec(alpha=0.25, size=64, variant="shallow")
    )
    fit: FitSpec = field(default_factory=lambda: FitSpec(epochs=2, batch_size=8, ema_decay=0.5))


AGE_PRESETS = Presets(
    named=(TrainAge(preset="demo", augment="none", crop=1.0),),
    with_data="demo",
    with_weights=None,
)
