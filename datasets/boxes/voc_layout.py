"""Which files of a folder are Pascal VOC's, and which part of the set each belongs to."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from itertools import islice
from pathlib import Path

from datasets.boxes.tree import Tree
from datasets.claims import Claim, Strength
from datasets.findings import Finding, first_of
from datasets.images import SUFFIXES, is_passed_over
from datasets.names import entries_like
from datasets.part_names import PART_NAMES, folder_named, part_folders
from datasets.text import read_head, read_text

_LISTS = ("train", "val", "trainval", "test")
_XMLS = ("annotations", "annotation", "xmls", "xml", "labels")
_IMAGES = ("images", "jpegimages", "image", "pictures", "imgs")
# So many XML files are looked at to find one of VOC's among others.
_LOOKED_AT = 200
# A folder that holds more folders than this is not searched for those of XML and images.
_MOST_FOLDERS = 12
_COMMENT = re.compile(rb"<!--.*?-->", re.DOTALL)
_ELEMENT = re.compile(rb"<([A-Za-z_][^\s/>]*)")


@dataclass(frozen=True)
class Part:
    """One split of one VOC-like folder.

    Attributes:
        annotations: Folder of XML files.
        images: Folder of images.
        stems: File names without suffix, in the list's order.
        breeds: Class id and name per stem where the list gives them (Pets), else empty.
        told: What of the folder is not used, for the data doctor.
        siblings: Folders of XML files of the whole set, which agree about the classes.
    """

    annotations: Path
    images: Path
    stems: tuple[str, ...]
    breeds: dict[str, tuple[int, str]] = field(default_factory=dict)
    told: tuple[Finding, ...] = ()
    siblings: tuple[Path, ...] = ()


def claim(tree: Tree) -> Claim | None:
    """XML files of images, by split; without images they only come near."""
    parts = _splits(tree.path, tree.images) if tree.path.is_dir() else {}
    if parts:
        folder = next(iter(parts.values()))[0].annotations
        inside = tree.name_of(folder) if folder != tree.path else "the folder"
        evidence = f"XML files of VOC in {inside}"
        return Claim(format="voc", strength=Strength.DESCRIBED, evidence=evidence, parts=parts)
    lone = next(filter(is_annotation, tree.files(".xml")[:_LOOKED_AT]), None)
    if lone is None:
        return None
    return Claim(
        format="voc",
        strength=Strength.NEAR,
        evidence=f"{tree.name_of(lone)} is VOC's XML",
        lacks="but no folder of images belongs to it: JPEGImages/ or images/ beside its folder, "
        "the images beside the XML files, or --images",
    )


def _splits(path: Path, pictures: Path | None) -> dict[str, list[Part]]:
    """Splits of a folder; empty if it is not VOC-like.

    ``trainval`` is trained on where there is a ``test``, or no ``train``.
    Names in a list that have no XML file carry no boxes to learn from and are left out; a list
    of which nothing is left counts as absent. Without lists, the XML files may lie in folders
    that are parts, as Roboflow and TensorFlow's tutorials have them.
    """
    years = [path, *sorted(path.glob("VOC20*")), *sorted(path.glob("VOCdevkit/VOC20*"))]
    found: dict[str, list[Part]] = {}
    for year in years:
        layout = _layout(year, pictures)
        known = {} if layout is None else _listed(*layout)
        if layout is not None and not known:
            known = {"train": _all_of(*layout[:2])}
        if "trainval" in known and ("test" in known or "train" not in known):
            known["train"] = known.pop("trainval")
            if "test" in known:  # Else what is validated on would be trained on.
                known.pop("val", None)
            elif "val" in known:
                held = {*known["val"].stems}
                rest = tuple(stem for stem in known["train"].stems if stem not in held)
                known["train"] = replace(known["train"], stems=rest)
        for split in PART_NAMES:
            if split in known:
                found.setdefault(split, []).append(known[split])
    found = found or _parted(path, pictures)
    folders = tuple(dict.fromkeys(part.annotations for ps in found.values() for part in ps))
    return {
        split: [replace(part, siblings=folders) for part in parts]
        for split, parts in found.items()
    }


def _parted(path: Path, pictures: Path | None) -> dict[str, list[Part]]:
    """Folders that are parts: in the folder, among its images, or among its annotations."""
    for parent in (path, folder_named(path, "images")):
        found = {}
        for split, folders in part_folders(parent).items() if parent else ():
            layouts = (_layout(folder, pictures) for folder in folders)
            parts = [_all_of(xmls, images) for xmls, images, _ in filter(None, layouts)]
            if parts:
                found[split] = parts[:1]
        if found:
            return found
    for xmls, images in _pairs(path, pictures):
        found = {}
        for split, folders in part_folders(xmls).items():
            within = [(one, folder_named(images, one.name.lower())) for one in folders]
            parts = [
                _all_of(one, image or images)
                for one, image in within
                if any(map(is_annotation, _some_xmls(one)))
            ]
            if parts:
                found[split] = parts[:1]
        if found:
            return found
    return {}


def _layout(folder: Path, pictures: Path | None = None) -> tuple[Path, Path, Path] | None:
    """(XML folder, image folder, list folder) of a VOC-like folder."""
    rows = [
        (folder / "Annotations", folder / "JPEGImages", folder / "ImageSets/Main", True),
        (folder / "annotations/xmls", folder / "images", folder / "annotations", True),
        *((xmls, images, folder, False) for xmls, images in _pairs(folder, pictures)),
        (folder, folder, folder, False),
        *((xmls, images, folder, False) for xmls, images in _by_contents(folder, pictures)),
    ]
    for xmls, images, lists, is_evident in rows:
        within = pictures or images
        if not within.is_dir() or (xmls == within and not any(_pictures_in(within))):
            continue
        if any(is_evident or is_annotation(file) for file in _some_xmls(xmls)):
            return xmls, within, lists
    return None


def _pairs(folder: Path, pictures: Path | None) -> list[tuple[Path, Path]]:
    """Folders of XML files and of images by usual names, whatever their letters' case."""
    xmls = [folder_named(folder, name) for name in _XMLS]
    images = [folder_named(folder, name) for name in _IMAGES] if pictures is None else [pictures]
    return [(x, i) for x in xmls for i in images if x is not None and i is not None]


def _by_contents(folder: Path, pictures: Path | None) -> list[tuple[Path, Path]]:
    """The only folder of VOC's XML and the only one of images, however they are called.

    They belong together if an image has the name of an XML file.
    """
    inner = [one for one in folder.iterdir() if one.is_dir() and not is_passed_over(one.name)]
    if len(inner) > _MOST_FOLDERS:
        return []
    xmls = [one for one in inner if any(map(is_annotation, _some_xmls(one)))]
    images = [pictures] if pictures else [one for one in inner if any(_pictures_in(one))]
    if len(xmls) != 1 or len(images) != 1 or xmls == images:
        return []
    stems = {file.stem for file in xml_files(xmls[0])}
    agree = any(file.stem in stems for file in _pictures_in(images[0]))
    return [(xmls[0], images[0])] if agree else []


def _some_xmls(folder: Path) -> Iterator[Path]:
    return islice(xml_files(folder), _LOOKED_AT)


def xml_files(folder: Path) -> list[Path]:
    """Files that may be annotations, sorted."""
    return entries_like(folder, "*.xml")


def is_annotation(file: Path) -> bool:
    """Whether an XML file is VOC's, damaged or not, according to its outermost element."""
    outermost = _ELEMENT.search(_COMMENT.sub(b"", read_head(file)))
    return outermost is not None and outermost[1] == b"annotation"


def _all_of(xmls: Path, images: Path) -> Part:
    """All XML files of a folder; others than VOC's that belong to no image are reported."""
    files = xml_files(xmls)
    pictures = {file.stem for file in _pictures_in(images)}
    used = [file for file in files if file.stem in pictures or is_annotation(file)]
    described = {file.stem for file in used}
    stray = [file.name for file in files if file.stem not in described]
    bare = sorted(stem for stem in pictures if stem not in described)
    told = [
        *_tell("XML files passed over", xmls, stray, len(files), "no annotation of an image"),
        *_tell("images without XML file", images, bare, len(pictures), "not used"),
    ]
    return Part(xmls, images, tuple(file.stem for file in used), told=tuple(told))


def _pictures_in(folder: Path) -> Iterator[Path]:
    return (file for file in folder.iterdir() if file.suffix.lower() in SUFFIXES)


def _listed(xmls: Path, images: Path, lists: Path) -> dict[str, Part]:
    """The parts that lists name."""
    parts = {name: _part(xmls, images, lists / f"{name}.txt") for name in _LISTS}
    return {name: part for name, part in parts.items() if part}


def _part(xmls: Path, images: Path, file: Path) -> Part | None:
    """The names of a list that have an XML file; others are reported."""
    if not file.is_file():
        return None
    there = {one.stem for one in xml_files(xmls)}
    stems, breeds, missing = list[str](), dict[str, tuple[int, str]](), list[str]()
    for line in read_text(file).splitlines():
        fields = line.split()
        if not fields or fields[0].startswith("#"):
            continue
        stem = _stem(line.strip(), there)
        if stem not in there:
            missing.append(stem)
            continue
        stems.append(stem)
        name = re.fullmatch(r"(.+)_\d+", stem)
        if len(fields) == 4 and name and re.fullmatch("[0-9]{1,9}", fields[1]):
            breeds[stem] = (int(fields[1]), name[1])
    told = _tell(
        "listed images left out",
        file,
        missing,
        len(stems) + len(missing),
        "no XML file; one without objects makes a background",
    )
    return Part(xmls, images, tuple(stems), breeds, tuple(told)) if stems else None


def _stem(line: str, there: set[str]) -> str:
    """The file that a line means: by its name, with suffix or path, or followed by numbers."""
    first = line.split()[0]
    for written in (line, first):
        name = written.replace("\\", "/").rsplit("/", 1)[-1]
        for stem in (name, name.rpartition(".")[0]):
            if stem in there:
                return stem
    return first


def _tell(kind: str, where: Path, names: list[str], total: int, why: str) -> list[Finding]:
    if not names:
        return []
    detail = f"{len(names)} of {total} ({why}): {first_of(names)}"
    return [Finding(kind, "dropped", str(where), None, detail)]
