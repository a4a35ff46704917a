"""Open Images: tables of relative boxes by image id, and names of classes in another table."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from datasets.boxes.described import Described, Told, gather
from datasets.boxes.one_file import FilePart, claim_files
from datasets.boxes.structure import DetectionData
from datasets.boxes.tree import Tree
from datasets.claims import Claim
from datasets.csv_files import as_fields, read_rows, split_header
from datasets.errors import InputError
from datasets.fields import Fields
from datasets.images import pictures_below
from datasets.text import read_head

_CORNERS = ("xmin", "ymin", "xmax", "ymax")
_NEEDED = {"imageid", "labelname", *_CORNERS}


def claim(tree: Tree) -> Claim | None:
    """Tables with Open Images' columns. Raises InputError if several could be the same part."""
    tables = tree.files(".csv")
    files = [file for file in tables if {*_header(file)} >= _NEEDED]
    names = [one for one in tables if "class-descriptions" in one.name or one.stem == "classes"]
    return claim_files(
        "open_images",
        tree,
        files,
        "Open Images' columns",
        is_named=lambda file: "annotations-bbox" in file.name,
        names=names,
    )


def _header(file: Path) -> list[str]:
    return [name.lower() for name in split_header(read_head(file))[1]]


def read(root: Path, part: FilePart) -> DetectionData:
    """Read the table of a split; images that are not here, as most are not, are counted.

    Groups that share a box (IsGroupOf) are crowds: neither trained on nor counted.

    Raises:
        InputError: If no image is here, or a line lacks a field; it names file and line.
    """
    here = {Path(file).stem: Path(file) for file in reversed(pictures_below(part.base))}
    tables = {file: _read_table(file, here) for file in part.files}
    pictures, missing = tables[part.file]
    if not pictures:
        raise InputError(
            f"{part.file}: none of its {len(missing)} images is below {part.base}; say where they "
            "lie by --images"
        )
    told = Told(root)
    for name in sorted(missing):
        told.add("images that are not here", "dropped", name, "of the table's")
    used = {name for found, _ in tables.values() for one in found.values() for name in one.names}
    names = {} if part.names is None else _read_names(part.names)
    for name in sorted(used - names.keys()):
        if part.names is not None or name.startswith("/"):
            told.add("classes without a name", "kept", name, "no class-descriptions table has it")
    titles = {name: names.get(name, name) for name in used}
    twice = Counter(titles.values())
    titles = {key: f"{t} ({key})" if twice[t] > 1 else t for key, t in titles.items()}
    for picture in pictures.values():
        picture.names = [titles[name] for name in picture.names]
    classes = sorted(titles.values())
    chosen = [pictures[name] for name in sorted(pictures)]
    return gather("open_images", root, chosen, classes, told=told, relative=True)


def _read_table(file: Path, here: dict[str, Path]) -> tuple[dict[str, Described], set[str]]:
    """Images that are here, by id, and ids of those that are not."""
    found: dict[str, Described] = {}
    missing: set[str] = set()
    for name, row in _rows(file, here, missing):
        picture = found.setdefault(name, Described(here[name]))
        box = [row.number(corner) for corner in _CORNERS]
        picture.add(box, row.text("labelname"), crowd=_is_group(row))
    return found, missing


def _rows(file: Path, here: dict[str, Path], missing: set[str]) -> Iterator[tuple[str, Fields]]:
    """Lines of images that are here: of millions, few are."""
    sign, _ = split_header(read_head(file))
    header = _header(file)
    at = header.index("imageid")
    lines = read_rows(file, sign)
    next(lines)
    for number, fields in lines:
        name = fields[at] if at < len(fields) else ""
        if name in here:
            yield name, as_fields(file, number, header, fields)
        elif name:
            missing.add(name)
        else:
            raise InputError(f"{file}: line {number}: no ImageID")


def _is_group(row: Fields) -> bool:
    """IsGroupOf; -1 stands for unknown."""
    return row.has("isgroupof") and row.number("isgroupof") == 1


def _read_names(file: Path) -> dict[str, str]:
    """Name of each class by its id."""
    found = {}
    for number, fields in read_rows(file, ","):
        if len(fields) != 2:
            raise InputError(f"{file}: line {number}: an id and a name are needed")
        found[fields[0]] = fields[1]
    return found
