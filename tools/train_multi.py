#!/usr/bin/env python
"""Train one trunk with a head for each of several tasks: ``tools/train_multi.py`` alone works."""

from __future__ import annotations

from configs.multitask import MULTI_PRESETS
from tools import cli
from tools.flows.flags import peek_all, read_flags


def main(*, report: bool = True) -> None:
    """Train, evaluate the saved weights and write a report."""
    named = peek_all("tasks", "add").values()
    has_data = any("=" in word for words in named for word in words)
    config = read_flags(MULTI_PRESETS, has_data=has_data)
    from tools.multitask.recipe import train_multi

    cli.result(config.common, *train_multi(config, report=report))


if __name__ == "__main__":
    cli.run(main)
