#!/usr/bin/env python
"""Train and evaluate a network of face embeddings: ``tools/train_embed.py`` alone works."""

from __future__ import annotations

import argparse
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

from configs.face_embedding import TrainEmbed, choose_embed_preset
from tasks.face_embedding.spec import EmbedderSpec
from tools import cli
from tools.running import resumed


def read_flags() -> TrainEmbed:
    """The command line over the preset's defaults, or the configuration of a run to resume."""
    peek = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    for name in ("preset", "data", "weights", "backbone", "teacher"):
        peek.add_argument(f"--{name}")
    given, _ = peek.parse_known_args()
    default = choose_embed_preset(
        given.preset or "auto",
        has_data=bool(given.data),
        has_weights=bool(given.weights),
        has_teacher=bool(given.teacher),
    )
    model = default.model
    if given.weights and not {"-h", "--help"} & set(sys.argv):
        default = replace(default, model=replace(model, **_architecture(given.weights)))
    elif given.backbone not in (None, "mobilenet_v1"):  # Which alone has widths.
        default = replace(default, model=EmbedderSpec(size=model.size, dim=model.dim))
    config = cli.parse(TrainEmbed, default)
    if config.resume is None:
        return replace(config, preset=default.preset, command=cli.shown_command())
    return resumed(config, config.resume)


def _architecture(weights: str) -> dict[str, Any]:
    """What the weights to start from tell of the model."""
    from tasks.card import read_card

    model = read_card(Path(weights)).model
    return {name: model[name] for name in EmbedderSpec().to_json() if name in model}


def main() -> None:
    """Train, evaluate what was saved, report."""
    config = read_flags()
    from tools.embedding import train_embedder

    cli.result(config.common, *train_embedder(config))


if __name__ == "__main__":
    cli.run(main)
