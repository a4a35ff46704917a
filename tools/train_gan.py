#!/usr/bin/env python
"""Train a GAN and test whether its images help: ``tools/train_gan.py`` alone works."""

from __future__ import annotations

from configs.gan import GAN_PRESETS
from tools import cli
from tools.flows.flags import read_flags


def main() -> None:
    """Sample, or train and score, and run the experiment if requested."""
    config = read_flags(GAN_PRESETS)
    from tools.dcgan.recipe import train_or_sample

    cli.result(config.common, *train_or_sample(config))


if __name__ == "__main__":
    cli.run(main)
