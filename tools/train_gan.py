#!/usr/bin/env python
"""Train a GAN and see whether its pictures help: ``tools/train_gan.py`` alone works."""

from __future__ import annotations

from configs.gan import GAN_PRESETS
from tools import cli
from tools.flows.flags import read_flags


def main() -> None:
    """Sample, or train and score, and make the experiment if it is asked for."""
    config = read_flags(GAN_PRESETS)
    if config.sample:
        from tools.dcgan.sampling import sample_to_folder

        cli.result(config.common, *sample_to_folder(config))
        return
    from tools.dcgan.recipe import train_and_compare

    cli.result(config.common, *train_and_compare(config))


if __name__ == "__main__":
    cli.run(main)
