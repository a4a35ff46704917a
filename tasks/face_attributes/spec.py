"""The options of face attributes. It imports nothing slow: --help is built from it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from datasets.errors import InputError
from tasks.flag_values import require_at_least, require_within

TASK = "face_attributes"
USE_NOTE = (
    "An answer says what an image looks like to people who labelled such images, and nothing "
    "about a person. Do not infer sex, age, origin, attractiveness, health, character or "
    "orientation from faces."
)


@dataclass(frozen=True)
class AttributeLossSpec:
    """The training objective: cross-entropy of each attribute, averaged."""

    balance: bool = False
    """For each attribute, give images with it and images without it the same total weight, however
    rare it is."""
    focal_gamma: float = 0.0
    """Focal loss: exponent that reduces the weight of images on which the network is already
    certain; its paper uses 2, and 0 is cross-entropy."""
    attribute_weights: tuple[str, ...] = ()
    """Loss weights of individual attributes, 0 or more, as Eyeglasses=2 Smiling=.5; the others
    have weight 1."""
    dropout: float = 0.001
    """Dropout before the last layer: share of the features that are set to zero in training, from
    0 to below 1."""

    def __post_init__(self) -> None:
        """Refuse values that cannot train. Raises InputError naming the flag and its value."""
        require_at_least(self, 0, "focal_gamma")
        require_within(self, "[0, 1)", "dropout")
        for word in self.attribute_weights:
            _parse(word)

    def weights_of(self, names: Sequence[str]) -> list[float]:
        """Loss weight of each given attribute. Raises InputError if a flag names another one."""
        given = dict(_parse(word) for word in self.attribute_weights)
        odd = [name for name in given if name not in names]
        if odd:
            raise InputError(
                f"--attribute-weights {odd[0]}={given[odd[0]]:g}: no such attribute; they are "
                f"{', '.join(names)}"
            )
        return [given.get(name, 1.0) for name in names]


def _parse(word: str) -> tuple[str, float]:
    name, _, value = word.partition("=")
    try:
        weight = float(value)
    except ValueError:
        weight = -1.0
    if not name or not 0 <= weight < float("inf"):
        raise InputError(f"--attribute-weights {word}: write NAME=WEIGHT, 0 or more")
    return name, weight
