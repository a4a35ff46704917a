"""How a training's preset is chosen, whatever its task."""

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
        named: The presets, in the order in which people are told of them.
        with_data: Name of the one for own data, from scratch.
        with_weights: Of the one that starts from weights; None if weights decide nothing.
        with_teacher: Of the one that learns from a teacher; None if a teacher decides nothing.
        built_in: Of the one for built-in pictures.
        offer: What comes before the choices where a name is unknown.
    """

    named: tuple[Config_co, ...]
    with_data: str
    with_weights: str | None = "finetune"
    with_teacher: str | None = None
    built_in: str = "demo"
    offer: str = "choose one of"

    def __getitem__(self, name: str) -> Config_co:
        """The preset of a name. Raises InputError if there is none, with the choices."""
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
        """The preset of a name; ``auto`` goes by what was given.

        Raises:
            InputError: On an unknown name, with the choices.
        """
        if name != "auto":
            return self[name]
        starts = has_weights and self.with_weights is not None
        if not (has_data or starts):
            return self[self.built_in]
        learns = has_teacher and self.with_teacher is not None
        chosen = self.with_teacher if learns else self.with_weights if starts else None
        return self[chosen or self.with_data]
