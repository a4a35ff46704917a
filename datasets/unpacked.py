"""The folder that unpackers put into one of its name, and these into another."""

from __future__ import annotations

from pathlib import Path

from datasets.images import is_passed_over

_DEEPEST = 12
# Files about a set, which lie beside it: how their names begin, and their suffixes.
_ABOUT = ("readme", "license", "licence", "citation", "changelog")
_DOCUMENTS = frozenset((".md", ".rst", ".pdf", ".html", ".url"))


def unpacked(path: Path) -> Path:
    """The folder at the end of folders that hold one folder each, or the path.

    Beside that folder there is nothing else but what people write about a set.
    """
    for _ in range(_DEEPEST):
        entries = [one for one in path.iterdir() if not _is_beside_the_point(one)]
        if len(entries) != 1 or entries[0].is_symlink() or not entries[0].is_dir():
            break
        path = entries[0]
    return path


def _is_beside_the_point(entry: Path) -> bool:
    name = entry.name.lower()
    is_about = name.startswith(_ABOUT) or entry.suffix.lower() in _DOCUMENTS
    return is_passed_over(entry.name) or (is_about and entry.is_file())
