#!/usr/bin/env python
"""Train a GAN and see whether its pictures help: ``tools/train_gan.py`` alone works."""

from __future__ import annotations

import argparse
from dataclasses import replace

from configs.gan import TrainGan, choose_gan_preset
from tools import cli
from tools.flows.run_folder import resumed


def read_flags() -> TrainGan:
    """The command line over the preset's defaults, or the configuration of a run to resume."""
    peek = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    for name in ("preset", "data", "weights"):
        peek.add_argument(f"--{name}")
    given, _ = peek.parse_known_args()
    default = choose_gan_preset(given.preset or "auto", has_data=bool(given.data))
    config = cli.parse(TrainGan, default)
    if config.resume is None:
        return replace(config, preset=default.preset, command=cli.shown_command())
    return resumed(config, config.resume)


def main() -> None:
    """Sample, or train and score, and make the experiment if it is asked for."""
    config = read_flags()
    if config.sample:
        from tools.dcgan.sampling import sample_to_folder

        cli.result(config.common, *sample_to_folder(config))
        return
    from tools.dcgan.recipe import train_and_compare

    cli.result(config.common, *train_and_compare(config))


if __name__ == "__main__":
    cli.run(main)
