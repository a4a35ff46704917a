"""Git LFS pointers: three lines of text that replace a large file until it is fetched."""

from __future__ import annotations

from pathlib import Path

from datasets.errors import InputError
from datasets.names import odd_file, shown

# https://github.com/git-lfs/git-lfs/blob/main/docs/spec.md
_START = b"version https://git-lfs.github.com/spec/"
_LONGEST = 1024


def refuse_pointer(file: Path | str, content: bytes | None = None) -> None:
    """Refuse a file that is only a pointer to the real one.

    Args:
        file: File of any kind; an unreadable file is left to whoever reads it.
        content: Content of the file, or its beginning, if it was already read.

    Raises:
        InputError: If it is a pointer; the message states how to fetch the file.
    """
    if content is None:
        if odd_file(file):
            return
        try:
            with Path(file).open("rb") as opened:
                content = opened.read(_LONGEST)
        except (OSError, ValueError):
            return
    if content.startswith(_START):
        raise InputError(
            f"{shown(file)}: is a pointer of Git LFS, not the file itself: run git lfs pull there"
        )
