"""The data doctor: finds what would spoil a training run, mends what is safe, refuses the rest."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from datasets.boxes.structure import DetectionData
from datasets.copies import find_equal, in_both_splits
from datasets.findings import (
    MOST_BROKEN,
    Action,
    Examination,
    Finding,
    Mask,
    drop_unusable,
    first_of,
    most_of,
    note_decoders,
    refuse_broken,
)
from datasets.headers import ending_of

# A box that overlaps no anchor by this much is learned from one forced match only.
GOOD_COVER = 0.5
# The coverage is computed on at most this many boxes, evenly spaced.
_COVER_SAMPLE = 20_000


def examine(
    data: DetectionData,
    anchors: NDArray[np.float32] | None = None,
    *,
    mend_boxes: bool = True,
    decode: bool = False,
    keep_aspect: bool = False,
    copies: bool = False,
    other: DetectionData | None = None,
) -> Examination[DetectionData]:
    """Examine a detection set.

    Args:
        data: What the adapter read.
        anchors: (A, 4) cx cy w h relative to the input, to compare box sizes with.
        mend_boxes: Clip and drop boxes for training. For evaluation the ground truth stays as
            annotated, or the figures would not be comparable; only NaN is dropped.
        decode: Decode every image instead of reading its header.
        keep_aspect: The input holds the image's longer side, instead of each side its own.
        copies: Look for images with the same content.
        other: The other split; what both share makes figures look better than they are.
    """
    findings = list(data.told)
    good_images = _check_images(data, decode, findings)
    boxes, keep = _check_boxes(data, mend_boxes, findings)
    _check_whole(data, good_images, findings)
    mended = replace(data, boxes=boxes).select(good_images, keep)
    mended = replace(mended, left_out=int((~good_images).sum()))
    if len(data) and mended.iscrowd.all():
        aim = "learn from" if mend_boxes else "score"
        crowds = len(mended.iscrowd)
        which = f"; all {crowds} are marked as crowd or difficult, which do not count"
        detail = f"none to {aim}{which if crowds else ''}"
        findings.append(Finding("no boxes", "refused", str(data.root), None, detail))
    shared = [] if other is None else _same_files(mended, other)
    _note_same_files(mended, shared, findings)
    if copies:
        _note_copies(mended, other, shared, findings)
    summary = _summary(mended, anchors, keep_aspect)
    return Examination(
        data=mended, findings=tuple(findings), summary=summary, about=_about(summary)
    )


def _check_images(data: DetectionData, decode: bool, findings: list[Finding]) -> Mask:
    """Mask (N,) of the images that are there, readable and of the annotated size."""
    look = data.image if decode else data.check_size
    good = drop_unusable(data.files, look, findings, in_files=data.in_files)
    if decode and data.in_files:
        note_decoders(data.files[good].tolist(), findings)
    return good


def _check_boxes(
    data: DetectionData, mend: bool, findings: list[Finding]
) -> tuple[NDArray[np.float64], Mask]:
    """Mended boxes, and the mask (M,) of those to keep."""
    boxes, frames = data.boxes, np.tile(data.sizes[data.owners], 2).astype(np.float64)
    keep = np.ones(len(boxes), dtype=np.bool_)

    def note(kind: str, action: Action, which: Mask, say: Callable[[int], str]) -> None:
        for k in np.flatnonzero(which & keep):
            file, number = str(data.files[data.owners[k]]), int(data.annotation_ids[k])
            findings.append(Finding(kind, action, file, number, say(int(k))))
        if action == "dropped":
            keep[which] = False

    def show(k: int) -> str:
        return f"x1 y1 x2 y2 = {', '.join(f'{v:g}' for v in boxes[k])}"

    def show_in_frame(k: int) -> str:
        return f"{show(k)} in {frames[k, 0]:g}x{frames[k, 1]:g}"

    note("box is not a number", "dropped", ~np.all(np.isfinite(boxes), axis=1), show)
    with np.errstate(invalid="ignore"):
        sides = boxes[:, 2:] - boxes[:, :2]
        drop: Action = "dropped" if mend else "kept"
        clip: Action = "clipped" if mend else "kept"
        written = boxes + ((1, 1, 0, 0) if data.format == "voc" else 0)  # VOC counts from 1.
        normalised = np.all((written <= 1) & (written >= 0) & (frames > 32), axis=1)
        note("box looks normalised", drop, normalised, show_in_frame)
        if data.format == "voc":  # Its boxes include their last pixel.
            note("stray click", drop, np.all(written[:, :2] == written[:, 2:], axis=1), show)
        unknown = np.all(frames == 0, axis=1) & np.all(
            boxes == 0, axis=1
        )  # Of its picture's size.
        note("box without area", drop, np.any(sides <= 0, axis=1) & ~unknown, show)
        inside = np.clip(boxes, 0, frames)
        left = inside[:, 2:] - inside[:, :2]
        outside = np.any(left <= 0, axis=1) & np.all((frames[:, :2] > 0) & (sides > 0), axis=1)
        note("box outside the image", drop, outside, show_in_frame)
        beyond = np.abs(inside - boxes).max(axis=1, initial=0) > 1
        beyond &= np.all(frames > 0, axis=1)  # Nothing is known of an image that is not there.
        note("box reaches out of the image", clip, beyond & ~outside, show_in_frame)
        thin = np.any(left < 1, axis=1) & np.all(left > 0, axis=1)
        note("box thinner than a pixel", drop, thin, show)
    note("same box twice", drop, _repeated(data), show)
    return (inside if mend else boxes), keep


def _same_files(data: DetectionData, other: DetectionData) -> list[str]:
    """Files that stand in both parts."""
    theirs = {os.path.realpath(file) for file in other.files.tolist()}
    return [file for file in data.files.tolist() if os.path.realpath(file) in theirs]


def _note_same_files(data: DetectionData, shared: list[str], findings: list[Finding]) -> None:
    """Note files that stand in both parts, in one line: often the parts are the same folder."""
    if shared:
        detail = (
            f"{len(shared)} of {len(data)}, so that figures on them say little about other "
            f"images: {first_of(shared[:3])}"
        )
        kind = "the same files in both splits"
        findings.append(Finding(kind, "kept", str(data.root), None, detail))


def _note_copies(
    data: DetectionData, other: DetectionData | None, shared: list[str], findings: list[Finding]
) -> None:
    """Note images with the same content, within a part and in another."""
    files, counts, in_both = data.files.tolist(), np.diff(data.offsets), set(shared)
    theirs = [] if other is None else other.files.tolist()
    places = [(part, k) for part in (data, other) if part is not None for k in range(len(part))]
    lengths = [part.length(k) for part, k in places]

    def read(number: int) -> bytes:
        part, k = places[number]
        return part.content(k)

    def peek(number: int) -> object:
        part, k = places[number]
        return ending_of(str(part.files[k])) if part.in_files else read(number)

    for mine, copied in find_equal(lengths, read, len(files), peek):
        if len(mine) > 1 and len({files[k] for k in mine}) > 1:
            boxes = sorted({int(counts[k]) for k in mine})
            unlike = f"; they have {' and '.join(map(str, boxes))} boxes"
            detail = f"of {files[mine[0]]}{unlike if len(boxes) > 1 else ''}"
            findings.append(Finding("copy of an image", "kept", files[mine[1]], None, detail))
        for k in mine if copied else []:
            if files[k] not in in_both:
                findings.append(in_both_splits(files[k], theirs[copied[0]]))


def _repeated(data: DetectionData) -> Mask:
    """Mask of boxes that stand before with the same image and label."""
    rows = np.column_stack((data.owners, data.labels, data.iscrowd, data.boxes))
    _, first = np.unique(rows, axis=0, return_index=True)
    repeated = np.ones(len(rows), dtype=np.bool_)
    repeated[first] = False
    return repeated


# How a set is refused of which too many boxes are of a kind: largest share, and what to ask.
_TOO_MANY = {
    "box looks normalised": (MOST_BROKEN, "multiply them by width and height, to pixels"),
    "box outside the image": (MOST_BROKEN, "do the annotations belong to these images?"),
    "box without area": (MOST_BROKEN, "are corners and sides mixed up?"),
    "box is not a number": (MOST_BROKEN, "the export is broken"),
    "box reaches out of the image": (0.5, "are corners written where width and height belong?"),
}


def _check_whole(data: DetectionData, good_images: Mask, findings: list[Finding]) -> None:
    """What is wrong with the set rather than with one file."""
    root = str(data.root)

    def refuse(kind: str, detail: str) -> None:
        findings.append(Finding(kind, "refused", root, None, detail))

    if not len(data):
        if not any(one.kind == "no images" for one in findings):
            refuse("no images", "the annotations list none")
        return
    refuse_broken(data.root, good_images, findings)
    counts = Counter(f.kind for f in findings)
    for kind, (most, question) in _TOO_MANY.items():
        if counts[kind] > most * max(len(data.boxes), 1):
            if kind == "box outside the image" and data.format == "yolo":
                question = "YOLO boxes are relative (0..1): are these in pixels?"
            refuse(f"too often: {kind}", f"{counts[kind]} of {len(data.boxes)}; {question}")
    ids, seen = np.unique(data.annotation_ids, return_counts=True)
    for number in ids[seen > 1]:
        where = str(data.files[data.owners[np.flatnonzero(data.annotation_ids == number)[0]]])
        findings.append(
            Finding("annotation id twice", "kept", where, int(number), "ids are numbered anew")
        )
    names, seen = np.unique(data.files, return_counts=True)
    for name, times in zip(names[seen > 1], seen[seen > 1], strict=True):
        findings.append(
            Finding("file listed twice", "kept", str(name), None, f"{times} image ids share it")
        )


def _summary(
    data: DetectionData, anchors: NDArray[np.float32] | None, keep_aspect: bool
) -> dict[str, Any]:
    """Counts of the mended set."""
    per_image = np.diff(data.offsets)
    per_class = np.bincount(data.labels[~data.iscrowd], minlength=len(data.classes) + 1)[1:]
    summary: dict[str, Any] = {
        "format": data.format,
        "recognised_by": data.evidence,
        "images": len(data),
        "images_without_objects": int((per_image == 0).sum()),
        "boxes": len(data.boxes),
        "crowds": int(data.iscrowd.sum()),
        "classes": dict(zip(data.classes.names, per_class.tolist(), strict=True)),
    }
    frames = np.tile(data.sizes[data.owners], 2)
    usable = ~data.iscrowd & (frames > 0).all(axis=1)
    relative = (data.boxes / np.maximum(frames, 1))[usable]
    if len(relative):
        sides = np.sqrt((relative[:, 2:] - relative[:, :2]).prod(axis=1).clip(min=0))
        summary["relative_size"] = {
            f"p{q}": round(float(np.percentile(sides, q)), 3) for q in (5, 25, 50, 75, 95)
        }
    if anchors is not None and len(relative):
        if keep_aspect:
            relative = (data.boxes / np.maximum(frames.max(axis=1, keepdims=True), 1))[usable]
        chosen = relative[:: -(-len(relative) // _COVER_SAMPLE)].astype(np.float32)
        parts = (chosen[start : start + 512] for start in range(0, len(chosen), 512))
        cover = np.concatenate([_best_iou(part, anchors) for part in parts])
        summary["anchor_cover"] = {
            "median_iou": round(float(np.median(cover)), 3),
            "share_under_half": round(float((cover < GOOD_COVER).mean()), 3),
        }
    return summary


def _best_iou(boxes: NDArray[np.float32], anchors: NDArray[np.float32]) -> NDArray[np.float32]:
    """Best overlap of each box (N, 4; x1 y1 x2 y2) with any anchor (A, 4; cx cy w h)."""
    low = np.maximum(boxes[:, None, :2], anchors[:, :2] - anchors[:, 2:] / 2)
    high = np.minimum(boxes[:, None, 2:], anchors[:, :2] + anchors[:, 2:] / 2)
    both = np.clip(high - low, 0, None).prod(axis=2)
    areas = (boxes[:, 2:] - boxes[:, :2]).prod(axis=1)
    iou = both / (areas[:, None] + anchors[:, 2:].prod(axis=1) - both)
    return np.asarray(iou.max(axis=1), np.float32)


def _about(summary: dict[str, Any]) -> tuple[str, ...]:
    s, counts = summary, summary["classes"]
    by = f" ({s['recognised_by']})" if s["recognised_by"] else ""
    out = [
        f"{s['images']} images ({s['images_without_objects']} without objects), {s['boxes']} "
        f"boxes ({s['crowds']} crowds), {len(counts)} classes, format {s['format']}{by}",
        f"boxes per class: {most_of(counts)}",
    ]
    absent = [name for name, count in counts.items() if not count]
    if absent:
        out.append(f"{len(absent)} classes have no box here: {', '.join(absent[:12])}")
    if "relative_size" in s:
        sizes = ", ".join(f"{q} {v}" for q, v in s["relative_size"].items())
        out.append(f"box side relative to the image (root of area): {sizes}")
    if "anchor_cover" in s:
        cover = s["anchor_cover"]
        out.append(
            f"best overlap with an anchor: median {cover['median_iou']}; "
            f"{cover['share_under_half']:.1%} of boxes stay under {GOOD_COVER}"
        )
    return tuple(out)
