"""webdataset shards with boxes: ``0.jpg`` beside ``0.json``, or beside YOLO's ``0.txt``.

``{"annotations": [{"bbox": [x, y, width, height], "category": "cat", "iscrowd": 0}]}``, or
``{"boxes": [[x1, y1, x2, y2]], "labels": ["cat"]}``. Classes that are numbers count the lines of
``classes.txt`` from 0.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields, replace
from itertools import islice
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from datasets.boxes.described import Described, Told, gather
from datasets.boxes.shapes import are_kept, shape_of
from datasets.boxes.structure import DetectionData
from datasets.boxes.tree import Tree, side_of, split_words
from datasets.boxes.yolo_labels import parse_rows, read_names
from datasets.claims import Claim, Strength
from datasets.errors import InputError
from datasets.fields import Fields, as_number
from datasets.images import (
    SUFFIXES,
    is_passed_over,
    is_picture,
    pictures_below,
    probe_image,
)
from datasets.json_files import parse_json
from datasets.ledger import ARCHIVES, note_read
from datasets.lfs import refuse_pointer
from datasets.names import in_order, shown
from datasets.part_names import PART_NAMES
from datasets.shards.finding import find_shard_parts, tars_in
from datasets.shards.tar import is_stray, members, read_bytes
from datasets.text import decode_text
from datasets.types import ClassMap

NAMES = "classes.txt"
_LABEL = ".cls"
# Members and samples of the first shard that are looked at to find out what it holds.
_MOST_MEMBERS, _MOST_SAMPLES = 4000, 200
# Bytes of what tells of one image's boxes.
_MOST_TOLD = 1 << 24
Span = tuple[int, int]
Kind = Literal[".json", ".txt"]
_KINDS = (".json", ".txt")


@dataclass(frozen=True, kw_only=True)
class ShardedBoxes(DetectionData):
    """Images with boxes that are read one by one out of shards.

    Attributes:
        shards: Files.
        spans: (N, 3) int64 shard, offset and length in bytes of each image.
    """

    shards: tuple[Path, ...]
    spans: NDArray[np.int64]

    @property
    def in_files(self) -> bool:
        """As :attr:`DetectionData.in_files`."""
        return False

    def stored(self, index: int) -> bytes:
        """As :meth:`DetectionData.stored`."""
        shard, offset, length = self.spans[index].tolist()
        return read_bytes(self.shards[shard], (offset, length))

    def length(self, index: int) -> int:
        """As :meth:`DetectionData.length`."""
        return int(self.spans[index, 2])

    def select(self, images: NDArray[np.bool_], boxes: NDArray[np.bool_]) -> DetectionData:
        """As :meth:`DetectionData.select`."""
        chosen = super().select(images, boxes)
        return replace(chosen, spans=self.spans[images])  # type: ignore[call-arg]


@dataclass(frozen=True)
class Part:
    """One split.

    Attributes:
        shards: Files of it.
        everything: Files of all splits, which agree about the classes.
        kind: Suffix of the members that describe boxes.
        names: File of the classes' names, if there is one.
    """

    shards: tuple[Path, ...]
    everything: tuple[Path, ...]
    kind: Kind
    names: Path | None


@dataclass(frozen=True)
class _Sample:
    """An image and the description of its boxes, each by its member's name and position."""

    picture: str
    span: Span
    told: str
    told_span: Span


def claim(tree: Tree) -> Claim | None:
    """Shards whose first samples have boxes; those of labels, and other archives, are none."""
    parts = _shards_of(tree)
    if not parts:
        return None
    everything = tuple(file for files in parts.values() for file in files)
    kind = _kind_of(everything[0])
    if kind is None:
        return None
    near = {folder: None for file in everything for folder in (file.parent, file.parent.parent)}
    names = next((folder / NAMES for folder in near if (folder / NAMES).is_file()), None)
    lacks, strength = "", tree.strength(Strength.DESCRIBED)
    beside = _pictured(tree.path) if tree.path.is_dir() else []
    if beside:  # The archive may be what something else was unpacked from.
        strength = Strength.PLAIN if len(beside) == 1 else Strength.NEAR
    if strength == Strength.NEAR:
        places = ", ".join(beside[:3])
        lacks = f"but images lie beside the shards, in {places}; move one of them elsewhere"
    elif kind == ".txt" and names is None:
        lacks = (
            f"but nothing names the classes: add {NAMES} with a name per line beside the shards"
        )
    return Claim(
        format="shards",
        strength=strength,
        evidence=f"{tree.name_of(everything[0])} holds images with {kind} files of boxes",
        parts={split: Part(files, everything, kind, names) for split, files in parts.items()},
        lacks=lacks,
    )


def _pictured(path: Path) -> list[str]:
    """Names of a folder, and of the folders in it, that hold images outside of shards."""
    entries = sorted(path.iterdir())
    found = [path.name] if any(is_picture(one.name) for one in entries if one.is_file()) else []
    own = path.resolve()  # A link may lead back to it.
    inner = (
        one
        for one in entries
        if one.is_dir() and not is_passed_over(one.name) and not own.is_relative_to(one.resolve())
    )
    return [*found, *(f"{one.name}/" for one in inner if pictures_below(one, first=True))]


def _shards_of(tree: Tree) -> dict[str, tuple[Path, ...]]:
    """Shards by split: in folders that are parts, or by words in their names."""
    if tree.path.is_dir():
        inner = find_shard_parts(tree.path)
        if inner:
            return {split: tuple(tars_in(folder)) for split, folder in inner.items()}
        files = tars_in(tree.path)
    else:
        files = tree.files(".tar")
    by_side: dict[str, tuple[Path, ...]] = {}
    for file in files:
        side = side_of(split_words(file.stem))
        by_side[side] = (*by_side.get(side, ()), file)
    parts = {split: by_side[split] for split in PART_NAMES if split in by_side}
    return parts or ({"train": tuple(files)} if files else {})


def _kind_of(shard: Path) -> Kind | None:
    """Suffix of the boxes' description in the first samples of a shard; None if there is none."""
    told: dict[tuple[str, str], dict[str, Span]] = {}
    samples = 0
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Whoever reads it tells what is damaged.
        for name, *span in islice(members(shard), _MOST_MEMBERS):
            where, suffix = _split(name)
            told.setdefault(where, {})[suffix] = (span[0], span[1])
    for found in told.values():
        texts = {
            kind: read_bytes(shard, (found[kind][0], min(found[kind][1], _MOST_TOLD)))
            for kind in _KINDS
            if kind in found
        }
        if not texts or not any(suffix in SUFFIXES for suffix in found):
            continue
        if _LABEL in found:
            return None
        if ".json" in texts and _has_boxes(texts[".json"]):
            return ".json"
        if ".txt" in texts and _is_yolo(texts[".txt"]):
            return ".txt"
        samples += 1
        if samples == _MOST_SAMPLES:
            break
    return None


def _split(name: str) -> tuple[tuple[str, str], str]:
    """Folder and key of a member, and its suffix: as webdataset parts them, at the first dot."""
    folder, _, base = name.rpartition("/")
    key, _, suffix = base.partition(".")
    return (folder, key), "" if is_stray(name) else f".{suffix.lower()}"


def _has_boxes(text: bytes) -> bool:
    """Whether a sample's JSON has the fields of boxes, damaged or not, and is no label."""
    try:
        found = parse_json(text, "")
    except InputError:
        return b'"annotations"' in text or b'"boxes"' in text
    if not isinstance(found, dict) or found.get("label") is not None:
        return False
    return "annotations" in found or "boxes" in found


def _is_yolo(text: bytes) -> bool:
    first, _, _ = text[:4096].decode("utf-8-sig", errors="replace").partition("\n")
    numbers = [as_number(one) for one in first.split()]
    return len(numbers) >= 5 and None not in numbers and float(numbers[0] or 0).is_integer()


def read(root: Path, part: Part) -> DetectionData:
    """Read the boxes in the shards of a split, and where their images are.

    Raises:
        InputError: If a sample is damaged, lacks a field or has an unsupported one; the message
            names shard, member and field.
    """
    listed = None if part.names is None else read_names(part.names)
    told, relative = Told(root), part.kind == ".txt"
    pictures, spans, used = list[Described](), list[tuple[int, int, int]](), set[str]()
    # Names that are listed need no look at the other parts.
    shards = part.shards if listed is not None else part.everything
    for shard in tqdm(shards, "listing samples", unit="shard", delay=2):
        refuse_pointer(shard)
        wanted = shard in part.shards
        if wanted:  # Of the others only the names of classes are used.
            note_read(shard, ARCHIVES)
        for sample in _walk(shard, part.kind, told if wanted else Told(root)):
            one = Described(Path(f"{shard}/{sample.picture}"))
            _describe(one, shard, sample, part.kind, listed)
            used.update(one.names)
            if wanted:
                if min(one.size) <= 0:
                    one.size = _size_of(shard, sample, upright=relative)
                pictures.append(one)
                spans.append((part.shards.index(shard), *sample.span))
    names = in_order(used) if listed is None else [*listed.names]
    data = gather("shards", root, pictures, names, told=told, relative=relative, upright=relative)
    flat = {one.name: getattr(data, one.name) for one in fields(data)}
    return ShardedBoxes(
        **{**flat, "classes": data.classes if listed is None else listed},
        shards=part.shards,
        spans=np.array(spans, np.int64).reshape(-1, 3),
    )


def _walk(shard: Path, kind: Kind, told: Told) -> Iterator[_Sample]:
    """Samples in the order in which they are complete; members outside samples are reported."""
    waiting: dict[tuple[str, str], dict[str, tuple[str, Span]]] = {}
    for name, offset, size in members(shard):
        where, suffix = _split(name)
        role = "picture" if suffix in SUFFIXES else "told" if suffix == kind else None
        if role is None or "\0" in name:
            continue
        found = waiting.setdefault(where, {})
        found.setdefault(role, (name, (offset, size)))
        if len(found) == 2:
            yield _Sample(*found["picture"], *found["told"])
            del waiting[where]
    for found in waiting.values():
        ((name, _),) = found.values()
        what = f"images without {kind}" if "picture" in found else f"{kind} without image"
        told.add(what, "dropped", name, "in the shards")


def _describe(
    picture: Described, shard: Path, sample: _Sample, kind: Kind, listed: ClassMap | None
) -> None:
    """Add a sample's boxes to its image, and its size if it is stated.

    Raises:
        InputError: If it is damaged; the message names shard, member and field.
    """
    where = f"{shown(shard)}: {sample.told}"
    if sample.told_span[1] > _MOST_TOLD:
        raise InputError(f"{where}: {sample.told_span[1]} bytes are too many for boxes")
    text = read_bytes(shard, sample.told_span)
    if kind == ".txt":
        assert listed is not None  # Or the claim would lack something.
        label = {number: k for k, number in enumerate(listed.ids, start=1)}
        rows = parse_rows(decode_text(text, where), where, label).tolist()
        for number, x, y, w, h in rows:
            box = (x - w / 2, y - h / 2, x + w / 2, y + h / 2)
            picture.add(box, listed.names[int(number) - 1])
        return
    content = Fields.of(where, parse_json(text, where))
    if content.has("width") and content.has("height"):
        picture.size = (content.whole("width"), content.whole("height"))
    if content.has("annotations"):
        _annotations(picture, content.objects("annotations"), listed)
    else:
        _corners(picture, content, listed)


def _annotations(picture: Described, rows: Sequence[Fields], listed: ClassMap | None) -> None:
    """Boxes as COCO has them."""
    for row in rows:
        x, y, w, h = row.numbers("bbox", 4, "four numbers x, y, width, height")
        key = "category_id" if row.has("category_id") and not row.has("category") else "category"
        area, crowd = row.number("area") if row.has("area") else 0.0, row.flag("iscrowd")
        shape = shape_of(row.values)[0] if are_kept() else None
        name = _name(row, key, listed)
        picture.add((x, y, x + w, y + h), name, crowd=crowd, area=area, shape=shape)


def _corners(picture: Described, content: Fields, listed: ClassMap | None) -> None:
    """Lists of corners and of classes."""
    boxes, labels = content.values.get("boxes"), content.values.get("labels")
    if not isinstance(boxes, list):
        needed = "annotations with bbox and category, or a list of boxes x1, y1, x2, y2"
        raise content.error("boxes", f"{needed}, is needed")
    if not isinstance(labels, list) or len(labels) != len(boxes):
        raise content.error("labels", f"a list of {len(boxes)} classes is needed, one for a box")
    for number, (box, label) in enumerate(zip(boxes, labels, strict=True)):
        values = {"boxes": box, "labels": label}
        row = Fields(content.file, values, (*content.place, f"object {number}"))
        corners = row.numbers("boxes", 4, "four numbers x1, y1, x2, y2")
        picture.add(corners, _name(row, "labels", listed))


def _name(row: Fields, key: str, listed: ClassMap | None) -> str:
    """Name of a box's class, which is written as a name or as a number."""
    found, written = row.key(key), row.values[key]
    if listed is None:
        return str(found)
    if written in listed.names:
        return str(written)
    if isinstance(found, str):
        raise row.error(key, f"it is not among the names in {NAMES}; add it, or correct it")
    if not 0 <= found < len(listed):
        raise row.error(key, f"the classes of {NAMES} are 0 to {len(listed) - 1}")
    return listed.names[found]


def _size_of(shard: Path, sample: _Sample, *, upright: bool) -> tuple[int, int]:
    """Width and height of an image; (0, 0) if unreadable, which the data doctor reports."""
    try:
        width, height, sideways = probe_image(sample.picture, read_bytes(shard, sample.span))
    except ValueError:
        return 0, 0
    return (height, width) if sideways and upright else (width, height)
