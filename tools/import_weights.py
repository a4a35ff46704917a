#!/usr/bin/env python
"""Bring weights of another framework in: ``tools/import_weights.py mobilenet.tflite``."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import TYPE_CHECKING, Any

from configs.tools import ImportWeights
from tools import cli

if TYPE_CHECKING:
    from torch import Tensor

    Found = tuple[dict[str, Tensor], Any, str, dict[str, Any]]

_NOT_COMPARED = "not compared with the original: LiteRT is not installed here"


def main() -> None:
    """Read, check, compare with the original runtime, and write a weights file."""
    args = cli.parse(ImportWeights)
    from backbone.formats import hub, recognise
    from backbone.tflite import read_tflite
    from tasks.detection.from_tflite import is_detector
    from tasks.weights.file import save_weights

    cli.prepare(args.common)
    source, out = (hub.fetch_hub(str(args.source)) if args.hub else args.source), args.target()
    is_ssd = recognise.is_tflite(source) and is_detector(read_tflite(source))
    tensors, card, about, facts = (_detector if is_ssd else _classifier)(args, source)
    save_weights(out, tensors, card)
    facts |= {"weights": str(out), "tensors": len(tensors), **card.to_json()}
    about = f"{len(tensors)} tensors, alpha {card.model['alpha']:g}, {about}\nwritten to {out}"
    cli.result(args.common, facts, about)


def _detector(args: ImportWeights, source: Path) -> Found:
    from datasets.types import read_labels
    from tasks.detection.from_tflite import import_ssd
    from tasks.detection.reference_runtime import compare

    args.refuse_for_detector()
    model, card = import_ssd(source, read_labels(args.labels) if args.labels else None)
    said, facts = _NOT_COMPARED, {}
    if importlib.util.find_spec("ai_edge_litert") is not None:
        facts["largest_score_difference"] = worst = compare(source, model, _scenes(card))
        said = f"against LiteRT on built-in scenes: scores differ by {worst:.3f} at most"
    return model.state_dict(), card, f"detector, {len(card.classes)} classes\n{said}", facts


def _classifier(args: ImportWeights, source: Path) -> Found:
    from backbone.formats.recognise import read_network
    from tasks.classification.import_weights import import_network
    from tasks.classification.reference_runtimes import compare, why_not_compared

    network = read_network(source, head=args.head, key_map=args.key_map)
    imported = import_network(network, args.flavour, args.labels)
    compared = compare(source, network, imported, _scenes(imported.card), args.head)
    said = str(compared or why_not_compared(source, network))
    facts = {"compared": compared and compared.to_json()}
    return imported.state(), imported.card, f"{imported.about()}\n{said}", facts


def _scenes(card: Any) -> Tensor:
    """Built-in scenes to compare on, as large as the model takes them: (8, 3, S, S) uint8."""
    import numpy as np
    import torch

    from datasets.builtin.scenes import draw_scene
    from datasets.squares import resize_square

    pictures = [draw_scene(np.random.default_rng(seed))[0] for seed in range(8)]
    stacked = np.stack([resize_square(picture, card.flavour.input.size) for picture in pictures])
    return torch.from_numpy(stacked).permute(0, 3, 1, 2)


if __name__ == "__main__":
    cli.run(main)
