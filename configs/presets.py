"""How the preset of a training is chosen, for any task."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Generic, TypeVar

from configs.training import Training
from datasets.errors import InputError

Config_co = TypeVar("Config_co", bound=Training, covariant=True)


@dataclass(frozen=True)
class Presets(Generic[Config_co]):
    """The presets of one training tool, and which of them ``auto`` stands for.

    Attributes:
        named: Presets, in the order in which messages list them.
        with_data: Name of the preset for training on own data from scratch.
        with_weights: Name of the preset for starting from weights; None if weights do not matter.
        with_teacher: Name of the preset for learning from a teacher; None if a teacher does not
            matter.
        built_in: Name of the preset for built-in images.
        with_small: Name of the preset for training on own small images from scratch; None if their
            size does not matter.
        offer: Text before the list of choices in the message about an unknown name.
    """

    named: tuple[Config_co, ...]
    with_data: str
    with_weights: str | None = "finetune"
    with_teacher: str | None = None
    built_in: str = "demo"
    with_small: str | None = None
    offer: str = "choose one of"

    def __getitem__(self, name: str) -> Config_co:
        """The preset of a given name. Raises InputError with the choices if there is none."""
        for preset in self.named:
            if preset.preset == name:
                return preset
        names = ", ".join(preset.preset for preset in self.named)
        raise InputError(f"--preset {name}: {self.offer} auto, {names}")

    def choose(
        self,
        name: str = "auto",
        *,
        has_data: bool = False,
        has_weights: bool = False,
        has_teacher: bool = False,
    ) -> Config_co:
        """The preset of a given name; ``auto`` depends on which flags were given.

        Args:
            name: Name of a preset, or ``auto``.
            has_data: Whether own data was given.
            has_weights: Whether weights to start from were given.
            has_teacher: Whether a teacher, or its stored targets, was given.

        Raises:
            InputError: If the name is unknown; the message lists the choices.
        """
        if name != "auto":
            return self[name]
        starts = has_weights and self.with_weights is not None
        if not (has_data or starts):
            return self[self.built_in]
        learns = has_teacher and self.with_teacher is not None
        chosen = self.with_teacher if learns else self.with_weights if starts else None
        return self[chosen or self.with_data]
