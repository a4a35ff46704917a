#!/usr/bin/env python
"""Run a model on images, videos and streams: ``tools/predict.py WEIGHTS PATH...``."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from configs.tools import Predict
from tools import cli

if TYPE_CHECKING:
    from tools.flows.recipe import Recipe


def _recipes() -> Sequence[Recipe[Any]]:
    """All recipes, which import every training, and torch."""
    from tools import recipes

    return recipes.RECIPES


def main() -> None:
    """Write the results, and draw them."""
    args = cli.parse(Predict)
    from tools.flows.predicting import predict

    cli.result(args.common, *predict(args, _recipes))


if __name__ == "__main__":
    cli.run(main)
