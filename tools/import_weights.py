#!/usr/bin/env python
"""Bring weights of another framework in: ``tools/import_weights.py ssd.tflite``."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import TYPE_CHECKING

from configs.tools import ImportWeights
from tools import cli

if TYPE_CHECKING:
    from torch import Tensor

_NOT_COMPARED = "not compared with the original: LiteRT (ai-edge-litert) is not installed"


def main() -> None:
    """Read, check, compare with the original runtime, and write a weights file."""
    args = cli.parse(ImportWeights)
    if args.source.suffix != ".tflite":
        raise ValueError(
            f"{args.source}: unknown kind of weights {args.source.suffix!r}; only .tflite is read"
        )
    from backbone.tflite import read_tflite
    from tasks.card import save_weights
    from tasks.classification.from_tflite import compare_body, import_body
    from tasks.detection.from_tflite import import_ssd, is_detector

    cli.prepare(args.common)
    runtime = importlib.util.find_spec("ai_edge_litert") is not None
    result: dict[str, object] = {}
    if is_detector(read_tflite(args.source)):
        from datasets.types import read_labels
        from tasks.detection.litert import compare

        model, card = import_ssd(args.source, read_labels(args.labels) if args.labels else None)
        tensors = model.state_dict()
        about = f"detector, {len(card.classes)} classes"
        if runtime:
            difference = compare(args.source, model, _scenes(model.spec.size))
            result["largest_score_difference"] = difference
            said = f"scores differ by {difference:.3f} at most (the original computes in 8 bits)"
    else:
        if args.labels is not None:
            raise ValueError(f"--labels {args.labels}: only the body of a classifier is read")
        body, card = import_body(args.source)
        tensors = {f"body.{name}": value for name, value in body.state_dict().items()}
        about = "body of a classifier: train_det.py --weights starts from it"
        if runtime:
            cosine = compare_body(args.source, body, _scenes(card.flavour.input.size))
            result["smallest_feature_cosine"] = cosine
            said = f"features have a cosine of {cosine:.3f} or more (the original is 8-bit)"
    out = args.common.out or Path(args.source.name).with_suffix(".safetensors")
    save_weights(out, tensors, card)
    lines = [
        f"{len(tensors)} tensors, alpha {card.model['alpha']:g}, {about}",
        f"against LiteRT on built-in scenes: {said}" if runtime else _NOT_COMPARED,
        f"written to {out}",
    ]
    result |= {"weights": str(out), "tensors": len(tensors), **card.to_json()}
    cli.result(args.common, result, "\n".join(lines))


def _scenes(size: int) -> Tensor:
    """Built-in scenes to compare on: (8, 3, size, size) uint8."""
    import numpy as np
    import torch

    from datasets.demo import draw_scene
    from datasets.transforms import resize_square

    pictures = [draw_scene(np.random.default_rng(seed))[0] for seed in range(8)]
    stacked = np.stack([resize_square(picture, size) for picture in pictures])
    return torch.from_numpy(stacked).permute(0, 3, 1, 2)


if __name__ == "__main__":
    cli.run(main)
