"""What trainings on square images have in common: the start of the network and its weights."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterable, Sized
from dataclasses import replace
from pathlib import Path
from shlex import quote
from typing import Any, TypeVar

import torch
from torch import nn

from backbone.bodies import default_flavour
from backbone.flavour import Flavour
from configs.training import SquareTraining
from datasets.types import ClassMap
from tasks.distillation.target_source import TargetSource
from tasks.fitting.batchnorm import CALIBRATION_BATCHES, calibrate_batchnorm
from tasks.runtime.open import read_card
from tasks.start_network import refuse_other_model
from tasks.weights.card import Card
from tools import cli
from tools.flows.recipe import Loading, OpenedRun

Config = TypeVar("Config")


class PhotoRun(OpenedRun[Config]):
    """A run whose network starts anew or from weights; ``cut`` describes image cropping."""

    cut: str = ""

    @property
    @abstractmethod
    def classes(self) -> ClassMap:
        """Classes of the network."""

    @abstractmethod
    def network(self, flavour: Flavour) -> nn.Module:
        """The network with fresh weights."""

    @abstractmethod
    def start(self, network: Any, weights: Path) -> bool:
        """Fill the network; returns whether the weights lack batch-norm statistics."""

    def loading(self, workers: int, *, alone: bool) -> Loading:
        """How a part for evaluation is read; images that are read once are not kept in memory."""
        config: Any = self.config
        return Loading(config.fit.batch_size, workers, config.cache and not alone, alone)

    def model_facts(self) -> dict[str, Any]:
        """Architecture, for the card."""
        config: Any = self.config
        facts: dict[str, Any] = config.model.to_json()
        return facts

    def trained_on(self) -> dict[str, Any]:
        """What the card stores about the data, to recognise it again."""
        return {}

    def build(self, target_source: TargetSource | None) -> tuple[nn.Module, Card]:
        """The network to train, and its card."""
        config: Any = self.config
        torch.manual_seed(config.common.seed)
        flavour, origin = starting_flavour(config)
        network = self.network(flavour)
        if config.weights is not None and self.start(network, config.weights):
            loader: Any = self.training_loader(0)
            measure_norms(network, loader)
        if target_source is not None:
            origin += f", taught by {target_source.name},"
        return network, Card(
            task=self.application.name,
            model=self.model_facts(),
            flavour=flavour,
            classes=self.classes,
            source=f"trained {origin} on {quote(str(self.path))}{self.cut} by {config.command}",
            trained_on=self.trained_on(),
        )


def say_known(weights: Path, classes: ClassMap, new: Sized, noun: str) -> None:
    """Report how many classes the weights have, and how many start with fresh rows."""
    known = len(classes) - len(new)
    cli.say(f"weights of {weights}: {known} {noun} known, {len(new)} start anew")


def starting_flavour(config: SquareTraining) -> tuple[Flavour, str]:
    """Flavour and origin, for the card. Raises InputError on weights of another body."""
    flavour, origin = default_flavour(config.model.backbone), "from scratch"
    if config.weights is not None:
        told = read_card(config.weights)
        refuse_other_model(config.model.to_json(), told, config.weights)
        flavour, origin = told.flavour, f"from {quote(str(config.weights))}"
    seen = replace(
        flavour.input,
        size=config.model.size,
        crop=config.crop,
        interpolation=config.interpolation,
    )
    return replace(flavour, input=seen), origin


def measure_norms(model: nn.Module, loader: Iterable[Any]) -> None:
    """Give folded batch norms real statistics, from a few training batches."""
    cli.say("measuring batch-norm statistics, which the weights came without")
    pairs = zip(range(CALIBRATION_BATCHES), loader, strict=False)
    calibrate_batchnorm(model, [batch["images"] for _, batch in pairs])
