#!/usr/bin/env python
"""Measure a model on labelled data: ``tools/evaluate.py RUN_OR_WEIGHTS --data PATH``."""

from __future__ import annotations

from configs.tools import Evaluate
from tools import cli


def main() -> None:
    """Score a model and leave results and report in a folder."""
    args = cli.parse(Evaluate)
    from tasks.card import read_card

    original = args.weights.suffix == ".tflite"
    if not original and read_card(args.weights).task == "classification":
        from tools.classifying import evaluate_classifier

        cli.result(args.common, *evaluate_classifier(args))
    else:
        from tools.detection import evaluate_detector

        cli.result(args.common, *evaluate_detector(args))


if __name__ == "__main__":
    cli.run(main)
