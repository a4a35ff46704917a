#!/usr/bin/env python
"""Train and evaluate a geolocator: ``tools/train_geo.py`` alone works."""

from __future__ import annotations

from configs.geolocation import GEO_PRESETS
from tools import cli
from tools.flows.flags import read_flags


def main(*, report: bool = True) -> None:
    """Train, evaluate the saved weights and write a report."""
    config = read_flags(GEO_PRESETS)
    from tools.flows.grid import train_or_grid
    from tools.geolocation.recipe import GEOLOCATION_RECIPE

    cli.result(config.common, *train_or_grid(GEOLOCATION_RECIPE, config, report=report))


if __name__ == "__main__":
    cli.run(main)
