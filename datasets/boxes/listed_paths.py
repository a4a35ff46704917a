"""Paths as lists and data files write them, found where the files lie now."""

from __future__ import annotations

import os
from collections.abc import Collection, Sequence
from pathlib import Path

from datasets.boxes.tree import side_of, split_words, words_of
from datasets.errors import InputError
from datasets.images import SUFFIXES, walk_files
from datasets.names import is_file, is_there


def locate(written: str, bases: Sequence[Path], least: int = 2) -> Path | None:
    """The file or folder that a written path means, if it is anywhere.

    Lists are written for another working folder or another machine: leading folders may not be
    here (``data/obj/1.jpg``, ``/home/anna/set/images/1.jpg``, or with backslashes).

    Args:
        written: The path as it stands in the file.
        bases: Folders that it may be relative to, the likeliest first.
        least: Names that must be left of it where leading folders are passed over: a lone name
            may be that of another file.
    """
    as_is = written.replace("\\", "/")
    for base in bases:
        if is_there(base / as_is):
            return base / as_is
    parts = [part for part in as_is.split("/") if part not in ("", ".", "..")]
    for first in range(max(len(parts) - least + 1, min(len(parts), 1))):
        for base in bases:
            if is_there(inside := base.joinpath(*parts[first:])):
                return inside
    return None


class Finder:
    """Images below a folder, by what annotations call them.

    Args:
        base: Folder that is searched, if need be.
        near: Folders that names are relative to, the likeliest first; the base is always one.
        suffixes: Suffixes of the files.
        described_by: File that names the images. If it lies below the base and is of one part,
            nothing is looked for in folders of the other: images there may have the same names.
    """

    def __init__(
        self,
        base: Path,
        near: Sequence[Path] = (),
        suffixes: Collection[str] = SUFFIXES,
        described_by: Path | None = None,
    ) -> None:
        within = described_by is not None and described_by.is_relative_to(base)
        self._side = side_of(words_of(base, described_by)) if described_by and within else ""
        self.base, self.near, self._suffixes = base, (*near, base), suffixes
        self._found: dict[str, list[str]] | None = None

    def find(self, written: str, where: str) -> Path | None:
        """The image that a written path or name means, if it is anywhere.

        What lies where it is written wins; else the only one below the folder whose path ends as
        the written one does, in as many names as any. A name without suffix is any image's.

        Args:
            written: Path or name as in the file.
            where: File and place, for the message.

        Raises:
            InputError: If several fit as well; it names them.
        """
        as_is = written.replace("\\", "/")
        for folder in self.near:
            if is_file(found := folder / as_is):
                return found
        names = [part for part in as_is.lower().split("/") if part not in ("", ".", "..")]
        if not names:
            return None
        candidates = self._index().get(names[-1], [])
        for count in range(len(names), 0, -1):
            end = "/" + "/".join(names[-count:])
            fitting = [file for file in candidates if _ends(f"/{file}".lower(), end)]
            exact = [file for file in fitting if file.endswith(as_is[-len(end) + 1 :])]
            fitting = exact if len(exact) == 1 else fitting
            if len(fitting) > 1:
                several = ", ".join(sorted(fitting)[:3])
                raise InputError(
                    f"{where}: {written[:80]!r} fits {len(fitting)} files below {self.base}: "
                    f"{several}; write more of the path, or name their folder by --images"
                )
            if fitting:
                return self.base / fitting[0]
        return None

    def _index(self) -> dict[str, list[str]]:
        """Paths below the base by small-lettered name, with and without suffix."""
        if self._found is None:
            self._found = {}
            for folder, names in walk_files(self.base):
                inside = os.path.relpath(folder, self.base)
                prefix = "" if inside == "." else f"{inside.replace(os.sep, '/')}/"
                sides = {side_of(split_words(one)) for one in prefix.split("/")}
                if self._side and sides - {"", self._side}:
                    continue
                for name in sorted(names):
                    stem, suffix = os.path.splitext(name.lower())  # noqa: PTH122
                    if suffix in self._suffixes:
                        self._found.setdefault(stem + suffix, []).append(prefix + name)
                        self._found.setdefault(stem, []).append(prefix + name)
        return self._found


def _ends(path: str, end: str) -> bool:
    """Whether a path ends so, with or without its suffix."""
    return path.endswith(end) or os.path.splitext(path)[0].endswith(end)  # noqa: PTH122
