"""Reads XML files: without entities, and within limits."""

from __future__ import annotations

from pathlib import Path
from xml.etree.ElementTree import Element, TreeBuilder
from xml.parsers import expat

from datasets.errors import InputError
from datasets.text import read_content

# Annotations of one image take kilobytes; those of a whole project megabytes.
_LARGEST = 2**28
_DEEPEST = 64


def read_xml(file: Path) -> Element:
    """The root element of an XML file.

    Args:
        file: File to read.

    Raises:
        InputError: If it cannot be read, is damaged, declares entities or is nested too deeply;
            the message names line and column.
    """
    if file.is_file() and (size := file.stat().st_size) > _LARGEST:
        raise InputError(f"{file}: {size} bytes are too many for an XML file")
    data = read_content(file)
    try:
        return _parse(data, file)
    except expat.ExpatError as error:
        problem = expat.ErrorString(error.code)
        place = f"line {error.lineno}, column {error.offset + 1}"
        raise InputError(f"{file}: damaged XML ({problem}: {place})") from error
    except (LookupError, ValueError, AssertionError) as error:  # Of its declared encoding.
        if isinstance(error, InputError):
            raise
        raise InputError(f"{file}: damaged XML ({error})") from error


def _parse(data: bytes, file: Path) -> Element:
    builder, parser = TreeBuilder(), expat.ParserCreate()
    depth = 0

    def start(name: str, attributes: dict[str, str]) -> None:
        nonlocal depth
        depth += 1
        if depth > _DEEPEST:
            raise InputError(f"{file}: line {parser.CurrentLineNumber}: nested too deeply")
        builder.start(name, attributes)

    def end(name: str) -> None:
        nonlocal depth
        depth -= 1
        builder.end(name)

    def refuse(name: str, *_: object) -> None:
        # Entities can include other files, or expand ten lines to a gigabyte.
        raise InputError(
            f"{file}: line {parser.CurrentLineNumber}: declares the entity {name!r}; write out "
            "what it stands for"
        )

    parser.StartElementHandler = start
    parser.EndElementHandler = end
    parser.CharacterDataHandler = builder.data
    parser.EntityDeclHandler = refuse
    parser.buffer_text = True
    parser.Parse(data, True)
    return builder.close()
