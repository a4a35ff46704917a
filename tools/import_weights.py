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


def main() -> None:
    """Read, check, compare with the original runtime, and write a weights file."""
    args = cli.parse(ImportWeights)
    if args.source.suffix != ".tflite":
        raise ValueError(
            f"{args.source}: unknown kind of weights {args.source.suffix!r}; this tool reads "
            "TensorFlow Lite files (.tflite)"
        )
    from datasets.types import read_labels
    from tasks.card import save_weights
    from tasks.detection.from_tflite import import_ssd

    cli.prepare(args.common)
    classes = read_labels(args.labels) if args.labels else None
    model, card = import_ssd(args.source, classes)
    out = args.common.out or Path(args.source.name).with_suffix(".safetensors")
    tensors = model.state_dict()
    result = {"weights": str(out), "tensors": len(tensors), **card.to_json()}
    lines = [f"{len(tensors)} tensors, alpha {card.model['alpha']:g}, {len(card.classes)} classes"]
    if importlib.util.find_spec("ai_edge_litert"):
        from tasks.detection.litert import compare

        difference = compare(args.source, model, _scenes(model.spec.size))
        result["largest_score_difference"] = difference
        lines.append(
            f"against LiteRT on built-in scenes: scores differ by {difference:.3f} at most "
            "(the original computes in 8 bits)"
        )
    else:
        lines.append("not compared with the original: LiteRT (ai-edge-litert) is not installed")
    save_weights(out, tensors, card)
    cli.result(args.common, result, "\n".join([*lines, f"written to {out}"]))


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
