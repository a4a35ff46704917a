"""The data doctor of faces by identity: finds what harms training or its protocol."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from datasets.copies import Copies, digest_of, find_copies, group_copies, in_both_splits
from datasets.findings import (
    Examination,
    Finding,
    Mask,
    drop_unreadable,
    drop_unusable,
    first_of,
    note_shared,
    refuse_broken,
)
from datasets.identities.opening import open_with_pairs
from datasets.identities.structure import FaceData
from datasets.images import decode_image
from datasets.spec import Split

# In a file of pairs identities are unknown: each image is an identity of its own.
_NAMELESS = "bin"


def open_examined(
    path: Path, split: Split, other: Split | None, *, decode: bool
) -> Examination[FaceData]:
    """Open a part of face data and examine it, with each image that its pairs lack.

    Args:
        path: Path of the data set.
        split: Part to examine.
        other: Part to compare it with.
        decode: Whether to decode every image instead of reading its header.

    Raises:
        InputError: If it cannot be read at all.
    """
    data, missing, file = open_with_pairs(path, split)
    beside = None if other is None else open_with_pairs(path, other)[0]
    lacking = [
        Finding("pair without its image", "refused", f"{file}: line {line}", None, f"no {name}")
        for line, name in missing
    ]
    return examine_faces(data, beside, lacking, decode=decode)


def examine_faces(
    data: FaceData,
    other: FaceData | None = None,
    lacking: Sequence[Finding] = (),
    *,
    decode: bool = False,
) -> Examination[FaceData]:
    """Examine a part of a data set, and compare it with another part, if there is one.

    Images and people that appear in both are reported, because they make metrics better than they
    are.

    Args:
        data: Part to examine.
        other: Part to compare it with.
        lacking: Findings about the list of pairs that were made before.
        decode: Whether to decode every image instead of reading its header; images in archives are
            always decoded.
    """
    findings = list(lacking)
    good, groups = _check_photos(data, other, decode, findings)
    refuse_broken(data.root, good, findings)
    _check_pairs(data, groups, findings)
    kept = replace(data, pairs=None) if _are_pairs_lost(data, good, findings) else data
    mended = replace(kept.select(good), left_out=int((~good).sum()))
    copies = _check_copies(data, other, groups, findings)
    _check_identities(mended, findings, compared=mended.pairs is not None or bool(lacking))
    both = _check_people(mended, other, findings)
    summary = {**_summary(mended), "copies": copies, "people_in_both_splits": both}
    return Examination(
        data=mended, findings=tuple(findings), summary=summary, about=_about(summary)
    )


def _check_photos(
    data: FaceData, other: FaceData | None, decode: bool, findings: list[Finding]
) -> tuple[Mask, list[Copies]]:
    """Mask (N,) of the images that are fine, and groups of those with the same content.

    Only images in files are compared with those of the other part.
    """
    archive, records = data.archive, data.records
    if archive is None or records is None:
        theirs = [] if other is None else other.files.tolist()
        unaligned = replace(data, points=None)
        good = drop_unreadable(unaligned, findings, decode=decode)
        return good, find_copies(data.files.tolist(), theirs)
    digests = [b""] * len(data)

    def look(index: int) -> None:
        content = archive.picture(int(records[index]))
        digests[index] = digest_of(content)
        decode_image(content, str(data.files[index]), upright=True)

    good = drop_unusable(data.files, look, findings, in_files=False)
    chosen = np.flatnonzero(good).tolist()
    return good, group_copies(chosen, [digests[k] for k in chosen], len(data))


def _check_pairs(data: FaceData, groups: list[Copies], findings: list[Finding]) -> None:
    """Note pairs that are useless or contradictory, by the content of their images."""
    pairs = data.pairs
    if pairs is None:
        return
    one = np.arange(len(data))  # The first of the images with the same content.
    for mine, _ in groups:
        one[mine] = mine[0]
    ends = np.sort(np.stack((one[pairs.first], one[pairs.second])), axis=0).T.tolist()
    seen: dict[tuple[int, int], int] = {}
    for number, (low, high) in enumerate(ends):
        file = str(data.files[pairs.first[number]])
        before = seen.setdefault((low, high), number)
        kind, detail = "", f"pair {number + 1}, with {data.files[pairs.second[number]]}"
        if low == high:
            kind = "pair of one image"
        elif before != number:
            same = pairs.same[before] == pairs.same[number]
            kind = "pair listed twice" if same else "pair of one person and of two"
            detail += f", is pair {before + 1}"
        if kind:
            findings.append(Finding(kind, "kept", file, None, detail))


def _are_pairs_lost(data: FaceData, good: Mask, findings: list[Finding]) -> bool:
    """Refuse data in which a pair lacks an image: the folds would not be those of the protocol."""
    pairs = data.pairs
    lost = np.zeros(0, np.bool_)
    if pairs is not None and (lost := ~(good[pairs.first] & good[pairs.second])).any():
        first = next(k for k in (pairs.first[lost][0], pairs.second[lost][0]) if not good[k])
        kind, file = "pairs need an unusable image", str(data.files[first])
        detail = f"{lost.sum()} of {len(pairs)} pairs; mend or replace the image"
        findings.append(Finding(kind, "refused", file, None, detail))
    return bool(lost.any())


def _check_copies(
    data: FaceData, other: FaceData | None, groups: list[Copies], findings: list[Finding]
) -> int:
    """Note images with the same content; returns how many repeat one of this part.

    In a file of pairs an image appears as often as it is compared.
    """
    copies = 0
    for mine, theirs in groups if data.format != _NAMELESS else []:
        copies += len(mine) - 1
        for k in mine[1:]:
            alike = data.labels[k] == data.labels[mine[0]]
            kind = "copy of an image" if alike else "copy in two identities"
            file, detail = str(data.files[k]), f"of {data.files[mine[0]]}"
            findings.append(Finding(kind, "kept", file, None, detail))
        for k in mine if theirs else []:
            assert other is not None
            findings.append(in_both_splits(data.files[k], other.files[theirs[0]]))
    return copies


def _check_identities(data: FaceData, findings: list[Finding], *, compared: bool) -> None:
    """Note people with too few images; refuse data in which nobody can be compared."""
    if data.format == _NAMELESS:
        return
    root, names = str(data.root), np.array(data.classes.names)
    for kind, count, say in (
        ("identities without an image", 0, "none that can be used"),
        (
            "identities of one image",
            1,
            "a single one: they are compared, never recognised",
        ),
    ):
        chosen = names[data.counts == count].tolist()
        if chosen:
            detail = f"{len(chosen)} of {len(names)} have {say}: {first_of(chosen)}"
            findings.append(Finding(kind, "kept", root, None, detail))
    people = int((data.counts > 0).sum())
    if not compared and (people < 2 or data.counts.max(initial=0) < 2):
        detail = f"{people} people; two or more are needed, and two images of one"
        findings.append(Finding("nobody to compare", "refused", root, None, detail))


def _check_people(data: FaceData, other: FaceData | None, findings: list[Finding]) -> int:
    """Note people that are in both parts, by name; returns how many there are."""
    if other is None:
        return 0
    ours, theirs = ({d.classes.names[k] for k in set(d.labels.tolist())} for d in (data, other))
    return note_shared("people", sorted(ours), theirs, data.root, findings)


def _summary(data: FaceData) -> dict[str, Any]:
    full, pairs = data.counts[data.counts > 0], data.pairs
    return {
        "format": data.format,
        "images": len(data),
        "left_out": data.left_out,
        "alignment": data.alignment,
        "people": None if data.format == _NAMELESS else len(full),
        "fewest_photos": int(full.min()) if len(full) else 0,
        "median_photos": float(np.median(full)) if len(full) else 0.0,
        "most_photos": int(full.max()) if len(full) else 0,
        "pairs": None
        if pairs is None
        else {
            "same": int(pairs.same.sum()),
            "different": int((~pairs.same).sum()),
            "folds": len(pairs.tested),
        },
    }


def _about(summary: dict[str, Any]) -> tuple[str, ...]:
    s, pairs = summary, summary["pairs"]
    who = "" if s["people"] is None else f" of {s['people']} people"
    out = [f"{s['images']} faces{who}, format {s['format']}, alignment {s['alignment']}"]
    if s["people"] is not None:
        out.append(
            f"images per person: {s['fewest_photos']} to {s['most_photos']}, median "
            f"{s['median_photos']:g}"
        )
    if pairs is not None:
        out.append(
            f"{pairs['same']} pairs of one person and {pairs['different']} of two, in "
            f"{pairs['folds']} folds"
        )
    return tuple(out)
