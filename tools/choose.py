#!/usr/bin/env python
"""Find the best network for a budget: ``tools/choose.py --task detection --latency-ms 20``."""

from __future__ import annotations

from configs.choose import Choose
from tools import cli


def main() -> None:
    """Time networks, compare and choose; print the result and write the page to ``--out``."""
    args = cli.parse(Choose)
    from tools.speed.choosing import choose

    cli.result(args.common, *choose(args))


if __name__ == "__main__":
    cli.run(main)
