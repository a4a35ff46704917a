"""Reads JSON files: UTF-8 with or without a byte-order mark; errors name the place."""

from __future__ import annotations

import gc
import json
from collections.abc import Iterator
from pathlib import Path

from datasets.errors import InputError
from datasets.fields import Fields
from datasets.text import decode_text, read_text


def read_object(file: Path) -> Fields:
    """A JSON file that holds an object, whose fields are checked as they are read.

    Raises:
        InputError: If it cannot be read, is not JSON or holds something else.
    """
    return Fields.of(file, read_json(file))


def read_lines(file: Path) -> Iterator[Fields]:
    """The objects in a file that holds one per line.

    Raises:
        InputError: If it cannot be read, or a line is not an object; the message names the line.
    """
    for number, line in enumerate(read_text(file).split("\n"), start=1):
        if line.strip():
            where = f"line {number}"
            yield Fields.of(file, parse_json(line, f"{file}: {where}"), (where,))


def read_json(file: Path) -> object:
    """The content of a JSON file, unchecked.

    Raises:
        InputError: If it cannot be read or is not JSON; the message names line and column.
    """
    return parse_json(read_text(file), file)


def parse_json(text: str | bytes, where: Path | str) -> object:
    """The content of a JSON text, or of bytes in UTF-8, unchecked.

    Args:
        text: The text.
        where: Name for messages.

    Raises:
        InputError: If it is not JSON; the message names line and column.
    """
    if isinstance(text, bytes):
        text = decode_text(text, where)
    collects = gc.isenabled()
    gc.disable()  # It would look at all new objects again and again, a quarter of the time.
    try:
        found: object = json.loads(text)
    except json.JSONDecodeError as error:
        whole = text.rstrip().endswith(("}", "]"))
        hint = "" if whole else "; the file ends too early: copy or export it again"
        place = f"line {error.lineno}, column {error.colno}"
        raise InputError(f"{where}: {place}: not valid JSON ({error.msg}){hint}") from error
    except RecursionError as error:
        raise InputError(f"{where}: not usable JSON (nested too deeply)") from error
    except ValueError as error:  # A number of more than 4300 digits.
        raise InputError(f"{where}: not usable JSON ({error})") from error
    finally:
        if collects:
            gc.enable()
    return found
