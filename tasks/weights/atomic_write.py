"""Writes files so that a crash, a kill or a full disk never destroys the previous one."""

from __future__ import annotations

import contextlib
import csv
import io
import os
import shutil
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from datasets.errors import naming
from datasets.locks import unfinished
from datasets.names import shown

# Number of bytes of a name, to which more is added temporarily: file systems permit 255.
_LONG = 220


def _umask() -> int:
    """Permission mask of new files; read by setting it, so only once, without threads."""
    found = os.umask(0o077)
    os.umask(found)
    return found


_UMASK = _umask()


@contextlib.contextmanager
def replacing(path: Path, suffix: str = "", *, sync: bool = True) -> Iterator[Path]:
    """Yield a temporary name beside ``path``; sync it and rename it on success.

    On any error the temporary file is removed and ``path`` stays as it was.

    Args:
        path: File to write.
        suffix: End of the temporary name, for writers that need it.
        sync: Whether to wait until the disk has it: otherwise it survives a kill, but maybe not a
            power cut.

    Raises:
        OSError: If the file cannot be written (the disk is full, say); it names the file.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    # A long name with more around it would be too long.
    name = path.name if len(os.fsencode(path.name)) < _LONG else f"{hash(path.name):x}"
    temporary = path.with_name(f"{unfinished(name)}{suffix}")
    try:
        with naming(path):
            yield temporary
            temporary.chmod(0o666 & ~_UMASK)  # Some writers make their files private.
            if sync:
                with temporary.open("r+b") as file:  # Windows syncs only what may be written.
                    os.fsync(file.fileno())
            temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
    if not sync or os.name == "nt":  # Windows opens no folders, and syncs its own names.
        return
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)  # The rename itself must survive a power cut too.
    finally:
        os.close(folder)


def replace_folder(written: Path, path: Path) -> None:
    """Move a complete folder to its place, in the same file system, replacing a previous one.

    The old one is moved aside first, because a folder cannot be renamed over another: a crash
    between the two steps leaves it there, under a name that begins with a dot.

    Args:
        written: Complete folder.
        path: Its place.

    Raises:
        OSError: If it cannot be moved; the old one is then in its place again.
    """
    aside = path.with_name(f".{path.name}.{os.getpid()}.old")
    was_there = path.is_dir()
    if was_there:
        shutil.rmtree(aside, ignore_errors=True)  # Of a killed process of this very number.
        path.replace(aside)
    try:
        written.replace(path)
    except OSError:
        if was_there:
            aside.replace(path)
        raise
    shutil.rmtree(aside, ignore_errors=True)


def write_text(path: Path, text: str) -> None:
    """Write a text file atomically; names in it become text. Raises OSError if that fails."""
    with replacing(path) as temporary:
        temporary.write_text(shown(text), encoding="utf-8")


def write_csv(path: Path, titles: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Write a table as comma-separated values, atomically.

    Args:
        path: File to write.
        titles: Titles of the columns.
        rows: Cells of each row, in the order of the titles.

    Raises:
        OSError: If it cannot be written; an older file is left unchanged.
    """
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows((titles, *rows))
    write_text(path, text.getvalue())
