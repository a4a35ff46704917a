"""Decides which format a path is in: the strongest claim by evidence wins."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import IntEnum
from pathlib import Path
from typing import Any

from datasets.errors import InputError


class Strength(IntEnum):
    """How certain a claim is."""

    NEAR = 0
    """Similar to the format, but cannot be in it: only used for a message."""
    PLAIN = 1
    """Files that could also mean something else, such as rows of numbers."""
    DESCRIBED = 2
    """A file for each image, in the format's own terms."""
    DECLARED = 3
    """A file about the whole data set, in the format's own terms."""
    NAMED = 4
    """The user named such a file."""


@dataclass(frozen=True, kw_only=True)
class Claim:
    """The evidence for a format.

    Attributes:
        format: Name of the format, as ``--format`` takes it.
        strength: Certainty of the claim.
        evidence: Description of what was seen: ``data.yaml names classes and parts``.
        parts: Input of the format's reader, by ``train``, ``val`` and ``test``.
        lacks: What is missing before it could be read; empty if nothing is.
        no_test: Why there is no test part, although files are named so; empty otherwise.
    """

    format: str
    strength: Strength
    evidence: str
    parts: Mapping[str, Any] = field(default_factory=dict)
    lacks: str = ""
    no_test: str = ""


def strongest(path: Path, claims: Sequence[Claim]) -> Claim | None:
    """The strongest claim; None if there is none.

    Among claims of equal strength, incomplete ones are ignored if another is complete.

    Args:
        path: Path that is claimed.
        claims: Claims of all formats.

    Raises:
        InputError: If several are equally strong, or the only one is incomplete.
    """
    real = [claim for claim in claims if claim.strength > Strength.NEAR]
    best = [claim for claim in real if claim.strength == max(one.strength for one in real)]
    whole = [claim for claim in best if not claim.lacks]
    if len(whole) > 1:
        told = " or ".join(f"{one.format} ({one.evidence})" for one in whole)
        names = " or ".join(f"--format {one.format}" for one in whole)
        raise InputError(f"{path}: could be {told}; say which by {names}")
    if best and not whole:
        raise InputError(f"{path}: {best[0].evidence}, {best[0].lacks}")
    return whole[0] if whole else None


def nearest(claims: Sequence[Claim]) -> str:
    """What the strongest of the failed claims lacks, as a sentence; empty without claims."""
    if not claims:
        return ""
    best = max(claims, key=lambda claim: claim.strength)
    return f"Nearest is {best.format}: {best.evidence}, {best.lacks}."
