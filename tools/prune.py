#!/usr/bin/env python
"""Prune a trained MobileNet: ``tools/prune.py RUN_OR_WEIGHTS --alpha .5``."""

from __future__ import annotations

from dataclasses import replace

from configs.prune import Prune
from tools import cli
from tools.flows.run_folder import resumed


def read_flags() -> Prune:
    """The command line, or the configuration of an experiment to resume."""
    config = cli.parse(Prune)
    if config.resume is not None:
        return resumed(config, config.resume)
    return replace(config, command=cli.shown_command())


def main() -> None:
    """Write pruned weights, or run the experiment."""
    config = read_flags()
    if config.experiment:
        from tools.pruning.experiment import run_experiment as work
    else:
        from tools.pruning.narrowing import prune_to_file as work
    cli.result(config.common, *work(config))


if __name__ == "__main__":
    cli.run(main)
