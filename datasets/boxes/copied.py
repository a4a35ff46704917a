"""Pictures that a detection set holds twice, in one part or in both."""

from __future__ import annotations

import os

import numpy as np

from datasets.boxes.structure import DetectionData
from datasets.copies import find_copies, in_both_splits
from datasets.findings import Finding, first_of


def same_pictures(data: DetectionData, other: DetectionData) -> list[str]:
    """Files that stand in both parts."""
    theirs = {os.path.realpath(file) for file in other.files.tolist()}
    return [file for file in data.files.tolist() if os.path.realpath(file) in theirs]


def note_shared_files(data: DetectionData, other: DetectionData, findings: list[Finding]) -> None:
    """Note files that stand in both parts, in one line: often the parts are the same folder."""
    shared = same_pictures(data, other)
    if shared:
        detail = (
            f"{len(shared)} of {len(data)}, so that figures on them say little about other "
            f"pictures: {first_of(shared[:3])}"
        )
        kind = "the same files in both splits"
        findings.append(Finding(kind, "kept", str(data.root), None, detail))


def note_copies(data: DetectionData, other: DetectionData | None, findings: list[Finding]) -> None:
    """Note pictures with the same content, within a part and in another.

    Args:
        data: The part that is examined.
        other: Another part, if there is one.
        findings: Is added to.
    """
    files = data.files.tolist()
    shared = set() if other is None else set(same_pictures(data, other))
    if other is not None:
        note_shared_files(data, other, findings)
    theirs = [] if other is None else other.files.tolist()
    counts = np.diff(data.offsets)
    for mine, copied in find_copies(files, theirs):
        if len(mine) > 1 and len({files[k] for k in mine}) > 1:
            boxes = sorted({int(counts[k]) for k in mine})
            unlike = f"; they have {' and '.join(map(str, boxes))} boxes"
            detail = f"of {files[mine[0]]}{unlike if len(boxes) > 1 else ''}"
            findings.append(Finding("copy of an image", "kept", files[mine[1]], None, detail))
        for k in mine if copied else []:
            if files[k] not in shared:
                findings.append(in_both_splits(files[k], theirs[copied[0]]))
