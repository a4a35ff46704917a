"""Reads text files that people write; errors name the file."""

from __future__ import annotations

from pathlib import Path

from datasets.errors import InputError
from datasets.ledger import note_read
from datasets.lfs import refuse_pointer
from datasets.names import is_file, odd_file, shown

# Byte-order marks of UTF-16.
_MARKS = (b"\xff\xfe", b"\xfe\xff")
# Largest number of digits of numbers that fit into 64 bits.
_DIGITS = 18


def read_text(file: Path) -> str:
    """A text file in UTF-8, with or without a byte-order mark.

    Args:
        file: File to read.

    Raises:
        InputError: If it does not exist, or is not such text.
    """
    if not is_file(file):
        raise InputError(f"{shown(file)}: {_lacking(file)}")
    note_read(file)
    refuse_pointer(file)
    try:
        return file.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise InputError(f"{shown(file)}: cannot be read ({error.strerror})") from error
    except UnicodeDecodeError as error:
        raise InputError(
            f"{shown(file)}: not text in UTF-8 (byte {error.start}); save it as UTF-8 text"
        ) from error


def _lacking(file: Path) -> str:
    """Why a path cannot be read as a file."""
    return f"is {what}, and no file" if (what := odd_file(file)) else "no such file"


def read_content(file: Path) -> bytes:
    """The content of a file.

    Args:
        file: File to read.

    Raises:
        InputError: If it cannot be read.
    """
    if odd_file(file):
        raise InputError(f"{shown(file)}: {_lacking(file)}")
    note_read(file)
    try:
        content = file.read_bytes()
    except OSError as error:
        raise InputError(f"{shown(file)}: cannot be read ({error.strerror})") from error
    refuse_pointer(file, content)
    return content


def decode_text(content: bytes, where: Path | str) -> str:
    """Decode UTF-8 text from an archive.

    Args:
        content: Bytes of the text.
        where: Name for messages.

    Raises:
        InputError: If it is not such text.
    """
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise InputError(f"{where}: not text in UTF-8 (byte {error.start})") from error


def number_in(text: str) -> int | None:
    """The integer from 0 that a text represents; None if none, or if over 18 digits long."""
    return int(text) if text.isascii() and text.isdigit() and len(text) <= _DIGITS else None


def read_head(file: Path, count: int = 4096) -> bytes:
    """First bytes of a file, without the zeros and mark of UTF-16; empty if it cannot be read."""
    if odd_file(file):
        return b""
    try:
        with file.open("rb") as opened:
            head = opened.read(count)
    except OSError:
        return b""
    return (head[2:] if head.startswith(_MARKS) else head).replace(b"\0", b"")
