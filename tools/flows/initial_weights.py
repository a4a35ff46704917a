"""Where the training of a network on squares of photos begins: from scratch, or from weights."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import Any

from torch import nn

from backbone.bodies import default_flavour
from backbone.flavour import Flavour
from configs.training import SquareTraining
from tasks.fitting.batchnorm import CALIBRATION_BATCHES, calibrate_batchnorm
from tasks.runtime.open import read_card
from tasks.start_network import refuse_other_model
from tools import cli


def starting_flavour(config: SquareTraining) -> tuple[Flavour, str]:
    """The flavour of the network to train, and where its weights come from, for its card.

    Raises:
        InputError: If the weights to start from are of another body, or cannot be read.
    """
    flavour, origin = default_flavour(config.model.backbone), "from scratch"
    if config.weights is not None:
        told = read_card(config.weights)
        refuse_other_model(config.model.to_json(), told, config.weights)
        flavour, origin = told.flavour, f"from {config.weights}"
    seen = replace(
        flavour.input,
        size=config.model.size,
        crop=config.crop,
        interpolation=config.interpolation,
    )
    return replace(flavour, input=seen), origin


def measure_norms(model: nn.Module, loader: Iterable[Any]) -> None:
    """Give batch norms that were folded away real statistics, on a few training batches."""
    cli.say("measuring batch-norm statistics, which the weights came without")
    pairs = zip(range(CALIBRATION_BATCHES), loader, strict=False)
    calibrate_batchnorm(model, [batch["images"] for _, batch in pairs])
