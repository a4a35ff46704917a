"""File names of any bytes: displayed safely, and passed to libraries that need plain text.

A file name is a sequence of bytes; Python keeps those that are not UTF-8 as lone surrogates, which
neither a terminal nor a UTF-8 file nor OpenCV accepts.
"""

from __future__ import annotations

import errno
import math
import os
import re
import stat
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from datasets.errors import InputError

_SURROGATE = re.compile("[\ud800-\udfff]")
# In addition, what a terminal obeys as a command: to clear itself, to write over other lines.
_NOT_SHOWN = re.compile("[\ud800-\udfff\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f]|\r(?!\n)")
# Largest number of bytes of a name, with room for a suffix: file systems permit 255.
_LONGEST_NAME = 200
# Surrogates for the bytes 0x80 to 0xff of a file name (PEP 383).
_BYTES = range(0xDC80, 0xDD00)
_ODD = (
    (stat.S_ISFIFO, "a pipe"),
    (stat.S_ISSOCK, "a socket"),
    (stat.S_ISCHR, "a device"),
    (stat.S_ISBLK, "a device"),
)


def shown(name: object) -> str:
    r"""A file name, or text with names in it, as text that can be written anywhere.

    Bytes that are not UTF-8 are escaped: ``ch\xe2ton.jpg``; so are control characters that a
    terminal would obey. Other text is unchanged, including line breaks and tabs.
    """
    return _NOT_SHOWN.sub(_escape, str(name))


def _escape(found: re.Match[str]) -> str:
    code = ord(found[0])
    code -= 0xDC00 if code in _BYTES else 0
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}"


def shown_in(data: Any) -> Any:
    """Data for JSON in which every text can be written; see :func:`shown`.

    JSON itself escapes what a terminal would obey. Paths become texts of the full path. A number
    that is not finite, such as a metric without a value, becomes None, since JSON has no such
    number.
    """
    if isinstance(data, str):
        return _SURROGATE.sub(_escape, data)
    if isinstance(data, float):
        return data if math.isfinite(data) else None
    if isinstance(data, Path):
        return shown_in(str(data.absolute()))
    if isinstance(data, dict):
        return {shown_in(key): shown_in(value) for key, value in data.items()}
    if isinstance(data, list | tuple):
        return [shown_in(value) for value in data]
    return data


def safe_name(name: str) -> str:
    """A name that was read, as the name of one file or folder: it leads nowhere else.

    Any untrusted text that becomes part of a path goes through this: classes, heads, runs.
    Separators and invisible characters become ``_``; the result is not empty, not hidden, and
    short enough for every file system. Two names may become the same.
    """
    plain = "".join(
        sign if sign.isprintable() and sign not in "/\\" else "_" for sign in shown(name)
    )
    cut = plain.lstrip(".").encode()[:_LONGEST_NAME].decode(errors="ignore")
    return cut or "_"


def refuse_unsafe_name(name: str, what: str) -> str:
    """Check that a name can be that of a single file.

    Args:
        name: The name.
        what: Description of what it names, for the message.

    Raises:
        InputError: If it cannot.
    """
    if name != safe_name(name):
        raise InputError(
            f"{what} {name!r:.80} cannot be the name of a file: it must have no separators, "
            "no dot in front, and only signs that show"
        )
    return name


@contextmanager
def safe_path(path: Path) -> Iterator[str]:
    """An ASCII name of a file to read or to write, in an existing folder.

    OpenCV's video reader ends the whole process if a name is not UTF-8.
    """
    if str(path).isascii() or os.name == "nt":  # There names are Unicode, and links a privilege.
        yield str(path)
        return
    with tempfile.TemporaryDirectory() as folder:
        link = Path(folder) / f"file{path.suffix if path.suffix.isascii() else ''}"
        link.symlink_to(path.parent.resolve() / path.name)
        yield str(link)


def is_there(path: Path | str) -> bool:
    """Whether a path leads to a file or folder; false if no file system could hold it."""
    return os.path.exists(path)  # noqa: PTH110 - Path.exists raises for a name that is too long.


def is_file(path: Path | str) -> bool:
    """Whether a path leads to a file; false if no file system could hold it."""
    return os.path.isfile(path)  # noqa: PTH113


def length_of(path: Path | str) -> int | None:
    """Bytes of a file; None if there is no file of that name."""
    try:
        found = os.stat(path)  # noqa: PTH116 (millions of names)
    except (OSError, ValueError):
        return None
    return found.st_size if stat.S_ISREG(found.st_mode) else None


def is_folder(path: Path | str) -> bool:
    """Whether a path leads to a folder; false if no file system could hold it."""
    return os.path.isdir(path)  # noqa: PTH112


def leads_to_folder(entry: os.DirEntry[str]) -> bool:
    """Whether an entry is a folder or a link to one; false for circular links."""
    try:
        return entry.is_dir()
    except OSError:
        return False


def entries_like(folder: Path, *patterns: str) -> list[Path]:
    """Entries of a folder by patterns, such as ``*.xml``, ignoring case.

    Args:
        folder: Folder to search. Nothing is found if it does not exist or cannot be read.
        patterns: Patterns in lower case. The entries of each are sorted, and follow those of the
            pattern before it.
    """
    try:
        names = os.listdir(folder)  # noqa: PTH208 (millions of names)
    except OSError:
        return []
    return [
        folder / one
        for like in patterns
        for one in sorted(name for name in names if fnmatchcase(name.lower(), like))
    ]


def odd_file(path: Path | str) -> str:
    """Kind of a file that blocks or never ends when it is read: ``a pipe``; otherwise empty."""
    try:
        mode = os.stat(path).st_mode  # noqa: PTH116
    except (OSError, ValueError):
        return ""
    return next((what for is_such, what in _ODD if is_such(mode)), "")


def refused_name(path: Path | str) -> str:
    """Why no file system can hold a path; empty if one could."""
    try:
        os.lstat(path)
    except ValueError as error:  # A NUL, or half of a character.
        return str(error)
    except OSError as error:
        return str(error.strerror) if error.errno == errno.ENAMETOOLONG else ""
    return ""


def joined(names: Iterable[str]) -> str:
    """Names as in a sentence: ``train, val and test``."""
    *first, last = names
    return f"{', '.join(first)} and {last}" if first else last


def in_order(names: Iterable[str]) -> list[str]:
    """Names, each once, sorted: numbers by value, equal ones by how they are written."""
    found = set(names)
    if all(name.isdecimal() and len(name) < 19 for name in found):
        return sorted(found, key=lambda name: (int(name), name))
    return sorted(found)
