"""Pascal VOC: XML files beside images; also Oxford-IIIT Pets, which uses the same XML."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from pathlib import Path
from xml.etree.ElementTree import Element

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from datasets.boxes.structure import DetectionData, assemble
from datasets.boxes.voc_layout import Part, is_annotation, xml_files
from datasets.errors import InputError
from datasets.fields import as_number
from datasets.images import SUFFIXES, probe_image
from datasets.ledger import note_entries
from datasets.types import ClassMap
from datasets.xml_files import read_xml

_NAMES = """aeroplane bicycle bird boat bottle bus car cat chair cow diningtable dog horse
motorbike person pottedplant sheep sofa train tvmonitor"""
VOC_CLASSES = tuple(_NAMES.split())
# Folders of VOC itself, and what its XML files call them.
_YEAR = re.compile(r"VOC20\d\d", re.IGNORECASE)
_CORNERS = ("xmin", "ymin", "xmax", "ymax")
_LARGEST_SIDE = 2**31 - 1


def read(root: Path, parts: list[Part]) -> DetectionData:
    """Read the XML files of a split.

    VOC counts pixels from 1 and includes the last one; boxes here count from 0. Objects marked
    difficult are kept as crowd: neither trained on nor counted.

    Raises:
        InputError: If a file is damaged or lacks a field; it names both.
    """
    entries = [(part, stem) for part in parts for stem in part.stems]
    folders = {part.annotations for part in parts}
    xmls = {folder: {file.stem: file for file in xml_files(folder)} for folder in folders}
    parsed = [
        parse_xml(xmls[part.annotations][stem], part.breeds.get(stem))
        for part, stem in tqdm(entries, "reading XML", unit="file", delay=2)
    ]
    classes = _classes(parts, [name for one in parsed for name in one.names])
    label = {name: k for k, name in enumerate(classes.names, start=1)}
    pictures = {part.images: _pictures(part.images) for part in parts}
    files = [
        str(pictures[part.images].get(stem, part.images / f"{stem}.jpg")) for part, stem in entries
    ]
    return assemble(
        format="voc",
        root=root,
        files=files,
        sizes=[_size(one, file) for one, file in zip(parsed, files, strict=True)],
        boxes=[one.boxes for one in parsed],
        labels=[[label[name] for name in one.names] for one in parsed],
        crowd=[one.difficult for one in parsed],
        classes=classes,
        upright=False,
        told=[finding for part in parts for finding in part.told],
    )


@dataclass(frozen=True)
class ParsedXml:
    """One VOC XML file: (width, height), boxes (N, 4) x1 y1 x2 y2 from 0, names, flags."""

    size: tuple[int, int]
    boxes: NDArray[np.float64]
    names: list[str]
    difficult: list[bool]


def parse_xml(file: Path, breed: tuple[int, str] | None) -> ParsedXml:
    """Read one file.

    Args:
        file: XML, whatever its suffix.
        breed: Class id and name that go before the file's own names.

    Raises:
        InputError: If it is damaged or lacks a field; it names both.
    """
    tree = read_xml(file)
    boxes, names, difficult = [], [], []
    for number, thing in enumerate(tree.iter("object"), start=1):
        where = f"{file}: object {number}"
        name = breed[1] if breed else (thing.findtext("name") or "").strip()
        if not name:
            raise InputError(f"{where} has no <name>")
        corners = _corners(thing, where)
        boxes.append((corners[0] - 1, corners[1] - 1, corners[2], corners[3]))
        names.append(name)
        difficult.append((thing.findtext("difficult") or "0").strip().lower() in ("1", "true"))
    size = tree.find("size")
    width, height = (_side(size, key, f"{file}: <size>") for key in ("width", "height"))
    return ParsedXml(
        (width, height), np.array(boxes, dtype=np.float64).reshape(-1, 4), names, difficult
    )


def _corners(thing: Element, where: str) -> list[float]:
    """Xmin, ymin, xmax and ymax as they are written."""
    box = thing.find("bndbox")
    lost = [key for key in _CORNERS if box is None or not (box.findtext(key) or "").strip()]
    if len(lost) == len(_CORNERS):
        outlined = any(thing.find(shape) is not None for shape in ("polygon", "segment_polygons"))
        more = "; a polygon alone is not read: export boxes, too" if outlined else ""
        raise InputError(f"{where} has no <bndbox>{more}")
    if lost:
        raise InputError(f"{where} has no <{lost[0]}> in its <bndbox>")
    return [_number(box, key, where) for key in _CORNERS]


def _number(element: Element | None, key: str, where: str) -> float:
    text = "" if element is None else (element.findtext(key) or "").strip()
    number = as_number(text)
    if number is None:
        raise InputError(f"{where} has <{key}> {text[:80]!r}, which is no number")
    return number


def _side(size: Element | None, key: str, where: str) -> int:
    """Width or height; 0 where it is left out."""
    if size is None or not (size.findtext(key) or "").strip():
        return 0
    number = _number(size, key, where)
    if not math.isfinite(number) or not 0 <= number <= _LARGEST_SIDE:
        raise InputError(f"{where} has <{key}> {size.findtext(key)!r:.80}, which is no size")
    return int(number)


def _size(one: ParsedXml, file: str) -> tuple[int, int]:
    """As annotated; some tools write 0, then the image's header says."""
    if min(one.size) > 0:
        return one.size
    try:
        return probe_image(file)[:2]
    except ValueError:
        return one.size  # The data doctor reports the file.


def _classes(parts: list[Part], names: list[str]) -> ClassMap:
    """The twenty of VOC in its own files, the Pets list's ids, else sorted names.

    Names are taken from every XML file of the folders, so that all splits agree.

    Raises:
        InputError: If the list gives a breed two ids.
    """
    breeds = {breed for part in parts for breed in part.breeds.values()}
    if breeds:
        ids, ordered = zip(*sorted(breeds), strict=True)
        try:
            return ClassMap(tuple(ids), tuple(ordered))
        except ValueError as error:
            raise InputError(f"{parts[0].annotations.parent}: list of breeds: {error}") from error
    present, images = set(names), [_pictures(part.images) for part in parts]
    for folder in {folder for part in parts for folder in part.siblings}:
        files = [*filter(is_annotation, xml_files(folder))]
        beside = (*images, _pictures(folder))  # Of other parts, which are not used here.
        named = [known[file.stem] for file in files for known in beside if file.stem in known]
        note_entries([*map(str, named)])
        for file in files:
            things = read_xml(file).iter("object")
            present |= {(thing.findtext("name") or "").strip() for thing in things} - {""}
    if present <= set(VOC_CLASSES) and any(map(_is_vocs_own, parts)):
        return ClassMap.from_names(list(VOC_CLASSES))
    return ClassMap.from_names(sorted(present))


def _is_vocs_own(part: Part) -> bool:
    """Whether a folder, or its first XML file, is of one of VOC's years: others have its names."""
    first = next(filter(is_annotation, xml_files(part.annotations)), None)
    told = "" if first is None else read_xml(first).findtext("folder") or ""
    return any(_YEAR.match(name.strip()) for name in (part.annotations.parent.name, told))


def _pictures(folder: Path) -> dict[str, Path]:
    """Images of a folder by stem; a JPEG file goes before others of its name."""
    files = [file for file in folder.iterdir() if file.suffix.lower() in SUFFIXES]
    return {file.stem: file for file in sorted(files, key=lambda file: file.suffix == ".jpg")}
