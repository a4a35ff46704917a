#!/usr/bin/env python
"""Train and evaluate a detector: ``tools/train_det.py --framework ssd300`` alone works."""

from __future__ import annotations

import argparse
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

from configs.detection import TrainDet, choose_preset
from datasets.errors import InputError
from tasks.detection.spec import DetectorSpec
from tools import cli
from tools.flows.run_folder import resumed


def read_flags() -> TrainDet:
    """The command line over the preset's defaults, or the configuration of a run to resume."""
    peek = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    for name in ("preset", "framework", "backbone", "data", "weights", "resume"):
        peek.add_argument(f"--{name}")
    given, _ = peek.parse_known_args()
    source = {} if {"-h", "--help"} & set(sys.argv) else _architecture(given.weights)
    backbone = source.get("backbone", given.backbone or "mobilenet_v1")
    if given.backbone not in (None, backbone):
        raise InputError(f"--backbone {given.backbone}: {given.weights} has {backbone}")
    default = choose_preset(
        given.preset or "auto",
        given.framework or source.get("framework", "ssd300"),
        backbone,
        has_data=bool(given.data),
        has_weights=bool(given.weights),
    )
    theirs = source.pop("framework", default.model.framework)
    if theirs != default.model.framework:
        del source["size"]
        if "ssd300" in (theirs, default.model.framework):  # Only the body is of use.
            source = {name: source[name] for name in ("backbone", "alpha")}
    default = replace(default, model=replace(default.model, **source))
    config = cli.parse(TrainDet, default)
    if config.resume is None:
        return replace(config, preset=default.preset, command=cli.shown_command())
    return resumed(config, config.resume)


def _architecture(weights: str | None) -> dict[str, Any]:
    """What the weights to start from tell of the model: all of it, or the body only."""
    if weights is None:
        return {}
    from tasks.runtime.open import read_card

    model = read_card(Path(weights)).model
    names = DetectorSpec().to_json() if "framework" in model else ("backbone", "alpha")
    return {name: model[name] for name in names if name in model}


def main() -> None:
    """Train, evaluate what was saved, report."""
    config = read_flags()
    from tools.detection.recipe import train_detector

    train_detector(config)


if __name__ == "__main__":
    cli.run(main)
