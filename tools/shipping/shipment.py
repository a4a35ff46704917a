"""The data of a shipment, examined and split, and the configuration of each network's training."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from shlex import quote
from typing import Any

import numpy as np

from configs.ship import Ship
from configs.training import SquareTraining
from datasets.errors import InputError
from datasets.kinds import recognise
from datasets.ledger import Ledger
from tasks.applications import photo_application
from tasks.runtime.open import read_card
from tools import cli
from tools.flows.flags import as_stored
from tools.flows.recipe import OpenedRun, Recipe, recipe_for
from tools.flows.told_files import told_files
from tools.recipes import RECIPES
from tools.shipping.start import Start

# Short side in pixels below which images are small, and number of images that are looked at.
_SMALL_SIDE, _LOOKED_AT = 96, 25
# Fields of an architecture that the candidates determine.
_OF_CANDIDATES = ("alpha", "size", "framework")
_FEWEST_BATCHES = 4


@dataclass(frozen=True)
class Length:
    """Length of a training: epochs in all, and epochs between evaluations."""

    epochs: int
    eval_every: int


@dataclass(frozen=True)
class Shipment:
    """Everything that does not depend on the choice of a network.

    Attributes:
        args: Flags.
        folder: Folder of the shipment.
        recipe: Recipe of the task.
        variant: Kind of the task's networks.
        base: Configuration that all trainings share.
        path: Path of the data.
        run: The opened data; weights are selected on other images than the final figure uses.
        device: Device to train on.
        starts: Weights to start from.
        files: What the files of the data are used as.
    """

    args: Ship
    folder: Path
    recipe: Recipe[Any]
    variant: str
    base: Any
    path: Path
    run: OpenedRun[Any]
    device: str
    starts: Sequence[Start] = ()
    files: Sequence[Ledger] = ()

    @property
    def task(self) -> str:
        """Name of the task."""
        return self.recipe.application.name

    def config(
        self, alpha: float, size: int, weights: Path | None, length: Length | None = None
    ) -> Any:
        """Configuration of one network's training, by default of the base's length."""
        config = self.base if weights is None else _suited(self.base, weights)
        model: dict[str, Any] = {"alpha": alpha, "size": size}
        fit: dict[str, Any] = {}
        if length is not None:
            evaluations = -(-length.epochs // length.eval_every)
            fit = {
                "epochs": length.epochs,
                "eval_every": length.eval_every,
                "patience": max(5, evaluations // 2),
                "frozen_epochs": min(config.fit.frozen_epochs, length.epochs // 4),
            }
        config = config.varied(model, fit, self.args.common.seed)
        given = f" --weights {quote(str(weights))}" if weights else ""
        data = f" --data {quote(str(self.args.data))}" if self.args.data else ""
        tool = cli.command(self.recipe.application.train_tool)
        command = (
            f"{tool} --preset {config.preset}{data}{given} "
            f"--alpha {alpha:g} --size {size} --epochs {config.fit.epochs}"
        )
        return replace(config, weights=weights, command=command)

    def opened(self, config: Any, share: float = 1.0) -> OpenedRun[Any]:
        """The data with a configuration; with a ``share``, only some of the training images."""
        run = copy.copy(self.run)
        run.config = config
        if share < 1:
            run.train_on_share(share)
        return run


def recipe_of(args: Ship) -> tuple[Recipe[Any], Path]:
    """The recipe of the data, and the data's path; built-in data is drawn.

    Raises:
        InputError: If the data is of no kind, or of another than ``--task``.
    """
    task: str = args.task
    if args.data is not None:
        found = recognise(args.data, None if task == "auto" else task)
        task = found.kind.task
        for other in found.also:
            cli.say(f"{args.data}: taken for {task}; --task {other.task} uses its {other.name}")
    where = args.data or Path(f"--task {task}")
    recipe = recipe_for(photo_application(task, where), RECIPES, where)
    return recipe, recipe.built_in.or_given(args.data, args.common.seed)


def open_shipment(
    args: Ship,
    folder: Path,
    found: tuple[Recipe[Any], Path],
    starts: Sequence[Start],
    device: str,
) -> Shipment:
    """Open and examine the data, and choose the recipe's preset by data and weights.

    Args:
        args: Flags.
        folder: Folder of the shipment.
        found: Recipe and path of the data.
        starts: Weights to start from.
        device: Device to train on.

    Raises:
        InputError: If the data cannot be used; the message is the data doctor's.
    """
    recipe, path = found
    variant = next(iter(recipe.application.variants))
    presets = recipe.presets(variant)
    base = presets.choose(has_data=args.data is not None, has_weights=bool(starts))
    base = replace(
        base,
        data=args.data,
        workers=args.workers,
        common=replace(args.common, out=None, json=False),
        command=args.command,
    )
    with told_files(path) as files:
        run = recipe.open(base, path)
        run.keep_apart()
    if args.data is not None and not starts and presets.with_small and _are_small(run):
        small = presets[presets.with_small]
        base = replace(
            small, data=base.data, workers=base.workers, common=base.common, command=base.command
        )
    base = replace(base, fit=_with_batches(base.fit, len(run.train)))
    run.config = base
    return Shipment(args, folder, recipe, variant, base, path, run, device, starts, files)


def sizes_of(shipment: Shipment) -> tuple[int, ...]:
    """Input sizes to consider: the given ones, the application's, or those of small images."""
    if shipment.args.resolution:
        return shipment.args.resolution
    usual = shipment.recipe.application.variants[shipment.variant]
    own = int(shipment.base.model.size)
    if own and own < min(usual):
        return tuple(size for size in (own, own * 3 // 4) if size >= 32)
    return usual


def sample_indices(count: int, most: int) -> list[int]:
    """Up to ``most`` indices below a count, evenly spaced."""
    return sorted({*np.linspace(0, count - 1, min(most, count)).round().astype(int).tolist()})


def _are_small(run: OpenedRun[Any]) -> bool:
    """Whether the images of a training are typically small."""
    sides = []
    for index in sample_indices(len(run.train), _LOOKED_AT):
        try:
            sides.append(min(run.train.image(index).shape[:2]))
        except InputError:  # The loader passes over it, too.
            continue
    return bool(sides) and float(np.median(sides)) < _SMALL_SIDE


def _with_batches(fit: Any, images: int) -> Any:
    """Smaller batches for few images, at a rate that suits them: an epoch has several steps."""
    size = fit.batch_size
    while size > 8 and images < _FEWEST_BATCHES * size:
        size //= 2
    return replace(fit, batch_size=size, lr=fit.lr * (size / fit.batch_size) ** 0.5)


def _suited(base: Any, weights: Path) -> Any:
    """A configuration whose network, and whose images, are those of the weights."""
    if isinstance(base, SquareTraining):
        return as_stored(base, weights)
    model = read_card(weights).model
    stored = {
        name: model[name]
        for name in base.model.to_json()
        if name in model and name not in _OF_CANDIDATES
    }
    return replace(base, model=replace(base.model, **stored))
