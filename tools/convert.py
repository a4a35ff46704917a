#!/usr/bin/env python
"""Convert a data set to another format: ``tools/convert.py PATH --to yolo``."""

from __future__ import annotations

from configs.tools import Convert
from tools import cli


def main() -> None:
    """Convert, and report what was written and what the format cannot hold."""
    args = cli.parse(Convert)
    from tools.flows.converting import convert

    cli.result(args.common, *convert(args))


if __name__ == "__main__":
    cli.run(main)
