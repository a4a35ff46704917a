"""Tables of boxes: a line for each box, with a header (TensorFlow, Roboflow) or without.

With one, the columns stand in any order: file name, class, xmin, ymin, xmax, ymax, and perhaps
width and height of the image. Without one a line is ``path,x1,y1,x2,y2,class`` (RetinaNet), and
one without box, ``path,,,,,``, is an image without objects.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from datasets.boxes.described import Described, Told
from datasets.boxes.listed_paths import Finder
from datasets.boxes.one_file import FilePart, claim_files, read_files
from datasets.boxes.structure import DetectionData
from datasets.boxes.tree import Tree
from datasets.claims import Claim, Strength
from datasets.csv_files import as_fields, read_rows, split_header
from datasets.errors import InputError
from datasets.fields import Fields, as_number, as_whole
from datasets.images import is_picture
from datasets.names import in_order
from datasets.text import read_head

_HEAD = 2**16
_CORNERS = ("xmin", "ymin", "xmax", "ymax")
# Names by which tables call the columns.
_COLUMNS = {
    "filename": ("filename", "file_name", "image", "image_name", "image_path", "path", "file"),
    "class": ("class", "label", "class_name", "name", "category"),
    "xmin": ("xmin", "x_min", "x1"),
    "ymin": ("ymin", "y_min", "y1"),
    "xmax": ("xmax", "x_max", "x2"),
    "ymax": ("ymax", "y_max", "y2"),
    "width": ("width", "image_width", "img_width"),
    "height": ("height", "image_height", "img_height"),
}
_NEEDED = ("filename", "class", *_CORNERS)
_WITHOUT_HEADER = ["filename", *_CORNERS, "class"]


def claim(tree: Tree) -> Claim | None:
    """Tables of boxes below a path.

    Raises:
        InputError: If several could be the same part.
    """
    tables = tree.files(".csv", ".tsv")
    files = [file for file in tables if _columns(file)]
    if not files:
        return next(filter(None, (_near(tree, file) for file in tables)), None)
    lists = [one for one in tables if one not in files and one.stem.lower().startswith("class")]
    return claim_files(
        "csv",
        tree,
        files,
        "a box in each line",
        is_named=lambda file: file.name == "_annotations.csv",
        names=lists,
    )


def _columns(file: Path) -> list[str] | None:
    """Names of the columns as this module calls them; None if it is no table of boxes."""
    _, header = split_header(read_head(file, _HEAD))
    names = _known(header)
    if all(needed in names for needed in _NEEDED):
        return names
    return _WITHOUT_HEADER if _is_box(header) else None


def _known(header: list[str]) -> list[str]:
    """Each column by its name here; of two that mean the same, only the first."""
    out: list[str] = []
    for field in header:
        known = next((key for key, names in _COLUMNS.items() if field.lower() in names), field)
        out.append(field if known in out else known)
    return out


def _is_box(fields: list[str]) -> bool:
    """Whether a first line is no header, but an image with or without a box."""
    if len(fields) != len(_WITHOUT_HEADER) or not is_picture(fields[0]):
        return False
    if not any(fields[1:]):
        return True
    return None not in map(as_number, fields[1:5]) and bool(fields[5])


def _near(tree: Tree, file: Path) -> Claim | None:
    """A header that names half of what is needed."""
    known = _known(split_header(read_head(file, _HEAD))[1])
    lacking = [name for name in _NEEDED if name not in known]
    if len(lacking) > 2 or sum(corner in lacking for corner in _CORNERS) > 1:
        return None
    return Claim(
        format="csv",
        strength=Strength.NEAR,
        evidence=f"{tree.name_of(file)} has some columns of boxes",
        lacks=f"but none is called {' or '.join(lacking)}",
    )


def _rows(file: Path) -> Iterator[Fields]:
    """Lines of a table, but for the header."""
    columns = _columns(file)
    if columns is None:
        raise InputError(f"{file}: line 1: no columns {', '.join(_NEEDED)}, and no box either")
    sign, header = split_header(read_head(file, _HEAD))
    is_header = not _is_box(header)
    for number, fields in read_rows(file, sign):
        if not is_header:
            yield as_fields(file, number, columns, fields)
        is_header = False


def read(root: Path, part: FilePart) -> DetectionData:
    """Read the table of a split; the classes are those of all splits, or of a list of classes.

    Raises:
        InputError: If a line lacks a field, or states another size of an image than one before; it
            names file and line.
    """

    def classes(used: set[str]) -> list[str]:
        listed = in_order(used) if part.names is None else _read_classes(part.names)
        for strange in sorted(used - {*listed})[:1]:
            raise InputError(f"{part.names}: does not list {strange!r}, a class of a box")
        return listed

    return read_files("csv", root, part, _read_table, by="a line in a table", classes=classes)


def _read_table(file: Path, finder: Finder, _told: Told) -> list[Described]:
    found: dict[str, Described] = {}
    for row in _rows(file):
        name = row.text("filename")
        picture = found.get(name)
        if picture is None:
            there = finder.find(name, str(row))
            picture = found[name] = Described(there or file.parent / name.replace("\\", "/"))
        if row.has("width") and row.has("height"):
            size = (row.whole("width"), row.whole("height"))
            if picture.size not in (size, (0, 0)):
                wide, high = picture.size
                raise row.error("width", f"a line before says {wide}x{high} of this image")
            picture.size = size
        if any(map(row.has, (*_CORNERS, "class"))):
            picture.add([row.number(corner) for corner in _CORNERS], row.text("class"))
    return list(found.values())


def _read_classes(file: Path) -> list[str]:
    """Names in the order of their numbers: a name and a number in each line."""
    pairs: list[tuple[int, str]] = []
    for line, fields in read_rows(file, split_header(read_head(file, _HEAD))[0]):
        number = as_whole(fields[1]) if len(fields) == 2 else None
        if number is None:
            raise InputError(f"{file}: line {line}: a name and a whole number are needed")
        if number in (one for one, _ in pairs) or fields[0] in (name for _, name in pairs):
            raise InputError(f"{file}: line {line}: {fields[0]!r} or its number stands before")
        pairs.append((number, fields[0]))
    return [name for _, name in sorted(pairs)]
