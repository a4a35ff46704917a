#!/usr/bin/env python
"""Train and evaluate a detector: ``tools/train_det.py --framework ssd300`` alone works."""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

from configs.detection import TrainDet, choose_preset
from configs.io import from_json
from tools import cli


def read_flags() -> TrainDet:
    """The command line over the preset's defaults, or the configuration of a run to resume."""
    peek = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    for name in ("preset", "framework", "backbone", "data", "weights", "resume"):
        peek.add_argument(f"--{name}")
    given, _ = peek.parse_known_args()
    source = {} if {"-h", "--help"} & set(sys.argv) else _architecture(given.weights)
    backbone = source.get("backbone", given.backbone or "mobilenet_v1")
    if given.backbone not in (None, backbone):
        raise ValueError(f"--backbone {given.backbone}: {given.weights} has {backbone}")
    default = choose_preset(
        given.preset or "auto",
        given.framework or source.get("framework", "ssd300"),
        backbone,
        has_data=bool(given.data),
        has_weights=bool(given.weights),
    )
    if source.get("framework") not in (None, default.model.framework):
        source = {name: source[name] for name in ("backbone", "alpha")}
    default = replace(default, model=replace(default.model, **source))
    config = cli.parse(TrainDet, default)
    if config.resume is None:
        return replace(config, preset=default.preset, command=cli.shown_command())
    file = config.resume / "config.json"
    if not file.exists():
        raise ValueError(f"--resume {config.resume}: no config.json there; is it a run folder?")
    saved = from_json(TrainDet, json.loads(file.read_text()))
    changed = [a for a in sys.argv[1:] if a.startswith("--") and a.split("=")[0] not in _RESUMABLE]
    if changed:
        raise ValueError(
            f"{changed[0]} cannot be changed on resume: the run goes on as it was configured"
        )
    common = replace(config.common, seed=saved.common.seed, out=config.resume)
    return replace(saved, resume=config.resume, workers=config.workers, common=common)


def _architecture(weights: str | None) -> dict[str, Any]:
    """What the weights to start from tell of the model: all of it, or the body only."""
    if weights is None:
        return {}
    from tasks.card import load_weights
    from tasks.detection.spec import DetectorSpec

    model = load_weights(Path(weights))[1].model
    known = {field.name for field in fields(DetectorSpec)}
    if "framework" in model:
        return {name: value for name, value in model.items() if name in known}
    return {name: model[name] for name in ("backbone", "alpha") if name in model}


_RESUMABLE = ("--resume", "--workers", "--threads", "--device", "--json")


def main() -> None:
    """Train, evaluate what was saved, report."""
    config = read_flags()
    from tools.training import train_detector

    train_detector(config)


if __name__ == "__main__":
    cli.run(main)
