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

# Flags that have no effect without --experiment.
_OF_EXPERIMENT = ("epochs", "seeds", "workers")


@dataclass(frozen=True)
class Prune:
    """Prune a trained MobileNet v1 classifier to the widths of a smaller alpha.

    The channels that contribute least to the next layer are removed, together with all weights
    that belong to them. The result is an ordinary MobileNet of the smaller alpha, which every tool
    accepts. It is much less accurate until it is fine-tuned with train_cls.py --weights FILE, best
    with --teacher RUN, the original network. --out is by default the name of the weights with
    -a<alpha> added.

    --experiment measures whether pruning is worth it. It trains the narrow network from scratch,
    from scratch with the original network as teacher, from the pruned weights, and from the pruned
    weights with the teacher, each for the same number of epochs, and evaluates all of them in 8
    bits as well. --out is then a folder, by default runs/prune/<time>; --resume continues an
    interrupted experiment.
    """

    weights: Annotated[Path | None, tyro.conf.Positional] = None
    """Run folder or weights file of a classifier; with --experiment a run folder of train_cls.py,
    whose data and training settings are used."""
    alpha: float = 0.5
    """Width multiplier to prune to, above 0 and not above that of the weights."""
    data: Path | None = None
    """Labelled images as train_cls.py reads them, on whose training part the batch-norm statistics
    are measured again. Without them the statistics are computed from those of the original
    network, which is less exact. With --experiment: by default the data of the run."""
    classes: Path | None = None
    """Text file with the names or ids of the classes to use, one per line; by default all classes,
    or with --experiment those of the run."""
    experiment: bool = False
    """Train and compare networks instead of writing one weights file."""
    epochs: int = 12
    """With --experiment: number of passes over the training images for each network."""
    seeds: int = 2
    """With --experiment: number of trainings of each kind, with --seed and the numbers that follow
    it."""
    resume: Path | None = None
    """Folder of an interrupted experiment to continue, with the configuration stored in it."""
    command: tyro.conf.Suppress[str] = ""
    """Command line that started the experiment."""
    workers: int = -1
    """With --experiment: number of processes that load data; -1 uses half the cores, at most 8; 0
    loads in the training process itself."""
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
            InputError: If it would overwrite the source, or does not end as a weights file does.
        """
        assert self.weights is not None
        file = self.weights / WEIGHTS_NAME if self.weights.is_dir() else self.weights
        out = self.common.out or file.with_name(f"{file.stem}-a{self.alpha:g}{file.suffix}")
        if out.suffix != file.suffix:
            raise InputError(f"--out {out}: a weights file ends in {file.suffix}")
        if out.resolve() == file.resolve():
            raise InputError(f"--out {out}: would overwrite the source")
        return out
