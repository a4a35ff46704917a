"""Writing files so that a crash, a kill or a full disk never costs the last good one."""

from __future__ import annotations

import contextlib
import csv
import io
import os
import shutil
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from datasets.names import shown


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yield a temporary name beside ``path``; sync it and rename it on success.

    On any error the temporary file is removed and ``path`` stays as it was.

    Raises:
        OSError: If the file cannot be written (the disk is full, say).
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        yield temporary
        umask = os.umask(0)
        os.umask(umask)
        temporary.chmod(0o666 & ~umask)  # Some writers make their files private.
        with temporary.open("rb") as file:
            os.fsync(file.fileno())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)  # The rename itself must survive a power cut too.
    finally:
        os.close(folder)


def replace_folder(written: Path, path: Path) -> None:
    """Move a folder that is whole to its place, in the same file system; one there before goes.

    The old one is moved aside first, for a folder cannot be renamed over another: a crash between
    the two leaves it there, under a name that begins with a dot.

    Raises:
        OSError: If it cannot be moved; the old one is then in its place again.
    """
    aside = path.with_name(f".{path.name}.{os.getpid()}.old")
    was_there = path.is_dir()
    if was_there:
        path.replace(aside)
    try:
        written.replace(path)
    except OSError:
        if was_there:
            aside.replace(path)
        raise
    shutil.rmtree(aside, ignore_errors=True)


def write_text(path: Path, text: str) -> None:
    """Write a text file in one piece; names in it become text. Raises OSError if it cannot."""
    with replacing(path) as temporary:
        temporary.write_text(shown(text), encoding="utf-8")


def write_csv(path: Path, titles: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Write a table as comma-separated values in one piece.

    Args:
        path: File to write.
        titles: Titles of the columns.
        rows: Cells of each row, in the order of the titles.

    Raises:
        OSError: If it cannot be written; an older file stays as it was.
    """
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows((titles, *rows))
    write_text(path, text.getvalue())
