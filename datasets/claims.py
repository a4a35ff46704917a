"""Which format a path is in: formats claim it by evidence, and the strongest claim wins."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import IntEnum
from pathlib import Path
from typing import Any

from datasets.errors import InputError


class Strength(IntEnum):
    """How sure a claim is."""

    NEAR = 0
    """Something is like the format, but cannot be it: only a message tells of it."""
    PLAIN = 1
    """Files that could mean something else, too, such as rows of numbers."""
    DESCRIBED = 2
    """A file for each image, in the format's own words."""
    DECLARED = 3
    """A file about the whole set, in the format's own words."""
    NAMED = 4
    """The user named such a file."""


@dataclass(frozen=True, kw_only=True)
class Claim:
    """What speaks for a format.

    Attributes:
        format: Its name, as ``--format`` takes it.
        strength: How much it counts.
        evidence: What was seen, for people: ``data.yaml names classes and parts``.
        parts: What the format's reader takes, by ``train``, ``val`` and ``test``.
        lacks: What is missing before it could be read; empty if nothing is.
        no_test: Why there is no part to test on, though files are named so; empty otherwise.
    """

    format: str
    strength: Strength
    evidence: str
    parts: Mapping[str, Any] = field(default_factory=dict)
    lacks: str = ""
    no_test: str = ""


def strongest(path: Path, claims: Sequence[Claim]) -> Claim | None:
    """The claim that is right; None if there is none.

    Of claims of one strength, those that lack something are passed over where one lacks nothing.

    Args:
        path: What is claimed.
        claims: Claims of all formats.

    Raises:
        InputError: If several are as strong, or the only one lacks something.
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
    """What the likeliest of the claims that failed lacks, as a sentence; empty without claims."""
    if not claims:
        return ""
    best = max(claims, key=lambda claim: claim.strength)
    return f"Nearest is {best.format}: {best.evidence}, {best.lacks}."
