#!/usr/bin/env python
"""Find objects in photos, folders and videos: ``tools/predict.py WEIGHTS PATH...``."""

from __future__ import annotations

from functools import partial
from pathlib import Path

from configs.tools import Predict
from tools import cli


def main() -> None:
    """Draw boxes and write predictions.json."""
    args = cli.parse(Predict)
    from datasets.transforms import fit_square
    from tasks.detection.inference import Predictor
    from tasks.detection.model import load_detector
    from tools.media import Found, find_media, output_files, predict_photos, predict_video

    device = cli.prepare(args.common)
    photos, videos = find_media(args.paths)
    folder = args.common.out or Path("predictions")
    files = output_files([*photos, *videos], folder) if args.draw else {}
    model, card = load_detector(args.weights, post=args.post, proposals=args.proposals)
    spec = model.spec
    fit = partial(fit_square, size=spec.size, keep_aspect=spec.keep_aspect)
    predictor = Predictor(model, card.classes, device, fit)
    folder.mkdir(parents=True, exist_ok=True)
    found = Found()
    predict_photos(args, photos, predictor, found, files)
    for video in videos:
        predict_video(args, video, predictor, found, files)
    for failure in found.failures:
        cli.say(f"warning: {failure}")
    if not found.pictures:
        raise ValueError("none of the files could be read")
    coco = found.to_coco(card.classes)
    cli.write_json(folder / "predictions.json", coco)
    result = {"folder": str(folder), "unreadable": found.failures, **coco}
    cli.result(args.common, result, found.describe(card.classes, folder))


if __name__ == "__main__":
    cli.run(main)
