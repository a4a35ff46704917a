"""What trains a configuration of each kind. Those of recipes are listed there."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from configs.gan import TrainGan
from configs.multitask import TrainMulti
from datasets.errors import InputError
from tools import recipes
from tools.flows.grid import train_or_grid
from tools.flows.recipe import Recipe

Work = Callable[[Any, bool], tuple[dict[str, Any], str]]


def _train_multi(config: TrainMulti, report: bool) -> tuple[dict[str, Any], str]:
    from tools.multitask.recipe import train_multi

    return train_multi(config, report=report)


def _train_gan(config: TrainGan, _report: bool) -> tuple[dict[str, Any], str]:
    from tools.dcgan.recipe import train_or_sample

    return train_or_sample(config)


def _of_recipe(recipe: Recipe[Any]) -> Work:
    return lambda config, report: train_or_grid(recipe, config, report=report)


# Of trainings that are no recipe's.
_OTHERS: tuple[tuple[type, Work], ...] = ((TrainMulti, _train_multi), (TrainGan, _train_gan))


def training_of(config: object) -> Work:
    """What trains a configuration. Raises InputError if nothing does, with the kinds."""
    known: dict[type, Work] = {one.config: _of_recipe(one) for one in recipes.RECIPES}
    known |= dict(_OTHERS)
    for kind in type(config).__mro__:  # Some configurations are built on others.
        if kind in known:
            return known[kind]
    names = ", ".join(kind.__name__ for kind in known)
    raise InputError(f"{type(config).__name__}: no configuration of a training; there are {names}")
