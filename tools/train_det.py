#!/usr/bin/env python
"""Train and evaluate a detector: ``tools/train_det.py --framework ssd300`` alone works."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any, cast

from configs.detection import TrainDet, detector_presets
from configs.presets import Presets
from datasets.errors import InputError
from tasks.detection.spec import DetectorSpec, Framework
from tools import cli
from tools.flows.flags import asks_for_help, peek, read_flags


def told_presets() -> Presets[TrainDet]:
    """Presets according to flags and weights. Raises InputError if these name different bodies."""
    given = peek("framework", "backbone", "weights")
    source = {} if asks_for_help() else _architecture(given.get("weights"))
    backbone = source.get("backbone", given.get("backbone", "mobilenet_v1"))
    if given.get("backbone", backbone) != backbone:
        raise InputError(f"--backbone {given['backbone']}: {given['weights']} has {backbone}")
    framework = cast("Framework", given.get("framework", source.get("framework", "ssd300")))
    presets = detector_presets(framework, backbone)
    theirs = source.pop("framework", framework)
    if theirs != framework:
        del source["size"]
        if "ssd300" in (theirs, framework):  # Only the body is of use.
            source = {name: source[name] for name in ("backbone", "alpha")}
    named = [replace(one, model=replace(one.model, **source)) for one in presets.named]
    return replace(presets, named=tuple(named))


def _architecture(weights: str | None) -> dict[str, Any]:
    """The architecture of the weights to start from: all of it, or only the body."""
    if weights is None:
        return {}
    from tasks.runtime.open import read_card

    model = read_card(Path(weights)).model
    names = DetectorSpec().to_json() if "framework" in model else ("backbone", "alpha")
    return {name: model[name] for name in names if name in model}


def main(*, report: bool = True) -> None:
    """Train, evaluate the saved weights and write a report; once, or for each point of a grid."""
    config = read_flags(told_presets())
    from tools.detection.recipe import DETECTION_RECIPE
    from tools.flows.grid import train_or_grid

    cli.result(config.common, *train_or_grid(DETECTION_RECIPE, config, report=report))


if __name__ == "__main__":
    cli.run(main)
