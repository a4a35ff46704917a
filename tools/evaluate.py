#!/usr/bin/env python
"""Measure a model on labelled data: ``tools/evaluate.py RUN_OR_WEIGHTS --data PATH``."""

from __future__ import annotations

from pathlib import Path

from configs.tools import Evaluate
from tools import cli


def main() -> None:
    """Score a detector and leave results, ground truth and report in a folder."""
    args = cli.parse(Evaluate)
    from tasks.card import WEIGHTS_NAME
    from tasks.detection.litert import LiteRtDetector, load_litert
    from tasks.detection.model import Detector, load_detector
    from tools import detection

    device = cli.prepare(args.common)
    original = args.weights.suffix == ".tflite"
    model: Detector | LiteRtDetector
    if original and args.proposals is not None:
        raise ValueError(f"--proposals {args.proposals}: {args.weights} has no second stage")
    if original:
        model, card = load_litert(args.weights, post=args.post)
    else:
        model, card = load_detector(args.weights, post=args.post, proposals=args.proposals)
    path = detection.data_or_scenes(args.data, args.common.seed)
    split = args.split or ("all" if path.suffix == ".json" else "val")
    data = detection.open_examined(path, split, model.spec, train=False)
    validation = detection.make_validation(
        data,
        card.classes,
        spec=model.spec,
        batch_size=args.batch_size,
        workers=cli.choose_workers(args.workers),
        scorer=args.scorer,
    )
    of = args.weights.parent if args.weights.name == WEIGHTS_NAME else args.weights
    folder = args.common.out or Path("evaluations") / f"{of.name}-{path.name}"
    if (folder / "config.json").exists():
        raise ValueError(f"--out {folder}: holds a run, whose own report would be lost")
    title = f"{args.weights.name} on {path.name}"
    score, report = detection.score_and_report(
        model, card, validation, folder=folder, device="cpu" if original else device, title=title
    )
    text = detection.score_text(score, report, folder)
    cli.result(args.common, {"folder": str(folder), **report}, text)


if __name__ == "__main__":
    cli.run(main)
