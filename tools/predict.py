#!/usr/bin/env python
"""Look at photos, folders, videos with a model: ``tools/predict.py WEIGHTS PATH...``."""

from __future__ import annotations

from configs.tools import Predict
from tools import cli


def main() -> None:
    """Draw what was found and write predictions.json."""
    args = cli.parse(Predict)
    from tasks.card import read_card

    if read_card(args.weights).task == "classification":
        from tools.label_media import predict_labels

        cli.result(args.common, *predict_labels(args))
    else:
        from tools.media import predict_objects

        cli.result(args.common, *predict_objects(args))


if __name__ == "__main__":
    cli.run(main)
