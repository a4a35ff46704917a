"""The data doctor for face attributes: finds what would harm training or make metrics too good."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from datasets.attributes.structure import NO, YES, AttributeData
from datasets.copies import find_copies, in_both_splits
from datasets.findings import (
    Examination,
    Finding,
    drop_unreadable,
    note_shared,
    refuse_broken,
)

# With fewer images than this with an attribute, or without it, its metrics are chance.
FEW = 10


def examine_attributes(
    data: AttributeData, other: AttributeData | None = None, *, decode: bool = False
) -> Examination[AttributeData]:
    """Examine a part of a data set, and compare it with another part, if there is one.

    Images and people that appear in both are reported, because they make metrics better than they
    are.

    Args:
        data: Part to examine.
        other: Part to compare it with.
        decode: Whether to decode every image instead of reading its header.
    """
    findings: list[Finding] = []
    good = drop_unreadable(data, findings, decode=decode)
    refuse_broken(data.root, good, findings)
    if not len(data):
        findings.append(Finding("no images", "refused", str(data.root), None, "none is listed"))
    mended = replace(data.select(good), left_out=int((~good).sum()))
    _check_counts(mended, findings)
    _check_copies(mended, other, findings)
    if other is not None and mended.people is not None and other.people is not None:
        ours, theirs = np.unique(mended.people).tolist(), other.people.tolist()
        note_shared("people", ours, theirs, data.root, findings)
    summary = _summary(mended)
    return Examination(
        data=mended, findings=tuple(findings), summary=summary, about=_about(summary)
    )


def _check_counts(data: AttributeData, findings: list[Finding]) -> None:
    """Note attributes for which there is little or nothing to learn or to evaluate."""
    if data.format == "photos":
        return
    yes, no = ((data.values == value).sum(axis=0) for value in (YES, NO))
    for kind, which in (
        ("attribute that never varies", (yes == 0) | (no == 0)),
        ("rare attribute", (np.minimum(yes, no) < FEW) & (yes > 0) & (no > 0)),
    ):
        for column in np.flatnonzero(which).tolist():
            detail = f"{data.attributes.names[column]}: {yes[column]} yes, {no[column]} no"
            findings.append(Finding(kind, "kept", str(data.root), None, detail))


def _check_copies(
    data: AttributeData, other: AttributeData | None, findings: list[Finding]
) -> None:
    """Note images with the same content in both parts, or with other attributes in this one."""
    files = data.files.tolist()
    theirs = [] if other is None else other.files.tolist()
    for mine, copied in find_copies(files, theirs):
        if copied:
            findings.append(in_both_splits(files[mine[0]], theirs[copied[0]]))
        odd = [k for k in mine[1:] if (data.values[k] != data.values[mine[0]]).any()]
        if odd:
            column = int(np.argmax(data.values[odd[0]] != data.values[mine[0]]))
            detail = f"{data.attributes.names[column]} differs from {files[mine[0]]}"
            findings.append(
                Finding("copy with other attributes", "kept", files[odd[0]], None, detail)
            )


def _summary(data: AttributeData) -> dict[str, Any]:
    return {
        "format": data.format,
        "images": len(data),
        "left_out": data.left_out,
        "people": None if data.people is None else len(np.unique(data.people)),
        "prevalence": dict(zip(data.attributes.names, data.prevalence.tolist(), strict=True)),
    }


def _about(summary: dict[str, Any]) -> tuple[str, ...]:
    s = summary
    people = "" if s["people"] is None else f" of {s['people']} people"
    photos = f"{s['images']} images{people}, format {s['format']}"
    if s["format"] == "photos":
        return (photos,)
    shares = ", ".join(f"{name} {share:.0%}" for name, share in s["prevalence"].items())
    return photos, f"{len(s['prevalence'])} attributes: {shares}"
