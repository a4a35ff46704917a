#!/usr/bin/env python
"""Train one trunk with a head for each of several tasks: ``tools/train_multi.py`` alone works."""

from __future__ import annotations

import sys

from configs.multitask import TrainMulti, choose_multi_preset
from tasks.multitask.spec import HEADS
from tools.shared import cli
from tools.shared.training_flags import read_flags


def main() -> None:
    """Train, evaluate what was saved, report."""
    given = any(word.partition("=")[0] in HEADS for word in sys.argv if "=" in word)

    def choose(name: str, *, has_data: bool, has_weights: bool) -> TrainMulti:
        return choose_multi_preset(name, has_data=has_data or given, has_weights=has_weights)

    config = read_flags(TrainMulti, choose)
    from tools.multitask.training import train_multi

    cli.result(config.common, *train_multi(config))


if __name__ == "__main__":
    cli.run(main)
