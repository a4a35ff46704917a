#!/usr/bin/env python
"""Run a model on images on many machines, by Ray: ``tools/predict_ray.py WEIGHTS PATH...``."""

from __future__ import annotations

from configs.predict_ray import PredictRay
from tools import cli


def main() -> None:
    """Write a row per image."""
    args = cli.parse(PredictRay)
    from tools.flows.ray_map import predict_by_ray

    cli.result(args.common, *predict_by_ray(args))


if __name__ == "__main__":
    cli.run(main)
