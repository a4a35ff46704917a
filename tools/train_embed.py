#!/usr/bin/env python
"""Train and evaluate a network of face embeddings: ``tools/train_embed.py`` alone works."""

from __future__ import annotations

from functools import partial

from configs.face_embedding import EMBED_PRESETS
from tools import cli
from tools.flows.flags import read_flags


def main(*, report: bool = True) -> None:
    """Train, evaluate what was saved, report; once, or for each point of a grid."""
    config = read_flags(EMBED_PRESETS)
    from tools.face_embedding.recipe import train_embedder

    if config.grid:
        from tools.flows.grid import Measure, train_grid

        # Only pairs in folds have an accuracy.
        measures = (Measure("accuracy", "accuracy"), Measure("auc", "AUC"))
        train_grid(config, partial(train_embedder, report=report), measures)
    else:
        cli.result(config.common, *train_embedder(config, report=report))


if __name__ == "__main__":
    cli.run(main)
