"""Turns an 8-bit ONNX network into a target's file, compared before it gets its final name."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import torch
from onnx import ModelProto
from torchvision.ops import box_iou

from datasets.errors import InputError
from datasets.images import Image
from tasks.runtime.exported import Exported
from tasks.runtime.onnx_session import OnnxSession
from tasks.runtime.session import Answer
from tasks.weights.card import Card
from tools.flows.naming import give_name, unnamed
from tools.flows.targets import Facts, Target, notes_of

# Largest difference, in dB of the answers, between a translation and the measured 8-bit network:
# runtimes round 8-bit numbers differently, which costs a few steps of 255.
_LEAST_DB = 15.0
# Share of the boxes, weighted by score, that must be found again: with the same class, and with
# this overlap. Rounding moves a box by a few levels, and one near a threshold of score or overlap
# may be found by only one of the two; boxes that are decoded wrongly have no counterpart.
_LEAST_FOUND, _LEAST_IOU = 0.8, 0.5
# Below it two answers are equal, such as two that found nothing.
_NO_ERROR = 1e-12


def write_quantised(
    target: Target,
    model: ModelProto,
    card: Card,
    facts: Facts,
    out: Path,
    *,
    photos: Sequence[Image],
    accept: Callable[[Path], Facts],
    threads: int | None,
) -> None:
    """Write an 8-bit network in a target's form.

    Args:
        target: Target of the export.
        model: Measured 8-bit network.
        card: Card of the network.
        facts: Facts of the export.
        out: File to write.
        photos: Images to compare answers on, if the target's file is a translation.
        accept: Function from the target's file, if that is a translation, to the facts that it
            states; raises InputError if the file is not good enough.
        threads: Number of threads for the comparison.

    Raises:
        InputError: If the target cannot hold it, or its file's answers differ.
    """
    with unnamed(out) as file:
        measured = file if target.from_onnx is None else file.with_name(f"{file.name}.onnx")
        write_onnx_model(model, card, facts, measured)
        if target.from_onnx is not None:
            target.from_onnx(measured, notes_of(card, facts), file)
            ours = Exported(OnnxSession(measured, threads), measured)(photos)
            theirs = Exported(target.runtime.session(file, threads), out)(photos)
            refuse_apart(ours, theirs, out)
            target.from_onnx(measured, notes_of(card, accept(file)), file)
        give_name(target.runtime, file, out)


def write_onnx_model(model: ModelProto, card: Card, facts: Facts, file: Path) -> None:
    """Write a network with its card and facts."""
    onnx.helper.set_model_props(model, notes_of(card, facts))
    onnx.save(model, str(file))


def refuse_apart(ours: Sequence[Answer], theirs: Sequence[Answer], out: Path) -> None:
    """Refuse a translation whose answers differ. Raises InputError with the difference."""
    for name in ours[0]:
        if name.endswith("boxes"):
            head = name.removesuffix("boxes")
            share = _found_again(ours, theirs, head)
            if not share >= _LEAST_FOUND:
                raise InputError(
                    f"{out}: not written: of its {name} and those of the network of 8 bits that "
                    f"was measured, {share:.0%} (by score) have a counterpart of the same class "
                    f"that overlaps by {_LEAST_IOU:g}; {_LEAST_FOUND:.0%} or more are wanted"
                )
        if name.endswith(("boxes", "labels", "present")):  # Steps, where the others differ little.
            continue
        signal = error = _NO_ERROR
        for one, other in zip(ours, theirs, strict=True):
            mine, its = _as_long(one[name], other[name])
            signal += float(np.square(mine).sum())
            error += float(np.square(mine - its).sum())
        found = 10 * np.log10(signal / error) if error > _NO_ERROR else np.inf
        if not found >= _LEAST_DB:  # Of what is no number, too.
            raise InputError(
                f"{out}: not written: its {name} differ from those of the network of 8 bits that "
                f"was measured ({found:.0f} dB; {_LEAST_DB:g} or more are wanted)"
            )


def _found_again(ours: Sequence[Answer], theirs: Sequence[Answer], head: str) -> float:
    """Share of all boxes, counted by score, that have a counterpart in the other answer."""
    total, found = _NO_ERROR, _NO_ERROR
    for pair in zip(ours, theirs, strict=True):
        for one, other in (pair, pair[::-1]):
            scores = one[f"{head}scores"]
            same = one[f"{head}labels"][:, None] == other[f"{head}labels"]
            boxes = (torch.from_numpy(answer[f"{head}boxes"]) for answer in (one, other))
            overlaps = box_iou(*boxes).nan_to_num().numpy() * same  # Two of no area: 0 / 0.
            total += float(scores.sum())
            found += float(scores[overlaps.max(axis=1, initial=0) >= _LEAST_IOU].sum())
    return found / total


def _as_long(one: Any, other: Any) -> tuple[Any, Any]:
    """Two answers at the same length: the shorter list of detections is padded with zeros."""
    if one.ndim == 1 and len(one) != len(other):
        most = max(len(one), len(other))
        one, other = (np.pad(part, (0, most - len(part))) for part in (one, other))
    return one.astype(np.float64), other.astype(np.float64)
