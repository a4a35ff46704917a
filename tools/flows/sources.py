"""What predict.py reads: files, folders, patterns, lists, archives, addresses, streams, cameras.

Every source gives its entries one after another and can be gone through again, so that memory does
not grow with their number.
"""

from __future__ import annotations

import csv
import glob
import os
import sys
import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from itertools import chain, islice
from pathlib import Path, PurePath
from typing import BinaryIO

from datasets.errors import InputError
from datasets.image_tree import files_in_order
from datasets.images import SUFFIXES, Image, is_picture, read_image
from datasets.names import is_file, is_folder, is_there, odd_file, refused_name, safe_name, shown
from datasets.packed_pictures import Photo, archives_in, is_packed, photos_of
from datasets.shards.finding import is_pattern
from tools.flows.addresses import fetch_image, is_address, suffix_of, without_password
from tools.flows.videos import VIDEOS, Film

STDIN = "-"
LISTS = frozenset({".txt", ".csv"})
# First cells of CSV files that are titles rather than paths.
_TITLES = frozenset({"file", "file_name", "filename", "path", "image", "image_path", "name"})
_MARK = b"\xef\xbb\xbf"
# Suffixes of what is written, which no folder beside it may have.
_WRITTEN = SUFFIXES | {".mp4", ".txt", ".xml"}


@dataclass(frozen=True)
class Entry:
    """An image, or a video or stream.

    Attributes:
        name: Name in the results.
        place: Path of what is written for it, relative to the output folder.
        read: Function that reads the image, (H, W, 3) RGB, upright; None for a film.
        film: The video or stream; None for an image.
        parent: Folder in which its file lies; None if it is no file of its own.
    """

    name: str
    place: str
    read: Callable[[], Image] | None = None
    film: Film | None = None
    parent: str | None = None


@dataclass(frozen=True)
class Source:
    """What one argument stands for.

    Attributes:
        entries: Function that begins to go through its entries.
        live: Whether it is a stream or camera, which cannot be gone through again.
    """

    entries: Callable[[], Iterator[Entry]]
    live: bool = False


class Sources:
    """All entries that a prediction processes, in order.

    Args:
        sources: Sources, one for each argument.
        out: Output folder, in which no original may lie.

    Attributes:
        count: Number of entries.
        live: Whether there is a stream or camera.
        films: Whether there is a video, stream or camera.

    Raises:
        InputError: If an original lies in the output folder, where results could overwrite it.
    """

    def __init__(self, sources: Sequence[Source], out: Path) -> None:
        self._sources = sources
        self.live = any(one.live for one in sources)
        self.count, self.films = 0, False
        for entry in _outside(iter(self), out):
            self.count += 1
            self.films |= entry.film is not None

    def __iter__(self) -> Iterator[Entry]:
        """Go through all entries."""
        return chain.from_iterable(one.entries() for one in self._sources)

    def bounds(self, share: tuple[int, int]) -> tuple[int, int]:
        """First entry of a share, and the one after its last. Raises InputError for streams."""
        number, parts = share
        if parts > 1 and self.live:
            raise InputError(f"--part {number}/{parts}: a stream cannot be divided")
        return self.count * (number - 1) // parts, self.count * number // parts


@contextmanager
def open_sources(arguments: Sequence[str], out: Path) -> Iterator[Sources]:
    """The sources that arguments stand for.

    Args:
        arguments: Arguments of the command line.
        out: Output folder, which is left out of folders, and in which no image may lie.

    Raises:
        InputError: If one stands for nothing, or what it stands for lies in the output folder.
    """
    if not arguments:
        raise InputError("no PATH given: name images, folders, videos or streams")
    with tempfile.TemporaryFile() as spool:
        found = Sources([_source(one, out, spool) for one in arguments], out)
        if not found.count:
            known, given = ", ".join(sorted(SUFFIXES)), map(without_password, arguments)
            raise InputError(f"{', '.join(given)}: no images there (looked for {known})")
        yield found


def _outside(entries: Iterable[Entry], out: Path) -> Iterator[Entry]:
    """Entries, none of which lies in the output folder."""
    home = os.path.realpath(out)
    last: str | None = None
    for entry in entries:
        # A name with a NUL is that of no file; reading it says so.
        if entry.parent is not None and "\0" not in entry.name:
            places = [entry.name] if os.path.islink(entry.name) else []  # noqa: PTH114 (millions)
            if entry.parent != last:
                last = entry.parent
                places.append(last)
            if any(_is_below(place, home) for place in places):
                raise InputError(
                    f"--out {out}: would overwrite {shown(entry.name)}, which lies there; choose "
                    "another folder"
                )
        yield entry


def _is_below(place: str, home: str) -> bool:
    """Whether a path leads to a folder, or below it."""
    real = os.path.realpath(place)
    return real == home or real.startswith(home + os.sep)


def _source(argument: str, out: Path, spool: BinaryIO) -> Source:
    path = Path(argument)
    if argument == STDIN:
        return _spooled(_standard_input(), spool, Path())
    if is_address(argument):
        return Source(partial(_one, _of_address(argument)), live=not _is_image(argument))
    if why := refused_name(path):
        raise InputError(f"{shown(argument)[:200]!r}: no name that a file can have ({why})")
    if is_folder(path):
        return _of_folder(path, out)
    if is_pattern(path):
        return _of_archives(path)
    if argument.isdecimal() and not is_there(path):
        film = Film(int(argument), live=True)
        camera = Entry(f"camera {argument}", f"camera-{argument}", film=film)
        return Source(partial(_one, camera), live=True)
    if glob.has_magic(argument) and not is_there(path):
        return _of_pattern(argument, spool, out)
    if not is_there(path):
        raise InputError(f"{shown(argument)}: no such file or folder")
    if path.suffix.lower() in LISTS:
        return _of_list(path)
    return _of_archives(path) if is_packed(path) else Source(partial(_one, _of_file(argument)))


def _one(entry: Entry) -> Iterator[Entry]:
    yield entry


def _of_file(name: str, base: str | None = None) -> Entry:
    """A file, whose place is its name, or its path below a base."""
    place = PurePath(name).name if base is None else _below(name.removeprefix(base))
    parent = os.path.dirname(name)  # noqa: PTH120 (millions of names)
    if os.path.splitext(name)[1].lower() in VIDEOS:  # noqa: PTH122
        return Entry(name, place, film=Film(Path(name)), parent=parent)
    return Entry(name, place, read=partial(read_image, name, upright=True), parent=parent)


def _of_photo(photo: Photo, base: Path) -> Entry:
    """An image in an archive; names in an archive lead nowhere else."""
    name = str(photo.path)
    *folders, last = map(safe_name, _below(name.removeprefix(str(base))).split("/"))
    # An archive may hold both a.jpg and a.jpg/b.jpg, a disk may not.
    parts = [f"{one}_" if _suffix(one) in _WRITTEN else one for one in folders]
    return Entry(name, "/".join([*parts, last]), read=photo.image)


def _suffix(name: str) -> str:
    return os.path.splitext(name)[1].lower()  # noqa: PTH122 (millions of names)


def _below(name: str) -> str:
    """A path without what would lead out of a folder."""
    parts = (part for part in name.replace("\\", "/").split("/") if part not in ("", ".", ".."))
    return "/".join(part.rstrip(":") or "_" for part in parts) or "_"


def _of_folder(folder: Path, out: Path) -> Source:
    """The images and videos below a folder; if there are none, those in its archives."""
    base = str(folder)

    def entries() -> Iterator[Entry]:
        for name in files_in_order(folder, out):
            is_video = os.path.splitext(name)[1].lower() in VIDEOS  # noqa: PTH122
            if is_video or is_picture(os.path.basename(name)):  # noqa: PTH119
                yield _of_file(name, base)

    return Source(entries) if next(entries(), None) else _of_archives(folder)


def _of_archives(path: Path) -> Source:
    archives = archives_in(path)
    base = path if path.is_dir() else path.parent

    def entries() -> Iterator[Entry]:
        for archive in archives:
            for photo in photos_of(archive):
                yield _of_photo(photo, base)

    if archives and next(entries(), None) is None:
        raise InputError(f"{archives[0]}: holds no images")
    return Source(entries)


def _of_pattern(pattern: str, spool: BinaryIO, out: Path) -> Source:
    """The images and videos that a pattern matches; places are below its fixed folders.

    Those in the output folder are left out, as in folders, unless there are no others.
    """
    fixed = list[str]()
    for part in Path(pattern).parts[:-1]:
        if glob.has_magic(part):
            break
        fixed.append(part)
    base = str(Path(*fixed)) if fixed else ""
    known = SUFFIXES | VIDEOS
    names = sorted(
        name
        for name in glob.iglob(pattern, recursive=True)  # noqa: PTH207 (of texts)
        if os.path.splitext(name)[1].lower() in known and is_file(name)  # noqa: PTH122
    )
    if not names:
        raise InputError(f"{pattern}: matches no image or video")
    home = os.path.realpath(out)
    is_own = {parent: _is_below(parent, home) for parent in set(map(os.path.dirname, names))}
    names = [name for name in names if not is_own[os.path.dirname(name)]] or names  # noqa: PTH120
    return _spooled((os.fsencode(name) + b"\n" for name in names), spool, None, base)


def _standard_input() -> Iterator[bytes]:
    if sys.stdin is None or sys.stdin.isatty():
        raise InputError("-: give a list of paths on standard input, one per line")
    yield from sys.stdin.buffer


def _spooled(lines: Iterable[bytes], spool: BinaryIO, near: Path | None, base: str = "") -> Source:
    """Paths that are known only now, kept on the disk to be gone through again."""
    start = spool.seek(0, os.SEEK_END)
    for line in lines:
        spool.write(line if line.endswith(b"\n") else line + b"\n")
    length = spool.tell() - start

    def names() -> Iterator[str]:
        place, left = start, length
        while left:
            spool.seek(place)
            line = spool.readline()
            place, left = place + len(line), left - len(line)
            if text := _text(line):
                yield text

    if near is None:
        return Source(lambda: (_of_file(name, base) for name in names()))
    return Source(lambda: (_listed(name, near, "standard input") for name in names()))


def _of_list(file: Path) -> Source:
    if what := odd_file(file):
        raise InputError(f"{shown(file)}: is {what}, and no list of paths")
    with file.open("rb") as opened:
        if opened.read(2) in (b"\xff\xfe", b"\xfe\xff"):
            raise InputError(f"{shown(file)}: not text in UTF-8; save it as UTF-8 text")

    def entries() -> Iterator[Entry]:
        with file.open("rb") as opened:
            lines = filter(None, map(_text, opened))
            is_table = file.suffix.lower() == ".csv"
            names = _first_cells(lines, shown(file)) if is_table else lines
            for name in names:
                yield _listed(name, file.parent, shown(file))

    return Source(entries)


def _text(line: bytes) -> str:
    return os.fsdecode(line.removeprefix(_MARK)).strip()


def _first_cells(lines: Iterator[str], where: str) -> Iterator[str]:
    """The first cell of each line; a quotation mark too many spoils no other line."""
    for number, line in enumerate(lines):
        try:
            row = next(csv.reader([line]), [])
        except csv.Error as error:
            raise InputError(f"{where}: no table of paths ({error})") from error
        if row and row[0] and (number or row[0].strip().lower() not in _TITLES):
            yield row[0].strip()


def _listed(name: str, folder: Path, where: str) -> Entry:
    """An entry of a list: relative to the list's folder or, if it is not there, to this one."""
    if is_address(name):
        return _of_address(name)
    near = os.path.join(folder, name)  # noqa: PTH118 (millions of names)
    entry = _of_file(near if is_there(near) else name)
    read = None if entry.read is None else partial(_read_listed, entry.read, where)
    return Entry(entry.name, _below(name), read, entry.film, entry.parent)


def _read_listed(read: Callable[[], Image], where: str) -> Image:
    try:
        return read()
    except InputError as error:
        raise InputError(f"{error}; listed in {where}") from error


def _is_image(address: str) -> bool:
    return suffix_of(address) in SUFFIXES


def _of_address(address: str) -> Entry:
    name = without_password(address)
    place = safe_name(name.partition("://")[2])
    if _is_image(address):
        return Entry(name, place, read=partial(fetch_image, address))
    return Entry(name, place, film=Film(address, live=suffix_of(address) not in VIDEOS))


def share_of(sources: Sources, bounds: tuple[int, int]) -> Iterator[tuple[int, Entry]]:
    """Number and entry of each entry of a share."""
    return islice(enumerate(sources), *bounds)
