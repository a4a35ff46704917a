"""Lists that people write: text files, or a message that names the file."""

from __future__ import annotations

from pathlib import Path

from datasets.errors import InputError


def read_text(file: Path) -> str:
    """A text file in UTF-8, with the mark in front that some editors write or without.

    Raises:
        InputError: If it is not there, or no such text.
    """
    if not file.is_file():
        raise InputError(f"{file}: no such file")
    try:
        return file.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise InputError(
            f"{file}: not text in UTF-8 (byte {error.start}); save it as UTF-8 text"
        ) from error
