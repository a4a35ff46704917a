"""Accounts for every file below a path: used, or skipped for a stated reason.

While data is opened inside :func:`traced`, the functions that read files note them, readers note
which images have an entry, and the data doctor which of them can be used. So a ledger depends on
no format, and nothing counts as used that was not looked at: ``seen == used + passed over``.
"""

from __future__ import annotations

import os
import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal

from datasets.names import leads_to_folder, shown
from datasets.part_names import is_part

Role = Literal["images", "annotation files", "archives of images"]
PICTURES: Role = "images"
ANNOTATION: Role = "annotation files"
ARCHIVES: Role = "archives of images"

LEFT_BEHIND = "hidden and system files"
NOT_READ = "images of kinds that are not read"
NO_PART = "files that are neither images nor annotation"
UNUSABLE = "images that cannot be used"
NOT_WANTED = "images of parts, classes or people that are not used here"
UNUSED_PART = "a part that is not used; --split, --data or --val can name it"
UNUSED_LISTS = "annotation files of parts that are not used; --split, --data or --val can name one"
LINKED = "links to folders"
SHUT = "folders that cannot be opened"
ODD = "files that are pipes, sockets or devices"
# Number of files that are listed for each reason, and number of annotation files that a reason
# names.
_EXAMPLES, _NAMED = 3, 3
# Suffixes of files that may describe or hold the images of a part.
_LISTS = frozenset((".json", ".jsonl", ".csv", ".tsv", ".txt", ".xml", ".parquet", ".tar"))
# Words that the name of a part's list or folder may contain besides the part's.
_BESIDE = frozenset(("instances", "annotations", "annotation", "boxes", "bbox", "labels", "of"))
_PLURAL = re.compile(r"\b(image|file|folder|link|archive)s\b")


@dataclass
class PassedOver:
    """The files skipped for one reason: their number, their suffixes, and the first of them."""

    count: int = 0
    kinds: Counter[str] = field(default_factory=Counter)
    examples: list[str] = field(default_factory=list)

    def add(self, name: str, suffix: str) -> None:
        """Count a file, given its path below the data set."""
        self.count += 1
        self.kinds[suffix] += 1
        if len(self.examples) < _EXAMPLES:
            self.examples.append(shown(name))


@dataclass(frozen=True)
class Ledger:
    """The files below a path; ``seen == sum(used) + sum(passed over)``.

    Attributes:
        root: The path: a folder, or a file, whose folder is searched.
        used: Number of files used, by what they are used as.
        passed_over: The other files by reason, the most frequent first.
        elsewhere: Number of images that are used, too, but are below no path that was given.
        stand_in: Part that is used for validation if none has that name; otherwise empty.
    """

    root: Path
    used: Mapping[Role, int]
    passed_over: Mapping[str, PassedOver]
    elsewhere: int = 0
    stand_in: str = ""

    @property
    def lost(self) -> int:
        """Number of files that are skipped."""
        return sum(one.count for one in self.passed_over.values())

    @property
    def seen(self) -> int:
        """Number of files below the path."""
        return sum(self.used.values()) + self.lost

    @property
    def title(self) -> str:
        """Title of the table."""
        far = f" (and {_counted(self.elsewhere, 'images elsewhere')})" if self.elsewhere else ""
        return f"files below {shown(self.root)}{far}"

    def line(self) -> str:
        """All counts in one line."""
        told = [_counted(count, role) for role, count in self.used.items()]
        told += [_counted(self.elsewhere, "images elsewhere")] if self.elsewhere else []
        reasons = ", ".join(
            _counted(one.count, f"{_kinds(one)} files" if reason == NO_PART else reason)
            for reason, one in self.passed_over.items()
        )
        told.append(f"{self.lost:,} passed over{f' ({reasons})' if reasons else ''}")
        return f"{shown(self.root)}: {_counted(self.seen, 'files')}: {', '.join(told)}"

    def rows(self) -> list[tuple[str, str, str]]:
        """The table: how many, used as what or why not, and which."""
        rows = [(f"{count:,}", f"used: {role}", "") for role, count in self.used.items()]
        for reason, one in self.passed_over.items():
            names = ", ".join(one.examples) + (", ..." if one.count > len(one.examples) else "")
            rows.append((f"{one.count:,}", f"passed over: {reason}", f"{_kinds(one)}: {names}"))
        return [*rows, (f"{self.seen:,}", "files in all", "")]

    def table(self) -> str:
        """The table as text."""
        lines = [
            f"{count:>9}  {what}{f' ({which})' if which else ''}"
            for count, what, which in self.rows()
        ]
        return "\n".join((f"{self.title}:", *lines))

    def to_json(self) -> dict[str, Any]:
        """The table as data."""
        return {
            "path": self.root,
            "seen": self.seen,
            "used": dict(self.used),
            "pictures_elsewhere": self.elsewhere,
            "passed_over": {
                reason: {
                    "files": one.count,
                    "suffixes": {shown(kind): count for kind, count in one.kinds.items()},
                    "first": one.examples,
                }
                for reason, one in self.passed_over.items()
            },
        }


class Trace:
    """What readers have noted about the files of some data.

    Files are remembered as hashes of their paths, so that a million takes little memory.
    """

    def __init__(self) -> None:
        self._folders: dict[str, str] = {}
        self._roles: dict[int, Role] = {}
        self._entries: set[int] = set()
        self._dropped: dict[int, str] = {}
        self._read: set[str] = set()
        self.stand_ins: dict[Path, str] = {}

    def read(self, file: Path | str, role: Role = ANNOTATION) -> None:
        """Note a file that describes images, or holds them."""
        key = self._key(str(file))
        if key not in self._roles and role == ANNOTATION:
            self._read.add(os.path.basename(file))  # noqa: PTH119 (millions of names)
        self._roles.setdefault(key, role)

    def entries(self, files: Iterable[str]) -> None:
        """Note images that have an entry."""
        self._entries.update(map(self._key, files))

    def used(self, files: Iterable[str]) -> None:
        """Note images that are used, unless they are dropped."""
        self._roles.update(dict.fromkeys(map(self._key, files), PICTURES))

    def dropped(self, files: Iterable[str], reason: str) -> None:
        """Note images that are not used after all."""
        for key in map(self._key, files):
            self._dropped[key] = reason
            self._roles.pop(key, None)

    def use_entries(self) -> None:
        """Count all images that have an entry as used, in any part, unless they were dropped."""
        for key in self._entries - self._dropped.keys():
            self._roles.setdefault(key, PICTURES)

    def _key(self, file: str) -> int:
        folder, sep, name = file.rpartition(os.sep)
        if folder not in self._folders:
            try:
                self._folders[folder] = os.path.realpath(folder + sep)
            except ValueError:  # A list can name what no folder can be called.
                self._folders[folder] = folder
        return hash(f"{self._folders[folder]}{os.sep}{name}")

    def account(self, *paths: Path) -> list[Ledger]:
        """Walk through all files below folders and state what each is used as.

        For a file, those folders beside it are walked through in which something was noted. A link
        to a folder elsewhere is followed if something was noted behind it.
        """
        found = [self._account(path) for path in paths]
        far = sum(role == PICTURES for role in self._roles.values())
        far -= sum(ledger.used[PICTURES] for ledger in found)
        return [replace(one, elsewhere=0 if k else max(far, 0)) for k, one in enumerate(found)]

    def _account(self, path: Path) -> Ledger:
        base = os.path.realpath(path if path.is_dir() else path.parent)
        used: dict[Role, int] = {PICTURES: 0, ANNOTATION: 0}
        passed_over = defaultdict[str, PassedOver](PassedOver)
        noted, unlisted = self._noted_folders(), self._unlisted()
        for file, odd in _walk(base, noted, whole=path.is_dir()):
            key = hash(file)
            if not odd and (role := self._roles.get(key)):
                used[role] = used.get(role, 0) + 1
                continue
            inside = file.removeprefix(f"{base}{os.sep}")
            suffix = os.path.splitext(inside)[1].lower()  # noqa: PTH122 (millions of names)
            reason = odd or self._reason(key, inside, suffix) or unlisted
            if reason in (NO_PART, unlisted):
                reason = _unused_part(base, inside, suffix, noted) or reason
            passed_over[reason].add(inside, suffix)
        ranked = sorted(passed_over.items(), key=lambda row: (-row[1].count, row[0]))
        return Ledger(path, used, dict(ranked), stand_in=self.stand_ins.get(path, ""))

    def _noted_folders(self) -> set[str]:
        """Folders in which files were noted, and the folders above them."""
        found: set[str] = set()
        for folder in self._folders.values():
            while folder not in found:
                found.add(folder)
                folder = os.path.dirname(folder)  # noqa: PTH120 (many folders)
        return found

    def _reason(self, key: int, name: str, suffix: str) -> str:
        """Why an unused file is skipped; empty for images that no annotation names."""
        from datasets.images import SUFFIXES, UNREAD_SUFFIXES, is_passed_over

        folder, _, own = name.rpartition(os.sep)
        if is_passed_over(own) or _is_left_behind(folder):
            return LEFT_BEHIND
        if key in self._dropped:
            return self._dropped[key]
        if key in self._entries:
            return NOT_WANTED
        if suffix in SUFFIXES:
            return ""
        return NOT_READ if suffix in UNREAD_SUFFIXES else NO_PART

    def _unlisted(self) -> str:
        """Description of images that no reader has named."""
        if not self._read:
            return "images outside the folders that are read"
        names = sorted(self._read)
        count = sum(role == ANNOTATION for role in self._roles.values())
        told = ", ".join(names) if len(names) <= _NAMED else f"{count:,} annotation files"
        return f"images with no entry in {shown(told)}"


def _walk(base: str, noted: set[str], *, whole: bool) -> Iterator[tuple[str, str]]:
    """Path of each file, sorted within folders, and why it is not a regular file, if so.

    Args:
        base: Folder, without links in its path.
        noted: Folders that are searched even if only a link leads there.
        whole: Whether to search the other folders below the base, too.
    """
    waiting, followed = [(base, whole)], set[str]()
    while waiting:
        folder, whole = waiting.pop()
        try:
            with os.scandir(folder) as found:
                entries = sorted(found, key=lambda entry: entry.name)
        except OSError:
            yield folder, SHUT
            continue
        for entry in entries:
            if entry.is_dir(follow_symlinks=False):
                if whole or entry.path in noted:
                    waiting.append((entry.path, whole))
            elif entry.is_symlink() and leads_to_folder(entry):
                target = os.path.realpath(entry.path)
                is_far = not (_is_below(target, base) or _is_below(base, target))
                if is_far and target in noted and target not in followed:
                    waiting.append((target, False))
                    followed.add(target)
                else:
                    yield entry.path, LINKED
            else:
                yield entry.path, "" if entry.is_symlink() or entry.is_file() else ODD


def _is_below(path: str, folder: str) -> bool:
    return f"{path}{os.sep}".startswith(f"{folder.rstrip(os.sep)}{os.sep}")


def _counted(count: int, what: str) -> str:
    """A count of things that are named in the plural."""
    told = _PLURAL.sub(r"\1", what, count=1) if count == 1 else what
    return f"{count:,} {told}"


@lru_cache(maxsize=4096)
def _means_part(name: str) -> bool:
    """Whether a name is that of a part, or of a list of one: ``test``, ``instances_val2017``."""
    words = set(re.findall("[a-z]+", name.lower())) - _BESIDE
    return len(words) == 1 and is_part(words.pop())


def _unused_part(base: str, inside: str, suffix: str, noted: set[str]) -> str:
    """A reason that names the part of a file, if nothing in the part is used; otherwise empty."""
    from datasets.images import SUFFIXES

    folders, _, own = inside.rpartition(os.sep)
    place = base
    for name in Path(folders).parts:
        place = f"{place}{os.sep}{name}"
        if _means_part(name) and place not in noted:
            what = "images" if suffix in SUFFIXES else "other files"
            return f"{what} of {shown(name)}/, {UNUSED_PART}"
    is_list = suffix in _LISTS and _means_part(own[: len(own) - len(suffix)])
    return UNUSED_LISTS if is_list else ""


@lru_cache(maxsize=1024)
def _is_left_behind(folder: str) -> bool:
    from datasets.images import is_passed_over  # Exports are run where there is no OpenCV.

    return any(map(is_passed_over, Path(folder).parts))


def _kinds(one: PassedOver) -> str:
    """The suffixes of some files, the most frequent first."""
    told = [kind or "nameless" for kind, _ in one.kinds.most_common(_EXAMPLES)]
    return ", ".join(map(shown, told)) + (", ..." if len(one.kinds) > _EXAMPLES else "")


_active: list[Trace] = []


@contextmanager
def traced() -> Iterator[Trace]:
    """Collect what readers note during the block, in any thread."""
    trace = Trace()
    _active.append(trace)
    try:
        yield trace
    finally:
        _active.remove(trace)


@contextmanager
def untraced() -> Iterator[None]:
    """Keep files read during the block out of the ledger: they are not the user's data."""
    active = [*_active]
    _active.clear()
    try:
        yield
    finally:
        _active.extend(active)


def note_read(file: Path | str, role: Role = ANNOTATION) -> None:
    """Record a file that is read for its annotations, or for the images in it."""
    for trace in _active:
        trace.read(file, role)


def note_stand_in(path: Path, part: str) -> None:
    """Record which part of a data set is used for validation if none is called ``val``."""
    for trace in _active:
        trace.stand_ins[path] = part


def note_entries(files: Sequence[str]) -> None:
    """Record images that a class, list or annotation names."""
    for trace in _active:
        trace.entries(files)


def note_used(files: Sequence[str]) -> None:
    """Record images that are used."""
    for trace in _active:
        trace.used(files)


def note_dropped(files: Sequence[str], reason: str) -> None:
    """Record images that are not used after all, and why: ``pictures that ...``."""
    for trace in _active:
        trace.dropped(files, reason)
