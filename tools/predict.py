#!/usr/bin/env python
"""Run a model on images, folders and videos: ``tools/predict.py WEIGHTS PATH...``."""

from __future__ import annotations

from configs.tools import Predict
from tools import cli


def main() -> None:
    """Draw the answers and write predictions.json."""
    args = cli.parse(Predict)
    from tools import recipes
    from tools.flows.predicting import predict

    cli.result(args.common, *predict(args, recipes.RECIPES))


if __name__ == "__main__":
    cli.run(main)
