"""A terminal to run tools in, and what then stands on its screen."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import struct
import subprocess
import termios
from collections.abc import Sequence
from pathlib import Path

from tests.tools.runs import ENVIRONMENT

# Of a terminal that does not tell its own width.
USUAL_COLUMNS = 80
_TOKEN = re.compile(r"\r|\n|\x1b\[(\d*)([A-Za-z])|[^\r\n\x1b]|(\x1b)")


def run_in_terminal(command: Sequence[str], folder: Path, *, rows: int, columns: int) -> str:
    """Everything that a program, started in a folder, writes to a pseudo-terminal of this size.

    Raises:
        AssertionError: If the program fails; with what it wrote.
    """
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
    process = subprocess.Popen(
        command, stdin=theirs, stdout=theirs, stderr=theirs, env=ENVIRONMENT, cwd=folder
    )
    os.close(theirs)
    written = bytearray()
    try:
        while part := os.read(ours, 2**16):
            written += part
    except OSError:  # Linux' way to say that nobody holds the other end any more.
        pass
    finally:
        os.close(ours)
    text = written.decode()
    assert process.wait(timeout=600) == 0, text
    return text


def screen_after(text: str, columns: int = USUAL_COLUMNS) -> list[str]:
    """Lines that a terminal shows after a text, from its first on, without trailing spaces.

    Raises:
        AssertionError: At an escape sequence other than "up" and "erase to the end of the line".
    """
    lines: list[list[str]] = [[]]
    row = column = 0
    for token in _TOKEN.finditer(text):
        char = token[0]
        if char == "\r":
            column = 0
        elif char == "\n":
            row += 1
        elif token[2] == "A":
            row = max(row - int(token[1] or 1), 0)
        elif token[2] == "K" and token[1] in ("", "0"):
            del lines[row][column:]
        elif char.startswith("\x1b"):
            raise AssertionError(f"{text[token.start() :][:9]!r} is not understood")
        else:
            if column == columns:
                row, column = row + 1, 0
            while len(lines) <= row:
                lines.append([])
            lines[row] += " " * (column + 1 - len(lines[row]))
            lines[row][column] = char
            column += 1
        while len(lines) <= row:
            lines.append([])
    return ["".join(line).rstrip() for line in lines]
