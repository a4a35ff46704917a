#!/usr/bin/env python
"""Train and evaluate a fine-grained classifier: ``tools/train_dogs.py`` alone works."""

from __future__ import annotations

from configs.fine_grained import DOGS_PRESETS
from tools import cli
from tools.flows.flags import read_flags


def main(*, report: bool = True) -> None:
    """Train on web images, then on the data; evaluate the saved weights and write a report."""
    config = read_flags(DOGS_PRESETS)
    from tools.fine_grained.recipe import FINE_GRAINED_RECIPE
    from tools.flows.grid import train_or_grid

    cli.result(config.common, *train_or_grid(FINE_GRAINED_RECIPE, config, report=report))


if __name__ == "__main__":
    cli.run(main)
