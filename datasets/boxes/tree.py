"""The files below a path that may describe boxes, by their content."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from datasets.claims import Strength
from datasets.errors import InputError
from datasets.images import is_passed_over, pictures_below, walk_files
from datasets.part_names import PART_NAMES, is_part
from datasets.shards.finding import expand, is_pattern
from datasets.text import read_head

TRAIN_WORDS = ("train", "trainval", "training")
VAL_WORDS = ("minival", "val", "valid", "validation")
TEST_WORDS = ("test", "testing")
_TOLD_IN = frozenset((".json", ".jsonl", ".csv", ".tsv", ".xml", ".txt", ".tar"))
# Files that tell of single images, which they are named after.
_TOLD_BESIDE = (".xml", ".json", ".txt")
# Folders below the path that are looked into for files that tell of boxes.
_DEEPEST = 3
# Bytes of a file that are looked into: at first, and where these decide nothing.
_HEAD, _MORE = 2**16, 2**20
# Names of fields, of which so many must stand in a file's first bytes.
_JSON_KINDS: tuple[tuple[str, int, tuple[bytes, ...]], ...] = (
    ("labelme", 2, (b'"shapes"', b'"imagePath"', b'"imageData"', b'"imageHeight"')),
    ("via", 1, (b'"_via_', b'"shape_attributes"', b'"region_attributes"')),
    (
        "label_studio",
        1,
        (b'"rectanglelabels"', b'"polygonlabels"', b'"ellipselabels"', b'"file_upload"'),
    ),
    ("label_studio", 3, (b'"annotations"', b'"result"', b'"data"')),
    ("coco", 2, (b'"images"', b'"annotations"', b'"categories"', b'"file_name"', b'"bbox"')),
)


@dataclass(frozen=True)
class Hints:
    """What the user says of a set.

    Attributes:
        format: Name of the format; None leaves it to the evidence.
        images: Folder of the images where they lie elsewhere.
    """

    format: str | None = None
    images: Path | None = None


class Tree:
    """Files below a path, which is walked through once.

    Args:
        path: Folder, or a file or a pattern of shards that the user named.
        images: Folder of the images where they lie elsewhere.
    """

    def __init__(self, path: Path, images: Path | None = None) -> None:
        self.path, self.images = path, images
        self._kinds: dict[Path, str] = {}

    @property
    def base(self) -> Path:
        """The folder; of a file that was named, the one that it lies in."""
        return self.path if self.path.is_dir() else self.path.parent

    def strength(self, strength: Strength) -> Strength:
        """That of a claim; the strongest where the user named a file."""
        is_named = self.path.is_file() or is_pattern(self.path)
        return Strength.NAMED if is_named else strength

    def files(self, *suffixes: str) -> list[Path]:
        """Files of these suffixes, the nearest first; only the one that the user named."""
        return [file for file in self._told if file.suffix.lower() in suffixes]

    @cached_property
    def _told(self) -> list[Path]:
        if self.path.is_file():
            return [self.path]
        if is_pattern(self.path):
            return [*expand(self.path)]
        found = []
        for folder, folders, names in os.walk(self.path):
            depth = len(Path(folder).relative_to(self.path).parts)
            folders[:] = [one for one in folders if depth < _DEEPEST and not is_passed_over(one)]
            for name in names:
                suffix = os.path.splitext(name)[1].lower()  # noqa: PTH122 (millions of names)
                if suffix in _TOLD_IN and not is_passed_over(name):
                    found.append((depth, Path(folder) / name))
        return [file for _, file in sorted(found)]

    def json_kind(self, file: Path) -> str:
        """Which format's words stand in a JSON file, damaged or not; empty if none do."""
        if file not in self._kinds:
            self._kinds[file] = _kind_of(read_head(file, _HEAD)) or _kind_of(
                read_head(file, _MORE)
            )
        return self._kinds[file]

    def json_files(self, kind: str) -> list[Path]:
        """JSON files with the words of a format."""
        return [file for file in self.files(".json") if self.json_kind(file) == kind]

    def name_of(self, file: Path) -> str:
        """A file as messages call it: below the path."""
        return str(file.relative_to(self.base)) if file.is_relative_to(self.base) else str(file)


def count_described(folder: Path) -> tuple[int, int]:
    """Number of images below a folder that have a file that may describe them, and of all."""
    pictures = [Path(file).stem for file in pictures_below(folder)]
    names = {*pictures}
    told = (Path(one) / name for one, found in walk_files(folder) for name in found)
    described = {
        file.with_suffix("")
        for file in told
        if file.suffix.lower() in _TOLD_BESIDE and file.stem in names
    }
    return min(len(described), len(pictures)), len(pictures)


def first_fields(file: Path) -> list[str]:
    """What blanks part in the first line of a file, as far as it can be read."""
    line, _, _ = read_head(file).decode("utf-8-sig", errors="replace").partition("\n")
    return line.split()


def _kind_of(head: bytes) -> str:
    for kind, least, words in _JSON_KINDS:
        if sum(word in head for word in words) >= least:
            return kind
    return ""


def words_of(base: Path, file: Path) -> set[str]:
    """Words in a file's name, or of the nearest folder above it whose name means a part."""
    parts = file.relative_to(base).parts if file.is_relative_to(base) else (file.name,)
    for name in (file.stem, *reversed(parts[:-1])):
        if side_of(words := split_words(name)):
            return words
    return set()


def split_words(name: str) -> set[str]:
    """Runs of small letters in a name."""
    return set(re.findall("[a-z]+", name.lower()))


def side_of(words: set[str]) -> str:
    """The part that words mean: ``train``, ``val`` or ``test``; empty if none."""
    rows = (("train", TRAIN_WORDS), ("val", VAL_WORDS), ("test", TEST_WORDS))
    return next((part for part, names in rows if words & {*names}), "")


def split_files(
    base: Path, files: Sequence[Path], is_named: Callable[[Path], bool] = lambda _file: False
) -> tuple[dict[str, Path], str]:
    """The files of each part, by words in their names, and why none is to test on.

    Of several that could be the part to test on none is, where there is one to validate on; the
    reason is empty otherwise.

    Args:
        base: Folder of the set.
        files: Files that describe boxes.
        is_named: Whether a file has the name that the format gives it; such a one wins.

    Raises:
        InputError: If several could be the same part.
    """
    words = {file: words_of(base, file) for file in files}
    sides = {file: side_of(words[file]) for file in files}
    to_train = [file for file in files if sides[file] == "train"]
    found = {"train": to_train} if to_train else {}
    for part, names in (("val", VAL_WORDS), ("test", TEST_WORDS)):
        for word in names:
            named = [file for file in files if word in words[file] and sides[file] == part]
            if named and part not in found:
                found[part] = named
    if not found and files:
        found["train"] = [*files]
    chosen = {part: _named(several, is_named) for part, several in found.items()}
    unclear = ""
    if "val" in chosen and len(chosen.get("test", [])) > 1:
        unclear = _unclear(base, chosen.pop("test"))
    return {part: _only(base, several) for part, several in chosen.items()}, unclear


def by_part(base: Path, files: Sequence[Path]) -> tuple[dict[str, tuple[Path, ...]], list[Path]]:
    """Files of images by the folders that are parts; all train if there is none to train on.

    Returns:
        Files by ``train``, ``val`` and ``test``, and those that are in none.
    """
    folders: dict[str, list[Path]] = {}
    for file in files:
        inside = file.relative_to(base).parts[:-1] if file.is_relative_to(base) else ()
        name = next((one for one in map(str.lower, reversed(inside)) if is_part(one)), "")
        folders.setdefault(name, []).append(file)
    found = {}
    for split, names in PART_NAMES.items():
        for name in names:
            if name in folders and split not in found:
                found[split] = tuple(folders.pop(name))
    if "train" not in found:
        return {"train": tuple(files)}, []
    return found, [file for several in folders.values() for file in several]


def _named(files: list[Path], is_named: Callable[[Path], bool]) -> list[Path]:
    """Those of some files that have the format's own name, or all if none has."""
    return [file for file in files if is_named(file)] or files


def _only(base: Path, named: list[Path]) -> Path:
    """The file of a part, where only one can be meant."""
    if len(named) > 1:
        raise InputError(_unclear(base, named))
    return named[0]


def _unclear(base: Path, named: list[Path]) -> str:
    """What to say of several files that could be one part."""
    one_folder = len({file.parent for file in named}) == 1
    where = named[0].parent if one_folder else base
    names = " and ".join(str(file.relative_to(where)) for file in named[:3])
    return f"{where}: holds {names}, of which any may be meant; name the file itself"
