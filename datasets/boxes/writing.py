"""Boxes of any format written as COCO, Pascal VOC, YOLO or shards, and what that changes."""

from __future__ import annotations

import json
import tarfile
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from datasets.boxes.coco import to_coco
from datasets.boxes.comparing import changes
from datasets.boxes.label_texts import Labelled, voc_text, yolo_names, yolo_text
from datasets.boxes.opening import open_parts
from datasets.boxes.shapes import keeping_shapes
from datasets.boxes.shards import NAMES
from datasets.boxes.structure import DetectionData
from datasets.boxes.turning import turned
from datasets.boxes.yolo_labels import label_file
from datasets.errors import InputError
from datasets.findings import Finding, first_of
from datasets.kind import Written
from datasets.ledger import note_dropped, untraced
from datasets.parallel import in_threads
from datasets.reading_order import shuffled
from datasets.shards.writing import add_member
from datasets.written_pictures import PictureWriter, unique_names

Parts = Mapping[str, DetectionData]
_PER_SHARD = 1000


@dataclass(frozen=True)
class Target:
    """A format that is written.

    Attributes:
        name: Common name.
        pictures: Folder of a part's images, below the set's.
        upright: Its boxes are drawn on images as their EXIF tags turn them.
        describe: Function that writes the descriptions of the images, whose files have their new
            names.
        pack: Writes the images, too, from the parts as they were; None where each is a file.
        shapes: Outlines and keypoints are written.
    """

    name: str
    pictures: str
    upright: bool
    describe: Callable[[Parts, Path], None]
    pack: Callable[[Parts, Parts, Path], None] | None = None
    shapes: bool = False


def write_boxes(target: Target, parts: Parts, folder: Path, *, link: bool) -> Written:
    """Write all parts of a set.

    Args:
        target: Format.
        parts: Parts of the data set, by ``train``, ``val`` and ``test``.
        folder: Existing, empty folder.
        link: Link the images instead of copying them.

    Raises:
        InputError: If the set names no class, a name of one cannot be written, or an image
            cannot be.
    """
    notes: list[str] = []
    made, sources = dict[str, DetectionData](), dict[str, DetectionData]()
    stems: dict[str, set[str]] = {}
    for split, data in parts.items():
        if not len(data.classes):
            raise InputError(f"{data.root}: names no class")
        if made and not len(data):
            why = next((one.detail for one in data.told if one.kind == "no images"), "it is empty")
            notes.append(f"{split}: left out, without images: {why}")
            continue
        notes += [f"{split}: {one}" for one in _left_out(data.told)]
        whole = _usable(turned(data, upright=target.upright), split, notes)
        if not len(whole) and split == "test" and made:
            notes.append("test: left out: none of its images is there and labelled")
            continue
        if not len(whole):
            raise InputError(f"{data.root}: no image of the part {split} is there")
        place = folder / target.pictures.format(part=split)
        names = _names(target, whole.files.tolist(), stems.setdefault(str(place), set()))
        own = sum(Path(file).name != name for file, name in zip(whole.files, names, strict=True))
        if own:
            notes.append(f"{split}: {own} images get other names, to have one each")
        sources[split] = whole
        files = np.array([str(place / name) for name in names], dtype=np.str_)
        made[split] = replace(whole, files=files)
    if target.pack is None:
        _write_pictures(sources, made, link=link)
        target.describe(made, folder)
    else:
        target.describe(made, folder)  # First, for it tells what cannot be written.
        target.pack(sources, made, folder)
    counts = {}
    with untraced(), keeping_shapes():
        read = open_parts(folder)
    for split, back in read.items():
        found = changes(target.name, made[split], back, shapes=target.shapes)
        notes += [f"{split}: {note}" for note in found]
        counts[split] = {"images": len(back), "boxes": len(back.boxes)}
    return Written(counts, len(next(iter(made.values())).classes), tuple(notes))


def _names(target: Target, files: list[str], taken: set[str]) -> list[str]:
    """A name for each image; in shards without dots, at the first of which a key ends."""
    if target.pack is not None:
        paths = map(Path, files)
        files = [f"{one.stem.lstrip('.').replace('.', '_')}{one.suffix}" for one in paths]
    return unique_names(files, taken)


def _write_pictures(sources: Parts, made: Parts, *, link: bool) -> None:
    with PictureWriter(sum(map(len, made.values())), link=link) as pictures:
        for split, data in made.items():
            source = sources[split]
            for index, (old, new) in enumerate(
                zip(source.files.tolist(), data.files.tolist(), strict=True)
            ):
                if source.in_files:
                    pictures.add(old, Path(new))
                else:
                    pictures.add_content(source.content(index), Path(new))


def _usable(data: DetectionData, split: str, notes: list[str]) -> DetectionData:
    """Without images that are not there and boxes that are no numbers, which are noted.

    Sizes that the annotations lack are taken from the images. What of those is odd is noted.
    """
    sizes = data.sizes.copy()
    there = np.array([data.length(k) is not None for k in range(len(data))], dtype=np.bool_)
    for index in np.flatnonzero(there & (sizes <= 0).any(axis=1)).tolist():
        try:
            width, height, sideways = data.probe(index)
        except InputError:
            continue
        sizes[index] = (height, width) if sideways and data.upright else (width, height)
    sized = (sizes > 0).all(axis=1)
    finite = np.asarray(np.isfinite(data.boxes).all(axis=1), np.bool_)
    for which, why in (
        (~there, "whose file is missing"),
        (there & ~sized, "which cannot be read, and nothing states their size"),
    ):
        if names := data.files[which].tolist():
            notes.append(f"{split}: {len(names)} images left out, {why}: {first_of(names)}")
            if data.in_files:
                note_dropped(names, f"images left out, {why}")
    good = there & sized
    if lost := int((~finite & good[data.owners]).sum()):
        notes.append(f"{split}: {lost} boxes left out, which are no numbers")
    kept = replace(data, sizes=sizes).select(good, finite)
    notes += [f"{split}: {note}" for note in _doubts(kept)]
    return kept


def _doubts(data: DetectionData) -> Iterator[str]:
    """Reports about images that are written unchanged, although something is wrong."""

    def problem(index: int) -> str:
        try:
            data.check_size(index)
        except InputError as error:
            return str(error).removeprefix(f"{data.files[index]}: ")
        return ""

    found = in_threads(problem, range(len(data)), "checking sizes", unit="image")
    told = [(str(file), why) for file, why in zip(data.files, found, strict=True) if why]
    for is_size, what in (
        (True, "not of the size that is annotated; their boxes stay as annotated"),
        (False, "damaged or of no kind that is read; they are written as they are"),
    ):
        rows = [f"{file} ({why})" for file, why in told if ("annotated as" in why) == is_size]
        if rows:
            yield f"{len(rows)} images are {what}: {first_of(rows)}"


def _write_coco(parts: Parts, folder: Path) -> None:
    for split, data in parts.items():
        content = to_coco(data)
        numbers = data.annotation_ids.tolist()
        unique = len(set(numbers)) == len(numbers)
        for row in content["images"]:
            row["id"] = data.own_ids.get(row["id"], row["id"])
        for row, number in zip(content["annotations"], numbers, strict=True):
            row["id"] = number if unique else row["id"]
            row["image_id"] = data.own_ids.get(row["image_id"], row["image_id"])
        _write_text(folder / f"annotations/instances_{split}.json", json.dumps(content))


def _write_text(file: Path, text: str) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text, encoding="utf-8")


def _write_yolo(parts: Parts, folder: Path) -> None:
    """Crowds are left out: the format would call them objects."""
    for data in parts.values():
        for index, file in enumerate(data.files.tolist()):
            rows = np.arange(data.offsets[index], data.offsets[index + 1])
            rows = rows[~data.iscrowd[rows]]
            width, height = data.sizes[index].tolist()
            columns = (data.labels[rows] - 1).tolist()
            text = yolo_text(columns, data.boxes[rows], (width, height))
            _write_text(label_file(Path(file)), text)
    names = next(iter(parts.values())).classes.names
    folders = {split: f"images/{split}" for split in parts}
    _write_text(folder / "data.yaml", yolo_names(folders, names))


def _left_out(told: Iterable[Finding]) -> Iterator[str]:
    """What the reader left out, a line per kind with the first of it."""
    by_kind = defaultdict[tuple[str, str], list[Finding]](list)
    for one in told:
        by_kind[one.action, one.kind].append(one)
    for (action, _), found in by_kind.items():
        more = f" (and {len(found) - 1} more)" if len(found) > 1 else ""
        if action != "kept":
            yield f"{found[0]}{more}"


def _write_voc(parts: Parts, folder: Path) -> None:
    """Pixels count from 1 and the last one is in the box; a crowd is marked as difficult."""
    for split, data in parts.items():
        for index in range(len(data)):
            _write_xml(data, index, folder / "Annotations")
        stems = [Path(file).stem for file in data.files.tolist()]
        text = "".join(f"{stem}\n" for stem in stems)
        _write_text(folder / f"ImageSets/Main/{split}.txt", text)


def _write_xml(data: DetectionData, index: int, folder: Path) -> None:
    file = Path(str(data.files[index]))
    found = [
        Labelled(
            data.classes.names[data.labels[row] - 1], data.boxes[row], bool(data.iscrowd[row])
        )
        for row in range(data.offsets[index], data.offsets[index + 1])
    ]
    width, height = data.sizes[index].tolist()
    try:
        text = voc_text(file, (width, height), found)
    except InputError as error:
        raise InputError(f"{data.root}: {error}") from error
    folder.mkdir(exist_ok=True)
    (folder / f"{file.stem}.xml").write_bytes(text)


def _write_names(parts: Parts, folder: Path) -> None:
    """Write the list of the classes of shards."""
    names = next(iter(parts.values())).classes.names
    for name in names:
        if name != name.strip() or not name or not name.isprintable():
            raise InputError(f"{folder}: class {name!r} cannot be a line of a list; rename it")
    _write_text(folder / NAMES, "".join(f"{name}\n" for name in names))


def _pack(sources: Parts, made: Parts, folder: Path) -> None:
    """Write shards, in an order that mixes the set, as readers shuffle within a window only."""
    for split, data in made.items():
        place = folder / split
        place.mkdir(parents=True)
        mixed = shuffled(len(data), np.random.default_rng(0), sources[split].read_together)
        order = mixed.tolist()
        starts = range(0, len(order), _PER_SHARD)
        for number, start in enumerate(tqdm(starts, "writing shards", unit="shard", delay=2)):
            with tarfile.open(place / f"{number:06d}.tar", "w") as tar:
                for index in order[start : start + _PER_SHARD]:
                    file = Path(str(data.files[index]))
                    text = json.dumps(_sample(data, index))
                    add_member(tar, file.name, sources[split].content(index))
                    add_member(tar, f"{file.stem}.json", text.encode())


def _sample(data: DetectionData, index: int) -> dict[str, Any]:
    """The description of one image, as :mod:`datasets.boxes.shards` reads it."""
    rows = np.arange(data.offsets[index], data.offsets[index + 1])
    corners = data.boxes[rows]
    boxes = np.concatenate((corners[:, :2], corners[:, 2:] - corners[:, :2]), axis=1)
    width, height = data.sizes[index].tolist()
    annotations = [
        {
            "bbox": box,
            "category": data.classes.names[data.labels[row] - 1],
            "area": float(data.areas[row]),
            "iscrowd": int(data.iscrowd[row]),
            **((data.shapes.rows[row] if data.shapes else None) or {}),
        }
        for row, box in zip(rows.tolist(), boxes.tolist(), strict=True)
    ]
    return {"width": width, "height": height, "annotations": annotations}


TARGETS = {
    "coco": Target("COCO", "{part}", False, _write_coco, shapes=True),
    "voc": Target("Pascal VOC", "JPEGImages", False, _write_voc),
    "yolo": Target("YOLO", "images/{part}", True, _write_yolo),
    "shards": Target("webdataset", "{part}", False, _write_names, _pack, shapes=True),
}
