#!/usr/bin/env python
"""Evaluate a model on labelled data: ``tools/evaluate.py RUN_OR_WEIGHTS --data PATH``."""

from __future__ import annotations

from configs.tools import Evaluate
from tools import cli


def main() -> None:
    """Evaluate a model and write results and report to a folder."""
    args = cli.parse(Evaluate)
    from tools import recipes
    from tools.flows.evaluating import evaluate

    cli.result(args.common, *evaluate(args, recipes.RECIPES))


if __name__ == "__main__":
    cli.run(main)
