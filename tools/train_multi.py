#!/usr/bin/env python
"""Train one trunk with a head for each of several tasks: ``tools/train_multi.py`` alone works."""

from __future__ import annotations

import argparse

from configs.multitask import TrainMulti, choose_multi_preset
from tools import cli
from tools.flows.flags import read_flags


def main() -> None:
    """Train, evaluate what was saved, report."""
    peek = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    peek.add_argument("--tasks", nargs="*", default=[])
    peek.add_argument("--add", nargs="*", default=[])
    named, _ = peek.parse_known_args()
    given = any("=" in word for word in (*named.tasks, *named.add))

    def choose(name: str, *, has_data: bool, has_weights: bool) -> TrainMulti:
        return choose_multi_preset(name, has_data=has_data or given, has_weights=has_weights)

    config = read_flags(TrainMulti, choose)
    from tools.multitask.recipe import train_multi

    cli.result(config.common, *train_multi(config))


if __name__ == "__main__":
    cli.run(main)
