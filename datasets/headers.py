"""Remembers what images state about themselves, so that a large set is not read twice.

For each folder of images there is one file in the user's cache folder, with the size and the time
of change of each image. A header is read again if one of them has changed. Small sets are read
again each time: that is quicker than asking.
"""

from __future__ import annotations

import hashlib
import os
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import NamedTuple

import numpy as np

from datasets.errors import InputError
from datasets.images import probe_image

# The environment's word for the cache folder; empty keeps nothing.
CACHE = "MOBILENETS_CACHE"
# A folder of fewer images is not worth a file.
LEAST_IMAGES = 5000
_FORMAT = 1
# Bytes at the end of an image that its digest covers.
_END = 4096
# A file that was changed a moment ago may be changed again at what its clock calls the same time.
_SETTLED = 2_000_000_000  # Nanoseconds.


_LOCK = threading.RLock()


class Header(NamedTuple):
    """What an image file states about itself.

    Attributes:
        width: Width of the stored pixels.
        height: Height of the stored pixels.
        sideways: Whether EXIF turns them sideways.
        ending: Digest of the last bytes, in which two images differ.
    """

    width: int
    height: int
    sideways: bool
    ending: int


class Headers:
    """Headers of the images of one folder.

    Args:
        folder: The folder; images in folders below it have headers of their own.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._new = 0
        self._seen: dict[str, tuple[int, int]] | None = None
        # Size, time of change in nanoseconds, and what the header says.
        self._known: dict[str, tuple[int, int, Header]] = {}
        if (file := self._file()) is not None:
            self._known = _read(file)

    def probe(self, name: str) -> Header:
        """Header of an image in the folder. Raises InputError if it is missing or damaged."""
        path = f"{self._folder}{os.sep}{name}"
        version = self._versions().get(name) or _version(path)
        if version is None:
            return _read_header(path)  # It says what is wrong.
        known = self._known.get(name)
        if known is not None and known[:2] == version:
            return known[2]
        header = _read_header(path)
        if time.time_ns() - version[1] < _SETTLED:
            return header
        self._known[name] = (*version, header)
        self._new += 1
        return header

    def _versions(self) -> dict[str, tuple[int, int]]:
        """Size and time of all files, if most are known: one look at the folder, not a million."""
        if self._seen is None:
            with _LOCK:
                if self._seen is None:
                    self._seen = _scan(self._folder) if len(self._known) >= LEAST_IMAGES else {}
        return self._seen

    def keep(self) -> None:
        """Write what is new, if it is much; a cache that cannot be written is no error.

        What is there is looked at anew the next time.
        """
        self._seen = None
        file = self._file()
        if file is None or self._new < LEAST_IMAGES:
            return
        names = sorted(self._known)
        rows = np.array([(*self._known[n][:2], *self._known[n][2]) for n in names], np.int64)
        text = "\0".join(names).encode("utf-8", errors="surrogateescape")
        out = None
        try:
            file.parent.mkdir(parents=True, exist_ok=True)
            with tempfile.NamedTemporaryFile(dir=file.parent, delete=False) as out:
                np.savez(out, format=_FORMAT, names=np.frombuffer(text, np.uint8), rows=rows)
            Path(out.name).replace(file)
        except OSError:
            if out is not None:
                Path(out.name).unlink(missing_ok=True)
            return
        self._new = 0

    def _file(self) -> Path | None:
        folder = cache_folder()
        if folder is None:
            return None
        place = os.path.realpath(self._folder).encode("utf-8", errors="surrogateescape")
        return folder / "headers" / f"{hashlib.blake2b(place, digest_size=16).hexdigest()}.npz"


_OPENED: dict[str, Headers] = {}


def probe_file(path: str) -> Header:
    """The header of an image file, which is read only if its folder's headers lack it.

    Raises:
        InputError: If the file is missing, cut short, or not an image.
    """
    folder, name = os.path.split(path)
    headers = _OPENED.get(folder)
    if headers is None:
        with _LOCK:
            headers = _OPENED.setdefault(folder, Headers(Path(folder)))
    return headers.probe(name)


def ending_of(path: str) -> int:
    """Digest of a file's last bytes; of a file that is no image, of them all."""
    try:
        return probe_file(path).ending
    except InputError:
        return int.from_bytes(
            hashlib.blake2b(Path(path).read_bytes(), digest_size=8).digest(), "big"
        )


def _version(path: str) -> tuple[int, int] | None:
    """Size and time of change of a file; None if there is none."""
    try:
        found = os.stat(path)  # noqa: PTH116 (millions of names)
    except (OSError, ValueError):
        return None
    return found.st_size, found.st_mtime_ns


def _scan(folder: Path) -> dict[str, tuple[int, int]]:
    """Size and time of change of the files in a folder."""
    found = {}
    try:
        with os.scandir(folder) as entries:
            for one in entries:
                told = one.stat()
                found[one.name] = (told.st_size, told.st_mtime_ns)
    except OSError:  # Each file is then looked at by itself.
        return {}
    return found


def _read_header(path: str) -> Header:
    width, height, sideways = probe_image(path)
    with open(path, "rb", buffering=0) as file:  # noqa: PTH123 (millions of names)
        file.seek(max(0, file.seek(0, os.SEEK_END) - _END))
        return Header(width, height, sideways, _digest(file.read(_END)))


def _digest(content: bytes) -> int:
    """Eight bytes as a signed number."""
    found = hashlib.blake2b(content, digest_size=8).digest()
    return int.from_bytes(found, "big", signed=True)


def keep_headers() -> None:
    """Write what was read since the last time, of large folders."""
    for headers in [*_OPENED.values()]:
        headers.keep()


def cache_folder() -> Path | None:
    """The user's cache folder for this suite; None if nothing shall be kept."""
    told = os.environ.get(CACHE)
    if told is not None:
        return Path(told) if told else None
    if sys.platform == "win32":
        base = os.environ.get("LOCALAPPDATA")
        return Path(base) / "mobilenet-suite" if base else None
    if sys.platform == "darwin":
        return Path.home() / "Library/Caches/mobilenet-suite"
    base = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    return Path(base) / "mobilenet-suite"


def _read(file: Path) -> dict[str, tuple[int, int, Header]]:
    """What a file of the cache holds; nothing if it is damaged or of another version."""
    try:
        with np.load(file, allow_pickle=False) as found:
            if found["format"] != _FORMAT:
                return {}
            text = found["names"].tobytes().decode("utf-8", errors="surrogateescape")
            rows = found["rows"].tolist()
        names = text.split("\0")
        return {
            name: (size, time, Header(width, height, bool(sideways), ending))
            for name, (size, time, width, height, sideways, ending) in zip(
                names, rows, strict=True
            )
        }
    except Exception:  # Of a damaged archive nearly anything is raised.
        return {}
