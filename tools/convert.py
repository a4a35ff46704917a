#!/usr/bin/env python
"""Write a data set in another format: ``tools/convert.py PATH --to yolo``."""

from __future__ import annotations

from configs.tools import Convert
from tools import cli


def main() -> None:
    """Convert, and say what was written and what the format does not hold."""
    args = cli.parse(Convert)
    from tools.flows.converting import convert

    cli.result(args.common, *convert(args))


if __name__ == "__main__":
    cli.run(main)
