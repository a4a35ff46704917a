#!/usr/bin/env python
"""Look at photos, folders, videos with a model: ``tools/predict.py WEIGHTS PATH...``."""

from __future__ import annotations

from configs.tools import Predict
from tools import cli


def main() -> None:
    """Draw what was found and write predictions.json."""
    args = cli.parse(Predict)
    from tools.flows.choose_head import choose_head

    args, task = choose_head(args)
    if task == "face_embedding":
        from tools.face_embedding.media import predict_faces

        cli.result(args.common, *predict_faces(args))
        return
    if task == "geolocation":
        from tools.geolocation.media import predict_places

        cli.result(args.common, *predict_places(args))
        return
    if task == "face_attributes":
        from tools.face_attributes.media import predict_attributes

        cli.result(args.common, *predict_attributes(args))
        return
    if task == "classification":
        from tools.classification.media import predict_labels

        cli.result(args.common, *predict_labels(args))
    else:
        from tools.detection.media import predict_objects

        cli.result(args.common, *predict_objects(args))


if __name__ == "__main__":
    cli.run(main)
