"""The images that a list means: by path, by name alone, or by a name without suffix."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from pathlib import Path, PurePosixPath

from datasets.errors import InputError
from datasets.images import is_picture, pictures_below, walk_files
from datasets.names import shown

# So many names of a list are looked at to tell how it writes them.
_LOOKED_AT = 50


def find_pictures(
    file: Path, written: Sequence[str], labels: Sequence[str] | None = None
) -> list[str]:
    """The path of each image (N,) that a list names.

    Lists of competitions name images by a number, and only the folder below has the rest:
    ``10_left`` is ``train/10_left.jpeg``. What is not found stays as written, for the data doctor
    to report.

    Args:
        file: The list; images lie beside it or below.
        written: What it names them by.
        labels: Class of each. Of several images that a name fits, the one in the class's folder
            is meant.

    Raises:
        InputError: If a name fits several images; it names two of them.
    """
    as_is = [_beside(str(file.parent), name) for name in written]
    if all(map(os.path.exists, as_is[:: max(1, len(as_is) // _LOOKED_AT)])):
        return as_is
    folder = file.parent
    below = [PurePosixPath(os.path.relpath(one, folder)) for one in pictures_below(folder)]
    there = {str(path) for path in below}
    named: dict[str, list[PurePosixPath]] = {}
    for path in below:
        for key in {path.name, path.stem}:
            named.setdefault(key, []).append(path)
    return [
        path if name in there else str(folder / _meant(file, name, named, label))
        for name, path, label in zip(written, as_is, labels or [""] * len(written), strict=True)
    ]


def _beside(folder: str, name: str) -> str:
    """A path that a list writes, which may be absolute; a million are joined in a second."""
    plain = f"{folder}{os.sep}{name}"
    return str(Path(folder, name)) if "//" in plain or "./" in plain else plain


def _meant(
    file: Path, name: str, named: dict[str, list[PurePosixPath]], label: str
) -> PurePosixPath:
    """The image below a list's folder that a name means, or the name itself."""
    written = PurePosixPath(name.replace("\\", "/"))
    fits = named.get(written.name, [])
    for depth in range(len(written.parts) - 1):  # A lone name may be another image's.
        above = slice(-2 - depth, -1)
        closer = [one for one in fits if one.parts[above] == written.parts[above]]
        fits = closer or (fits if depth else [])
    if len(fits) > 1:
        fits = _in_part_of(file, fits) or fits
    if len(fits) > 1:
        fits = [one for one in fits if one.parent.name == label] or fits
    if len(fits) > 1:
        raise InputError(
            f"{shown(file)}: {name!r} may be {shown(fits[0])} or {shown(fits[1])}; write the path "
            "there, with its folder and suffix"
        )
    return fits[0] if fits else written


def _in_part_of(file: Path, fits: list[PurePosixPath]) -> list[PurePosixPath]:
    """Those that lie in the folder of the part that the list is named after."""
    for part in ("train", "val", "test"):
        if file.stem.lower().startswith(part):
            return [one for one in fits if one.parts[0].lower().startswith(part)]
    return []


def names_pictures(file: Path, written: Iterable[str]) -> bool:
    """Whether any image beside a list, or below, has one of these names."""
    names = {name.replace("\\", "/").rpartition("/")[2] for name in written}
    found = (name for _, files in walk_files(file.parent) for name in files if is_picture(name))
    return any(name in names or name.rpartition(".")[0] in names for name in found)
