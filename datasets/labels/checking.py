"""The data doctor of labelled images: what spoils a classifier's training or its figures."""

from __future__ import annotations

import os
import unicodedata
from collections import defaultdict
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from datasets.copies import find_equal, in_both_splits
from datasets.errors import InputError
from datasets.findings import (
    Examination,
    Finding,
    drop_unreadable,
    first_of,
    most_of,
    refuse_broken,
)
from datasets.headers import ending_of
from datasets.labels.structure import LabelledData

# A largest class this many times the smallest is worth a word.
IMBALANCED = 10


def examine_labels(
    data: LabelledData, other: LabelledData | None = None, *, decode: bool = False
) -> Examination[LabelledData]:
    """Examine a part of a labelled data set, and compare it with another part, if there is one.

    Images that are in both are reported, because they make metrics better than they are. With
    ``decode`` every image is decoded, and those in archives always are; otherwise headers are
    read.
    """
    findings: list[Finding] = []
    good = drop_unreadable(data, findings, decode=decode or not data.in_files)
    mended = replace(data.select(good), left_out=int((~good).sum()))
    _check_classes(data, mended, findings)
    refuse_broken(data.root, good, findings)
    if data.format == "folders":
        _check_depth(mended, findings)
    copies = _check_copies(mended, other, findings)
    summary = _summary(mended, copies)
    return Examination(
        data=mended, findings=tuple(findings), summary=summary, about=_about(summary)
    )


def _check_classes(data: LabelledData, mended: LabelledData, findings: list[Finding]) -> None:
    root = str(data.root)
    if not len(data):
        findings.append(Finding("no images", "refused", root, None, "the set lists none"))
        return
    full = mended.counts[mended.counts > 0]
    for kind, count, say in (
        ("empty classes", 0, "no image"),
        ("classes of one image", 1, "a single image"),
    ):
        names = np.array(data.classes.names)[mended.counts == count].tolist()
        if names and (count == 0 or full.max() > 1):  # Sets with one image of each are no fault.
            detail = f"{len(names)} of {len(data.classes)} have {say} here: {first_of(names)}"
            findings.append(Finding(kind, "kept", root, None, detail))
    if len(data.classes) < 2:
        names = ", ".join(data.classes.names)
        detail = f"{names}; a classifier needs two or more to choose from"
        findings.append(Finding("one class only", "refused", root, None, detail))
    alike: dict[str, list[str]] = {}
    for name in data.classes.names:
        alike.setdefault(_look(name), []).append(name)
    twins = defaultdict[str, list[str]](list)
    for names in (several for several in alike.values() if len(several) > 1):
        if len(names) == len({name.casefold() for name in names}):  # Blanks, or marks of letters.
            twins["classes that look alike"].append(" and ".join(map(ascii, names)))
        else:
            twins["classes alike but for case"].append(" and ".join(names))
    for kind, pairs in twins.items():
        detail = f"{first_of(pairs)}; if they are the same, write them alike"
        findings.append(Finding(kind, "kept", root, None, detail))
    if len(full) and full.max() > IMBALANCED * full.min():
        most = mended.classes.names[int(mended.counts.argmax())]
        detail = f"{most!r} has {full.max()} images, the smallest class {full.min()}"
        findings.append(Finding("imbalanced classes", "kept", root, None, detail))


def _look(name: str) -> str:
    """A name as it looks: whatever its case, blanks, and code points of one letter."""
    return " ".join(unicodedata.normalize("NFKC", name).casefold().split())


def _check_depth(data: LabelledData, findings: list[Finding]) -> None:
    """Note classes whose images all lie in several folders of theirs: these may be the classes."""
    below: dict[int, set[str]] = {}
    for file, label in zip(data.files.tolist(), data.labels.tolist(), strict=True):
        below.setdefault(label, set()).add(os.path.dirname(file))  # noqa: PTH120 (millions)
    deep = {}
    for label, folders in below.items():
        top = os.path.commonpath(folders)
        if top not in folders:
            deep[label] = sorted({Path(one).relative_to(top).parts[0] for one in folders})
            example = f"{top}: {first_of(deep[label])}"
    if deep:
        detail = (
            f"{len(deep)} of {len(data.classes)}, such as {example}; if those are the classes, "
            "name the folder that holds them"
        )
        kind = "classes of several folders"
        findings.append(Finding(kind, "kept", str(data.root), None, detail))


def _check_copies(
    data: LabelledData, other: LabelledData | None, findings: list[Finding]
) -> dict[str, int]:
    """Note images with the same content; returns how many are copies within, and of the other."""
    files = data.files.tolist()
    theirs = [] if other is None else other.files.tolist()
    within = across = 0
    places = [(part, k) for part in (data, other) if part is not None for k in range(len(part))]
    lengths = [part.length(k) for part, k in places]

    def read(number: int) -> bytes:
        part, k = places[number]
        try:
            return part.content(k)[0]
        except InputError:  # The examination of its own part tells it; it is like no other.
            return str(number).encode()

    def peek(number: int) -> object:
        part, k = places[number]
        return ending_of(str(part.files[k])) if part.in_files else read(number)

    for mine, copied in find_equal(lengths, read, len(files), peek):
        within += len(mine) - 1
        labels = {int(data.labels[k]) for k in mine}
        names = " and ".join(data.classes.names[k] for k in sorted(labels))
        if len({files[k] for k in mine}) < min(len(mine), 2):  # One file, which a list repeats.
            detail = f"{len(mine)} times, as {names}"
            findings.append(Finding("image listed twice", "kept", files[mine[0]], None, detail))
        elif len(labels) > 1:
            detail = f"the same image is {names}: {files[mine[1]]}"
            findings.append(Finding("copy in two classes", "kept", files[mine[0]], None, detail))
        elif len(mine) > 1:
            note = Finding(
                "copy of an image", "kept", files[mine[1]], None, f"of {files[mine[0]]}"
            )
            findings.append(note)
        for k in mine if copied else []:
            across += 1
            findings.append(in_both_splits(files[k], theirs[copied[0]]))
    return {"copies": within, "copies_in_other_split": across}


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


def _about(summary: dict[str, Any]) -> tuple[str, ...]:
    s = summary
    return (
        f"{s['images']} images of {len(s['classes'])} classes, format {s['format']}",
        f"images per class: {s['smallest_class']} to {s['largest_class']}, median "
        f"{s['median_class']:g}: {most_of(s['classes'])}",
    )
