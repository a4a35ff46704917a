"""The data doctor of labelled photos: what spoils a classifier's training or its figures."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from datasets.findings import Examination, Finding, drop_unusable, refuse_broken
from datasets.images import probe_image
from datasets.labels.structure import LabelledData

# A largest class this many times the smallest is worth a word.
IMBALANCED = 10


@dataclass(frozen=True)
class LabelCheckup(Examination):
    """Result of an examination.

    Attributes:
        data: The set without the photos that cannot be used.
    """

    data: LabelledData


def examine_labels(
    data: LabelledData, other: LabelledData | None = None, *, decode: bool = False
) -> LabelCheckup:
    """Examine a labelled set.

    Args:
        data: What the adapter read.
        other: The other split; exact copies of its photos are told, because a validation photo
            that was trained on makes the figures look better than they are.
        decode: Decode every photo instead of reading its header.
    """
    findings: list[Finding] = []
    good = _check_photos(data, decode, findings)
    mended = replace(data.select(good), left_out=int((~good).sum()))
    _check_classes(data, mended, findings)
    if len(data):
        refuse_broken(data.root, good, findings)
    copies = _check_copies(mended, other, findings)
    return LabelCheckup(findings=tuple(findings), summary=_summary(mended, copies), data=mended)


def _check_photos(
    data: LabelledData, decode: bool, findings: list[Finding]
) -> np.ndarray[Any, np.dtype[np.bool_]]:
    def problem(index: int) -> str:
        try:
            if decode:
                data.image(index)
            else:
                probe_image(str(data.files[index]))
        except ValueError as error:
            return str(error).removeprefix(f"{data.files[index]}: ")
        return ""

    return drop_unusable(data.files, problem, findings)


def _check_classes(data: LabelledData, mended: LabelledData, findings: list[Finding]) -> None:
    root = str(data.root)
    if not len(data):
        findings.append(Finding("no photos", "refused", root, None, "the set lists none"))
        return
    full = mended.counts[mended.counts > 0]
    for kind, count, say in (
        ("empty classes", 0, "no photo"),
        ("classes of one photo", 1, "a single photo"),
    ):
        names = np.array(data.classes.names)[mended.counts == count].tolist()
        if names and (count == 0 or full.max() > 1):  # Sets with one photo of each are no fault.
            shown = f"{', '.join(names[:12])}{', ...' if len(names) > 12 else ''}"
            detail = f"{len(names)} of {len(data.classes)} have {say} here: {shown}"
            findings.append(Finding(kind, "kept", root, None, detail))
    if len(data.classes) < 2:
        names = ", ".join(data.classes.names)
        detail = f"{names}; a classifier needs two or more to choose from"
        findings.append(Finding("one class only", "refused", root, None, detail))
    if len(full) and full.max() > IMBALANCED * full.min():
        most = mended.classes.names[int(mended.counts.argmax())]
        detail = f"{most!r} has {full.max()} photos, the smallest class {full.min()}"
        findings.append(Finding("imbalanced classes", "kept", root, None, detail))


def _check_copies(
    data: LabelledData, other: LabelledData | None, findings: list[Finding]
) -> dict[str, int]:
    """Note photos with the same content; returns how many are copies within, and of the other."""
    files = data.files.tolist()
    theirs = [] if other is None else other.files.tolist()
    alike = same_content([*files, *theirs])
    within = across = 0
    for group in alike:
        mine = [k for k in group if k < len(files)]
        copied = [k - len(files) for k in group if k >= len(files)]
        within += max(0, len(mine) - 1)
        labels = {int(data.labels[k]) for k in mine}
        if len(labels) > 1:
            names = " and ".join(data.classes.names[k] for k in sorted(labels))
            detail = f"the same photo is {names}: {files[mine[1]]}"
            findings.append(Finding("copy in two classes", "kept", files[mine[0]], None, detail))
        elif len(mine) > 1:
            note = Finding("copy of a photo", "kept", files[mine[1]], None, f"of {files[mine[0]]}")
            findings.append(note)
        for k in mine if copied else []:
            across += 1
            detail = f"the same as {theirs[copied[0]]}"
            findings.append(Finding("copy in both splits", "kept", files[k], None, detail))
    return {"copies": within, "copies_in_other_split": across}


def same_content(files: Sequence[str]) -> list[list[int]]:
    """Groups of indices of files with equal bytes; files that are not there are passed over.

    Only files of equal length are read.
    """
    by_size: dict[int, list[int]] = {}
    for index, file in enumerate(files):
        path = Path(file)
        if path.is_file():
            by_size.setdefault(path.stat().st_size, []).append(index)
    suspects = [k for group in by_size.values() if len(group) > 1 for k in group]

    def digest(index: int) -> bytes:
        return hashlib.blake2b(Path(files[index]).read_bytes(), digest_size=16).digest()

    with ThreadPoolExecutor() as pool:
        work = pool.map(digest, suspects)
        digests = list(tqdm(work, "comparing files", len(suspects), unit="file", delay=2))
    groups: dict[bytes, list[int]] = {}
    for index, key in zip(suspects, digests, strict=True):
        groups.setdefault(key, []).append(index)
    return [group for group in groups.values() if len(group) > 1]


def _summary(data: LabelledData, copies: dict[str, int]) -> dict[str, Any]:
    full = data.counts[data.counts > 0]
    return {
        "format": data.format,
        "images": len(data),
        "left_out": data.left_out,
        "classes": dict(zip(data.classes.names, data.counts.tolist(), strict=True)),
        "smallest_class": int(full.min()) if len(full) else 0,
        "median_class": float(np.median(full)) if len(full) else 0.0,
        "largest_class": int(full.max()) if len(full) else 0,
        **copies,
    }


def describe_labels(checkup: LabelCheckup, lines: int = 20) -> str:
    """The examination as text: a summary, counts of findings, and the first of each kind.

    Args:
        checkup: Result of :func:`examine_labels`.
        lines: Findings to name one by one.
    """
    s = checkup.summary
    counts = s["classes"]
    most = sorted(counts, key=lambda name: -counts[name])
    shown = ", ".join(f"{name} {counts[name]}" for name in most[:12])
    out = [
        f"{s['images']} photos of {len(counts)} classes, format {s['format']}",
        f"photos per class: {s['smallest_class']} to {s['largest_class']}, median "
        f"{s['median_class']:g}: {shown}{', ...' if len(most) > 12 else ''}",
    ]
    return "\n".join(out + checkup.lines(lines))


def examine_labels_or_refuse(
    data: LabelledData, other: LabelledData | None = None
) -> LabelCheckup:
    """Examine, and raise if the set cannot be used.

    Raises:
        InputError: Naming what is wrong with the set.
    """
    checkup = examine_labels(data, other)
    checkup.raise_if_refused()
    return checkup
