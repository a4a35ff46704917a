"""Reads tables in CSV files: UTF-8, and every field is checked as it is read."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from pathlib import Path

from datasets.errors import InputError
from datasets.fields import Fields
from datasets.ledger import note_read
from datasets.lfs import refuse_pointer
from datasets.names import odd_file

_SIGNS = (",", ";", "\t")


def split_header(head: bytes) -> tuple[str, list[str]]:
    """Delimiter and fields of the first line of a table, as far as they can be determined.

    Args:
        head: First bytes of the file.
    """
    lines = head.decode("utf-8-sig", errors="replace").splitlines()
    first = next((line for line in lines if line.strip()), "")
    sign = max(_SIGNS, key=first.count)
    try:
        return sign, [field.strip() for field in next(csv.reader([first], delimiter=sign), [])]
    except csv.Error:
        return sign, []


def read_rows(file: Path, delimiter: str) -> Iterator[tuple[int, list[str]]]:
    """Number and fields of each line that is not empty; fields have no surrounding spaces.

    Args:
        file: The table.
        delimiter: Sign between fields.

    Raises:
        InputError: If the file cannot be read, is not UTF-8, or a quote is never closed; the
            message names the line.
    """
    number = 1
    if what := odd_file(file):
        raise InputError(f"{file}: is {what}, and no file")
    note_read(file)
    try:
        refuse_pointer(file)
        with file.open(encoding="utf-8-sig", newline="") as lines:
            reader = csv.reader(lines, delimiter=delimiter, strict=True, skipinitialspace=True)
            for fields in reader:
                if any(field.strip() for field in fields):
                    yield number, [field.strip() for field in fields]
                number = reader.line_num + 1
    except OSError as error:
        raise InputError(f"{file}: cannot be read ({error.strerror})") from error
    except UnicodeDecodeError as error:
        raise InputError(f"{file}: not text in UTF-8; save it as UTF-8 text") from error
    except csv.Error as error:
        raise InputError(
            f'{file}: line {number}: cannot be split into fields ({error}); is a quote (") opened '
            "there and never closed?"
        ) from error


def as_fields(file: Path, number: int, names: list[str], fields: list[str]) -> Fields:
    """A line whose fields are checked as they are read; empty fields count as absent.

    Args:
        file: The table.
        number: Number of the line.
        names: Names of the columns.
        fields: Fields of the line.

    Raises:
        InputError: If there are more fields than columns.
    """
    if len(fields) > len(names):
        raise InputError(
            f"{file}: line {number}: {len(fields)} fields, but there are {len(names)} columns "
            f"({', '.join(names)})"
        )
    values = {name: field for name, field in zip(names, fields, strict=False) if field}
    return Fields(file, values, (f"line {number}",))
