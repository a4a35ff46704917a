"""The data doctor for face attributes: what would spoil training or flatter its figures."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from datasets.attributes.structure import NO, YES, AttributeData
from datasets.findings import Examination, Finding, drop_unusable, refuse_broken
from datasets.images import probe_image
from datasets.labels.checking import same_content

# Below so many photos with an attribute, or without it, its figures are chance.
FEW = 10


@dataclass(frozen=True)
class AttributeCheckup(Examination):
    """Result of an examination.

    Attributes:
        data: The set without the photos that cannot be used.
    """

    data: AttributeData


def examine_attributes(
    data: AttributeData, other: AttributeData | None = None, *, decode: bool = False
) -> AttributeCheckup:
    """Examine a part of a set.

    Args:
        data: What the adapter read.
        other: Another part; photos and people that stand in both are told, because they make the
            figures look better than they are.
        decode: Decode every photo instead of reading its header.
    """
    findings: list[Finding] = []

    def problem(index: int) -> str:
        try:
            if decode:
                data.image(index)
            else:
                probe_image(str(data.files[index]))
        except ValueError as error:
            return str(error).removeprefix(f"{data.files[index]}: ")
        return ""

    good = drop_unusable(data.files, problem, findings)
    if len(data):
        refuse_broken(data.root, good, findings)
    else:
        findings.append(Finding("no photos", "refused", str(data.root), None, "none is listed"))
    mended = replace(data.select(good), left_out=int((~good).sum()))
    _check_counts(mended, findings)
    _check_copies(mended, other, findings)
    _check_people(mended, other, findings)
    return AttributeCheckup(findings=tuple(findings), summary=_summary(mended), data=mended)


def _check_counts(data: AttributeData, findings: list[Finding]) -> None:
    """Note attributes of which there is little or nothing to learn or to measure."""
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
    """Note photos with the same content in both parts, or with other attributes in this one."""
    files = data.files.tolist()
    theirs = [] if other is None else other.files.tolist()
    for group in same_content([*files, *theirs]):
        mine = [k for k in group if k < len(files)]
        copied = [k - len(files) for k in group if k >= len(files)]
        if mine and copied:
            detail = f"the same as {theirs[copied[0]]}"
            findings.append(Finding("copy in both splits", "kept", files[mine[0]], None, detail))
        odd = [k for k in mine[1:] if (data.values[k] != data.values[mine[0]]).any()]
        if odd:
            column = int(np.argmax(data.values[odd[0]] != data.values[mine[0]]))
            detail = f"{data.attributes.names[column]} differs from {files[mine[0]]}"
            findings.append(
                Finding("copy with other attributes", "kept", files[odd[0]], None, detail)
            )


def _check_people(
    data: AttributeData, other: AttributeData | None, findings: list[Finding]
) -> None:
    if other is None or data.people is None or other.people is None:
        return
    both = np.intersect1d(data.people, other.people)
    if len(both):
        detail = f"{len(both)} of {len(np.unique(data.people))}; the first is {both[0]}"
        findings.append(Finding("people in both splits", "kept", str(data.root), None, detail))


def _summary(data: AttributeData) -> dict[str, Any]:
    return {
        "format": data.format,
        "images": len(data),
        "left_out": data.left_out,
        "people": None if data.people is None else len(np.unique(data.people)),
        "prevalence": dict(zip(data.attributes.names, data.prevalence.tolist(), strict=True)),
    }


def describe_attributes(checkup: AttributeCheckup, lines: int = 20) -> str:
    """The examination as text: a summary, counts of findings, and the first of them.

    Args:
        checkup: Result of :func:`examine_attributes`.
        lines: Findings to name one by one.
    """
    s = checkup.summary
    people = "" if s["people"] is None else f" of {s['people']} people"
    shares = ", ".join(f"{name} {share:.0%}" for name, share in s["prevalence"].items())
    out = [f"{s['images']} photos{people}, format {s['format']}"]
    if s["format"] != "photos":
        out.append(f"{len(s['prevalence'])} attributes: {shares}")
    return "\n".join(out + checkup.lines(lines))
