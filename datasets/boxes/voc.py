"""Pascal VOC: XML files beside images; also Oxford-IIIT Pets, which uses the same XML."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ElementTree
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from datasets.boxes.structure import DetectionData, assemble
from datasets.errors import InputError
from datasets.images import SUFFIXES, probe_image
from datasets.text import read_text
from datasets.types import ClassMap

_NAMES = """aeroplane bicycle bird boat bottle bus car cat chair cow diningtable dog horse
motorbike person pottedplant sheep sofa train tvmonitor"""
VOC_CLASSES = tuple(_NAMES.split())


@dataclass(frozen=True)
class Part:
    """One split of one VOC-like folder.

    Attributes:
        annotations: Folder of XML files.
        images: Folder of pictures.
        stems: File names without suffix, in the list's order.
        breeds: Class id and name per stem where the list gives them (Pets), else empty.
    """

    annotations: Path
    images: Path
    stems: tuple[str, ...]
    breeds: dict[str, tuple[int, str]]


def find_splits(path: Path) -> dict[str, list[Part]]:
    """Splits of a folder; empty if it is not VOC-like.

    ``trainval`` with ``test`` is taken for training and validation, else ``train`` with ``val``.
    Names in a list that have no XML file carry no boxes to learn from and are left out; a list
    of which nothing is left counts as absent.
    """
    years = [path, *sorted(path.glob("VOC20*")), *sorted(path.glob("VOCdevkit/VOC20*"))]
    found: dict[str, list[Part]] = {}
    for year in years:
        layout = _layout(year)
        if layout is None:
            continue
        xmls, images, lists = layout
        named = {name: _part(xmls, images, lists / f"{name}.txt") for name in _LISTS}
        known = {name: part for name, part in named.items() if part}
        if not known:
            stems = tuple(sorted(file.stem for file in xmls.glob("*.xml")))
            known = {"train": Part(xmls, images, stems, {})}
        wanted = ("trainval", "test") if {"trainval", "test"} <= known.keys() else ("train", "val")
        fallback = ("trainval", "test")
        for split, first, second in zip(("train", "val"), wanted, fallback, strict=True):
            chosen = known.get(first) or known.get(second)
            if chosen:
                found.setdefault(split, []).append(chosen)
    return found


_LISTS = ("train", "val", "trainval", "test")


def _layout(folder: Path) -> tuple[Path, Path, Path] | None:
    """(XML folder, image folder, list folder) of a VOC-like folder."""
    for xmls, images, lists in (
        ("Annotations", "JPEGImages", "ImageSets/Main"),
        ("annotations/xmls", "images", "annotations"),
        ("annotations", "images", "."),
        (".", ".", "."),
    ):
        if (folder / images).is_dir() and next((folder / xmls).glob("*.xml"), None):
            return folder / xmls, folder / images, folder / lists
    return None


def _part(xmls: Path, images: Path, file: Path) -> Part | None:
    if not file.is_file():
        return None
    stems, breeds = [], {}
    for line in read_text(file).splitlines():
        fields = line.split()
        if not fields or fields[0].startswith("#"):
            continue
        stem = fields[0]
        if not (xmls / f"{stem}.xml").exists():
            continue
        stems.append(stem)
        if len(fields) == 4 and (name := re.fullmatch(r"(.+)_\d+", stem)):
            breeds[stem] = (int(fields[1]), name[1])
    return Part(xmls, images, tuple(stems), breeds) if stems else None


def read(root: Path, parts: list[Part]) -> DetectionData:
    """Read the XML files of a split.

    VOC counts pixels from 1 and includes the last one; boxes here count from 0. Objects marked
    difficult are kept as crowd: neither trained on nor counted.

    Raises:
        InputError: If a file is damaged or lacks a field; it names both.
    """
    entries = [(part, stem) for part in parts for stem in part.stems]
    parsed = [
        parse_xml(part.annotations / f"{stem}.xml", part.breeds.get(stem))
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
    tree = _tree(file)
    boxes, names, difficult = [], [], []
    for number, thing in enumerate(tree.iter("object"), start=1):
        where = f"{file}: object {number}"
        name = breed[1] if breed else (thing.findtext("name") or "").strip()
        if not name:
            raise InputError(f"{where} has no <name>")
        corners = [_number(thing.find("bndbox"), key, where) for key in _CORNERS]
        boxes.append((corners[0] - 1, corners[1] - 1, corners[2], corners[3]))
        names.append(name)
        difficult.append((thing.findtext("difficult") or "0").strip() == "1")
    size = tree.find("size")
    width, height = (int(float(_text(size, key) or 0)) for key in ("width", "height"))
    return ParsedXml(
        (width, height), np.array(boxes, dtype=np.float64).reshape(-1, 4), names, difficult
    )


def _tree(file: Path) -> ElementTree.Element:
    try:
        return ElementTree.parse(file).getroot()
    except (ElementTree.ParseError, UnicodeDecodeError) as error:
        raise InputError(f"{file}: damaged XML ({error})") from error


_CORNERS = ("xmin", "ymin", "xmax", "ymax")


def _text(element: ElementTree.Element | None, key: str) -> str:
    return (element.findtext(key) or "").strip() if element is not None else ""


def _number(element: ElementTree.Element | None, key: str, where: str) -> float:
    text = _text(element, key)
    try:
        return float(text)
    except ValueError:
        raise InputError(f"{where} has <{key}> {text!r}, which is no number") from None


def _size(one: ParsedXml, file: str) -> tuple[int, int]:
    """As annotated; some tools write 0, then the picture's header says."""
    if min(one.size) > 0:
        return one.size
    try:
        return probe_image(file)[:2]
    except ValueError:
        return one.size  # The data doctor reports the file.


def _classes(parts: list[Part], names: list[str]) -> ClassMap:
    """VOC's own order where all names are VOC's, the Pets list's ids, else sorted names.

    Names are taken from every XML file of the folders, so that all splits agree.
    """
    breeds = {breed for part in parts for breed in part.breeds.values()}
    if breeds:
        ids, ordered = zip(*sorted(breeds), strict=True)
        return ClassMap(tuple(ids), tuple(ordered))
    present = set(names)
    for folder in {part.annotations for part in parts}:
        for file in folder.glob("*.xml"):
            present |= {(t.findtext("name") or "").strip() for t in _tree(file).iter("object")}
    if present <= set(VOC_CLASSES):
        return ClassMap.from_names(list(VOC_CLASSES))
    return ClassMap.from_names(sorted(present))


def _pictures(folder: Path) -> dict[str, Path]:
    """Pictures of a folder by stem; a JPEG file goes before others of its name."""
    files = [file for file in folder.iterdir() if file.suffix.lower() in SUFFIXES]
    return {file.stem: file for file in sorted(files, key=lambda file: file.suffix == ".jpg")}
