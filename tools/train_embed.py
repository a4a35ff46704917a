#!/usr/bin/env python
"""Train and evaluate a network of face embeddings: ``tools/train_embed.py`` alone works."""

from __future__ import annotations

from configs.face_embedding import EMBED_PRESETS
from tools import cli
from tools.flows.flags import read_flags


def main(*, report: bool = True) -> None:
    """Train, evaluate the saved weights and write a report; once, or for each point of a grid."""
    config = read_flags(EMBED_PRESETS)
    from tools.face_embedding.recipe import EMBEDDING_RECIPE
    from tools.flows.grid import train_or_grid

    cli.result(config.common, *train_or_grid(EMBEDDING_RECIPE, config, report=report))


if __name__ == "__main__":
    cli.run(main)
