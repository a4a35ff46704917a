"""Which file is meant where a run holds several heads."""

from __future__ import annotations

from pathlib import Path

from tasks.card import read_card
from tasks.spec import WEIGHTS_NAME
from tasks.trunk import HEADS_FOLDER


def head_file(weights: Path, head: str | None) -> Path:
    """The file of a head, which is like any weights file of its task; other weights as they are.

    Args:
        weights: Run folder or weights file.
        head: Name of a head of a run of train_multi.py; None for other weights.

    Raises:
        ValueError: If the weights hold several heads and none is chosen, or not that one, or no
            heads at all.
    """
    if head is None and not weights.is_dir() and weights.suffix != ".safetensors":
        return weights
    card = read_card(weights)
    if card.task != "multitask":
        if head is not None:
            raise ValueError(f"--head {head}: {weights} is for {card.task} alone")
        return weights
    there = list(card.model["heads"])
    if head not in there:
        what = "has several heads" if head is None else f"has no head {head!r}"
        raise ValueError(f"{weights}: {what}; choose one by --head: {', '.join(there)}")
    folder = weights if weights.is_dir() else weights.parent
    file = folder / HEADS_FOLDER / f"{head}.safetensors"
    if not file.exists():
        raise ValueError(f"{file}: not there; {WEIGHTS_NAME} and {HEADS_FOLDER}/ belong together")
    return file
