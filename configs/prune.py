"""Flags of the pruning tool."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

import tyro

from configs.common import Common
from datasets.errors import InputError
from tasks.flag_values import flag_of, require_at_least
from tasks.weights.names import WEIGHTS_NAME

# What means nothing without --experiment.
_OF_EXPERIMENT = ("epochs", "seeds", "workers")


@dataclass(frozen=True)
class Prune:
    """Narrow a trained MobileNet v1 classifier to the widths of a smaller alpha.

    The channels that bring the next layer least are cut out, all weights around them too, and
    what is left is an ordinary MobileNet of that alpha, which every tool takes. It has lost much
    of what it knew: train_cls.py --weights FILE fine-tunes it, with --teacher RUN towards the
    network that it came from. --out is by default the weights' name with -a<alpha> beside them.

    --experiment answers whether that was worth it: the narrow network trained from scratch, from
    scratch with the big one as teacher, from the pruned weights, and from these with the teacher,
    for as many epochs each, and all of them in 8 bits too. --out is then a folder, by default
    runs/prune/<time>; interrupted, --resume goes on with it.
    """

    weights: Annotated[Path | None, tyro.conf.Positional] = None
    """Run folder or weights file of a classifier; with --experiment a run folder of train_cls.py,
    whose data and recipe are taken."""
    alpha: float = 0.5
    """Width multiplier to prune to, not above that of the weights."""
    data: Path | None = None
    """Photos as train_cls.py takes them, to measure batch norm anew on training photos; without
    them its statistics are computed from those of the wide network, which is less exact.
    --experiment: data of the run by default."""
    classes: Path | None = None
    """Text file with the names or ids of the data's classes to take; --experiment: the run's by
    default."""
    experiment: bool = False
    """Train and compare, instead of writing one file."""
    epochs: int = 12
    """Experiment: passes over the photos of each training."""
    seeds: int = 2
    """Experiment: trainings of each kind, with --seed and the following ones."""
    resume: Path | None = None
    """Folder of an experiment to go on with after an interruption, with its own configuration."""
    command: tyro.conf.Suppress[str] = ""
    """The command line that began the experiment."""
    workers: int = -1
    """Experiment: loader processes; -1 takes half the cores, at most 8; 0 loads in the trainer's
    own."""
    common: Common = field(default_factory=Common)

    def __post_init__(self) -> None:
        if not self.alpha > 0:
            raise InputError(f"--alpha {self.alpha} must be above 0 (1 is full width)")
        require_at_least(self, 1, "epochs", "seeds")
        if self.resume is not None:
            return
        if self.weights is None:
            raise InputError("nothing to prune: name a run folder or a weights file")
        for name in () if self.experiment else _OF_EXPERIMENT:
            if getattr(self, name) != getattr(Prune, name):
                raise InputError(
                    f"--{flag_of(name)} {getattr(self, name)}: is for --experiment, which was not "
                    "given"
                )
        if self.classes is not None and not (self.data or self.experiment):
            raise InputError(f"--classes {self.classes}: goes with --data")

    def out_file(self) -> Path:
        """The weights file to write.

        Raises:
            InputError: If it would be the source, or would not end as a weights file does.
        """
        assert self.weights is not None
        file = self.weights / WEIGHTS_NAME if self.weights.is_dir() else self.weights
        out = self.common.out or file.with_name(f"{file.stem}-a{self.alpha:g}{file.suffix}")
        if out.suffix != file.suffix:
            raise InputError(f"--out {out}: a weights file ends in {file.suffix}")
        if out.resolve() == file.resolve():
            raise InputError(f"--out {out}: would overwrite the source")
        return out
