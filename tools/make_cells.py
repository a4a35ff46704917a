#!/usr/bin/env python
"""Divide the globe into cells by the positions of images: ``tools/make_cells.py POSITIONS``."""

from __future__ import annotations

from configs.geolocation import MakeCells
from tools import cli


def main() -> None:
    """Write the cells and a report with maps."""
    args = cli.parse(MakeCells)
    from tools.geolocation.cell_lists import make_cells

    cli.result(args.common, *make_cells(args))


if __name__ == "__main__":
    cli.run(main)
