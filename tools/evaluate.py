#!/usr/bin/env python
"""Measure a model on labelled data: ``tools/evaluate.py RUN_OR_WEIGHTS --data PATH``."""

from __future__ import annotations

from configs.tools import Evaluate
from tools import cli


def main() -> None:
    """Score a model and leave results and report in a folder."""
    args = cli.parse(Evaluate)
    from tools.flows.choose_head import choose_head

    task = "detection"
    if args.weights.suffix != ".tflite" or args.head is not None:
        args, task = choose_head(args)
    if task == "face_embedding":
        from tools.face_embedding.recipe import evaluate_embedder

        cli.result(args.common, *evaluate_embedder(args))
        return
    if task == "geolocation":
        from tools.geolocation.recipe import evaluate_geolocator

        cli.result(args.common, *evaluate_geolocator(args))
        return
    if task == "face_attributes":
        from tools.face_attributes.recipe import evaluate_attributes

        cli.result(args.common, *evaluate_attributes(args))
        return
    if task == "classification":
        from tools.classification.recipe import evaluate_classifier

        cli.result(args.common, *evaluate_classifier(args))
    else:
        from tools.detection.data import evaluate_detector

        cli.result(args.common, *evaluate_detector(args))


if __name__ == "__main__":
    cli.run(main)
