"""Reads what is asked from a request: images, which model, and whether to draw."""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header

from tools.flows.answerer import Refusal

FORM, JSON, BINARY = "multipart/form-data", "application/json", "application/octet-stream"
# A comparison takes two; nothing takes more.
MOST_IMAGES = 2
_MOST_PARTS, _MOST_SIGNS, _LONGEST = 8, 100, 4096
_TRUTH = {"true": True, "1": True, "false": False, "0": False}


@dataclass
class Question:
    """What a request asks.

    Attributes:
        images: The files, one or two.
        model: Name or number of a model; None for the first.
        draw: Whether a drawn answer is wanted too.
    """

    images: list[bytes] = field(default_factory=list)
    model: str | None = None
    draw: bool | None = None

    def set(self, name: str, value: str) -> None:
        """Take over a field. Raises Refusal if it is given twice or makes no sense."""
        if name not in ("model", "draw"):
            return
        if getattr(self, name) is not None:
            raise _bad(f"{name} must be given once")
        if name == "model":
            self.model = value
        elif value.lower() in _TRUTH:
            self.draw = _TRUTH[value.lower()]
        else:
            raise _bad(f"draw={value[:20]!r}: true or false is expected")


def read_question(content_type: str, query: Iterable[tuple[str, str]], body: bytes) -> Question:
    """Read a request.

    Args:
        content_type: Header that says what the body is.
        query: Names and values in the address.
        body: The body.

    Raises:
        Refusal: If it is not one of the three forms (415), or one that is not filled in (400).
    """
    question = Question()
    for name, value in query:
        question.set(name, value)
    kind, options = parse_options_header(content_type)
    form = kind.decode("latin-1").lower()
    if form == FORM:
        _read_form(question, options.get(b"boundary", b""), body)
    elif form == JSON:
        _read_json(question, body)
    elif form == BINARY or form.startswith("image/"):
        question.images.append(body)
    else:
        raise Refusal(
            HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
            f"Content-Type {form[:80]!r}: send the bytes of an image as image/jpeg (or another "
            f"image type, or {BINARY}), a form as {FORM}, or {JSON}",
        )
    if not question.images:
        raise _bad("the field image is missing")
    if len(question.images) > MOST_IMAGES:
        raise _bad(f"at most {MOST_IMAGES} images are taken at once")
    return question


def _bad(text: str) -> Refusal:
    return Refusal(HTTPStatus.BAD_REQUEST, text)


def _read_json(question: Question, body: bytes) -> None:
    # Before it is read: small parts take thirty times their length in memory. Base64 has no signs.
    if sum(map(body.count, (b"{", b"[", b",", b":"))) > _MOST_SIGNS:
        raise _bad("the JSON has too many parts")
    try:
        given = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise _bad(f"the JSON cannot be read ({str(error)[:200]})") from error
    if not isinstance(given, dict):
        raise _bad('the JSON must be an object: {"image": "BASE64"}')
    for name in ("model", "draw"):
        value = given.get(name)
        if value is not None:
            question.set(name, value if isinstance(value, str) else json.dumps(value))
    images = given.get("image", [])
    images = images if isinstance(images, list) else [images]
    if len(images) > MOST_IMAGES:
        raise _bad(f"at most {MOST_IMAGES} images are taken at once")
    for image in images:
        question.images.append(_from_base64(image))


def _from_base64(text: Any) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, TypeError, ValueError) as error:
        raise _bad(f"image is not base64 ({error})") from error


def _read_form(question: Question, boundary: bytes, body: bytes) -> None:
    """Read a form in memory: nothing of it may reach a disk."""
    form = _Form(question)
    try:
        parser = MultipartParser(boundary, form.callbacks())
        parser.write(body)
        parser.finalize()
    except FormParserError as error:
        raise _bad(f"the form cannot be read ({str(error)[:200]})") from error
    if not form.is_whole:
        raise _bad("the form did not arrive in whole")


class _Form:
    """Collects the parts of a form."""

    def __init__(self, question: Question) -> None:
        self._question, self._parts = question, 0
        self._header, self._value = bytearray(), bytearray()
        self._name, self._data = "", bytearray()
        self.is_whole = False

    def callbacks(self) -> Any:
        """What the parser calls."""
        return {
            "on_part_begin": self._begin,
            "on_part_data": self._take,
            "on_part_end": self._end,
            "on_header_field": lambda data, start, end: self._add(self._header, data[start:end]),
            "on_header_value": lambda data, start, end: self._add(self._value, data[start:end]),
            "on_header_end": self._end_header,
            "on_end": self._close,
        }

    def _begin(self) -> None:
        self._parts += 1
        if self._parts > _MOST_PARTS:
            raise _bad("the form has too many parts")
        self._name, self._data = "", bytearray()

    def _add(self, text: bytearray, data: bytes) -> None:
        text += data
        if len(text) > _LONGEST:
            raise _bad("a header of the form is too long")

    def _end_header(self) -> None:
        if bytes(self._header).lower() == b"content-disposition":
            options: Mapping[bytes, bytes] = parse_options_header(bytes(self._value))[1]
            self._name = options.get(b"name", b"").decode("utf-8", "replace")
        self._header.clear()
        self._value.clear()

    def _take(self, data: bytes, start: int, end: int) -> None:
        self._data += data[start:end]

    def _end(self) -> None:
        if self._name == "image":
            self._question.images.append(bytes(self._data))
        elif len(self._data) <= _LONGEST:
            self._question.set(self._name, self._data.decode("utf-8", "replace"))
        self._data = bytearray()

    def _close(self) -> None:
        self.is_whole = True
