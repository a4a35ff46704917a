"""How faces must stand for a network, as its card states it."""

from __future__ import annotations

from pathlib import Path

from datasets.errors import InputError
from tasks.weights.card import Card

# The card's name for it.
ALIGNMENT = "alignment"


def alignment_of(card: Card, path: Path) -> str:
    """Alignment that a network needs. Raises InputError if the card does not state it."""
    found = card.model.get(ALIGNMENT)
    if not isinstance(found, str):
        raise InputError(f"{path}: the card does not state how faces must stand for these weights")
    return found


def refuse_other_alignment(card: Card, path: Path, data: str, where: Path | str) -> None:
    """Raise InputError, naming both sides, unless faces are aligned as in training."""
    wanted = alignment_of(card, path)
    if wanted == data:
        return
    how = {
        "five_points": "align them by --points or --detector, or say --alignment five_points "
        "if they are aligned already",
        "funneled": "say --alignment funneled if they are",
        "none": "name images that are not aligned",
    }
    raise InputError(
        f"{path}: trained on faces of alignment {wanted!r}, but those of {where} have {data!r}; "
        f"{how.get(wanted, 'name others')}"
    )
