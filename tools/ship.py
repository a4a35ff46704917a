#!/usr/bin/env python
"""From labelled images to a file for a phone: ``tools/ship.py --data IMAGES --latency-ms 9``."""

from __future__ import annotations

from dataclasses import replace

from configs.ship import Ship
from tools import cli


def read_flags() -> Ship:
    """The command line, or the configuration of a shipment to resume."""
    config = cli.parse(Ship)
    if config.resume is None:
        return replace(config, command=cli.shown_command())
    from tools.flows.run_folder import resumed

    return resumed(config, config.resume)


def main() -> None:
    """Plan, train, select, export and hand over; or only print the plan."""
    config = read_flags()
    from tools.shipping.shipping import ship

    cli.result(config.common, *ship(config))


if __name__ == "__main__":
    cli.run(main)
