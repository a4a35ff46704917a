#!/usr/bin/env python
"""Train and evaluate a classifier: ``tools/train_cls.py`` alone works."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

from configs.classification import TrainCls, choose_cls_preset
from configs.training import Training
from tasks.classification.spec import ClassifierSpec
from tools import cli
from tools.running import resumed

Config = TypeVar("Config", bound=Training)


def read_flags(kind: type[Config], choose: Callable[..., Config]) -> Config:
    """The command line over the preset's defaults, or the configuration of a run to resume.

    Args:
        kind: What is configured.
        choose: Gives the defaults of a preset, as :func:`choose_cls_preset`.
    """
    peek = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    for name in ("preset", "data", "weights", "backbone"):
        peek.add_argument(f"--{name}")
    given, _ = peek.parse_known_args()
    default = choose(
        given.preset or "auto", has_data=bool(given.data), has_weights=bool(given.weights)
    )
    if given.weights and not {"-h", "--help"} & set(sys.argv):
        told = _architecture(given.weights, default.model)
        default = replace(default, model=replace(default.model, **told))
    elif given.backbone not in (None, "mobilenet_v1"):  # Which alone has widths.
        plain = replace(default.model, alpha=1.0, variant="standard", stem_stride=2)
        default = replace(default, model=plain)
    config = cli.parse(kind, default)
    if config.resume is None:
        return replace(config, preset=default.preset, command=cli.shown_command())
    return resumed(config, config.resume)


def _architecture(weights: str, spec: ClassifierSpec) -> dict[str, Any]:
    """What the weights to start from tell of the model, as far as a spec has fields for it."""
    from tasks.card import read_card

    model = read_card(Path(weights)).model
    return {name: model[name] for name in spec.to_json() if name in model}


def main() -> None:
    """Train, evaluate what was saved, report; once, or for each point of a grid."""
    config = read_flags(TrainCls, choose_cls_preset)
    from tools.classifying import train_classifier

    if config.grid:
        from tools.grid import train_grid

        train_grid(config, train_classifier)
    else:
        cli.result(config.common, *train_classifier(config))


if __name__ == "__main__":
    cli.run(main)
