"""One request of the page's server, read within limits, and its response."""

from __future__ import annotations

import asyncio
import http.client
import io
import json
import re
import socket
import time
from collections import Counter
from dataclasses import dataclass
from email.utils import formatdate
from http import HTTPStatus
from typing import Any
from urllib.parse import parse_qs

from configs.demo import LimitSpec
from tools.flows.answerer import Refusal

BODY_TYPE, JSON = "application/octet-stream", "application/json"
_CHUNK = 2**16
# Largest lengths of request line and headers, in bytes; and what ends them.
_LINE, _HEAD, _END = 2**16, 2**17, re.compile(rb"\n\r?\n")
# Largest number of digits in a number.
_DIGITS = 15
# Seconds over which the rates of sending and receiving are measured.
_WINDOW = 10.0
_FIRST_LINE = re.compile(rb"([A-Z]+) (\S+) HTTP/(\d)\.\d")
_HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "
        "img-src 'self' blob: data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "Permissions-Policy": "camera=(self), microphone=(), geolocation=()",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "Cache-Control": "no-store",
    "Connection": "close",
    "Server": "mobilenet-suite",
}
_AGAIN = (HTTPStatus.SERVICE_UNAVAILABLE, HTTPStatus.TOO_MANY_REQUESTS)


@dataclass(frozen=True)
class Head:
    """A request's first line and headers.

    Attributes:
        method: HTTP method, such as GET.
        path: Path without the query.
        query: Values by name.
        fields: Headers.
    """

    method: str
    path: str
    query: dict[str, list[str]]
    fields: http.client.HTTPMessage

    @classmethod
    def parse(cls, text: bytes) -> Head:
        """Read a head, up to its empty line. Raises Refusal if it is invalid."""
        line, _, rest = text.partition(b"\n")
        if len(line) > _LINE:
            raise Refusal(HTTPStatus.REQUEST_URI_TOO_LONG, "the address is too long")
        found = _FIRST_LINE.fullmatch(line.rstrip(b"\r"))
        if found is None:
            raise Refusal(HTTPStatus.BAD_REQUEST, "this is no request of HTTP/1.1")
        method, target, version = found.groups()
        if version != b"1":
            raise Refusal(HTTPStatus.HTTP_VERSION_NOT_SUPPORTED, "only HTTP/1.1 is spoken here")
        try:
            fields = http.client.parse_headers(io.BytesIO(rest))
        except http.client.HTTPException as error:
            raise _too_large() from error
        path, _, query = target.decode("latin-1").partition("?")
        try:
            values = parse_qs(query, max_num_fields=10)
        except ValueError as error:
            raise Refusal(HTTPStatus.BAD_REQUEST, "the query has too many fields") from error
        return cls(method.decode(), path, values, fields)

    def follows(self, most: int) -> int:
        """Bytes that may follow a request without body; ``most`` if the length is unclear."""
        if "Content-Length" not in self.fields and "Transfer-Encoding" not in self.fields:
            return 0
        try:
            return self.length()
        except Refusal:
            return most

    def length(self) -> int:
        """Bytes of the body. Raises Refusal if the length is not stated once, as a number."""
        given = self.fields.get_all("Content-Length", [])
        if len(given) != 1 or not _is_number(given[0]) or "Transfer-Encoding" in self.fields:
            raise Refusal(HTTPStatus.LENGTH_REQUIRED, "the request must tell its length once")
        return int(given[0])

    def number(self, name: str) -> int:
        """An integer in the query; 0 if it is not given."""
        given = self.query.get(name, ["0"])
        if len(given) != 1 or not _is_number(given[0]):
            raise Refusal(HTTPStatus.BAD_REQUEST, f"{name} must be a whole number, once")
        return int(given[0])


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) <= _DIGITS


def _too_large() -> Refusal:
    return Refusal(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE, "the headers are too many")


class Flight:
    """Bytes of images that are not answered yet, limited in total and per address.

    Args:
        largest: Bytes of the largest request.
    """

    def __init__(self, largest: int) -> None:
        self._most, self._most_of_one = 4 * largest, 2 * largest
        self._held: Counter[str] = Counter()

    def take(self, address: str, number: int) -> None:
        """Count bytes. Raises Refusal if there would be too many."""
        one, every = self._held[address] + number, self.total + number
        if one > self._most_of_one or every > self._most:
            raise Refusal(
                HTTPStatus.SERVICE_UNAVAILABLE, "too many images at once: try again in a moment"
            )
        self._held[address] = one

    @property
    def total(self) -> int:
        """Number of bytes that are counted now."""
        return self._held.total()

    def give_back(self, address: str, number: int) -> None:
        """Stop counting bytes."""
        self._held -= Counter({address: number})


class Line:
    """A connection that must deliver everything within some time, and at some rate.

    Args:
        connection: Socket that does not block; :meth:`close` closes it.
        address: Address of the client.
        limits: Limits of the server.
        flight: Counter of the bytes that arrive, until :meth:`give_back`.

    Attributes:
        reading: Whether the client still has to send something.
        began: Start of the connection, by the monotonic clock, in seconds.
        unread: Number of bytes that may still come; those of the body, once its length is known.
    """

    def __init__(
        self, connection: socket.socket, address: str, limits: LimitSpec, flight: Flight
    ) -> None:
        self._socket, self.address = connection, address
        self._limits, self._flight = limits, flight
        self._loop = asyncio.get_running_loop()
        self.began, self.reading, self.unread = time.monotonic(), True, limits.bytes
        self._end = self.began + limits.read_seconds
        self._piece = max(1, int(1000 * limits.kilobytes_per_second * _WINDOW))
        self._rest, self._held = b"", 0

    async def head(self) -> Head | None:
        """Read the head; None if nothing came. Raises Refusal if it is invalid or slow."""
        text, seen, end = bytearray(), 0, self._end
        while not (ended := _END.search(text, max(0, seen - 2))):
            seen = len(text)
            if len(text) > _HEAD:
                raise _too_large()
            try:
                chunk = await self._receive(_CHUNK, end)
            except TimeoutError:
                if not text:
                    return None
                raise Refusal(
                    HTTPStatus.REQUEST_TIMEOUT,
                    f"the headers did not come within {self._limits.head_seconds:g} s",
                ) from None
            if not chunk:
                break
            if not text:
                end = min(end, time.monotonic() + self._limits.head_seconds)
            text += chunk
            if len(text) > _LINE and b"\n" not in text[:_LINE]:
                raise Refusal(HTTPStatus.REQUEST_URI_TOO_LONG, "the address is too long")
        if not text:
            return None
        size = ended.end() if ended else len(text)
        self._rest = bytes(text[size:])
        return Head.parse(bytes(text[:size]))

    async def body(self, length: int, *, expects: bool) -> bytes:
        """Read a body; a client that expects it is first invited to send it.

        Raises:
            Refusal: If it comes too slowly or incompletely, or memory is full.
            OSError: If the client has gone.
        """
        self.unread = length
        if expects:
            await self._loop.sock_sendall(self._socket, b"HTTP/1.1 100 Continue\r\n\r\n")
        body = bytearray()
        while self.unread:
            await self._read_piece(body)
        self.reading = False
        return bytes(body)

    async def _read_piece(self, body: bytearray) -> None:
        """Read as much as has to arrive within some seconds."""
        end = min(self._end, time.monotonic() + _WINDOW)
        wanted = min(self._piece, self.unread)
        while wanted > 0:
            most = min(_CHUNK, self.unread)
            chunk, self._rest = self._rest[:most], self._rest[most:]
            try:
                chunk = chunk or await self._receive(most, end)
            except TimeoutError:
                raise Refusal(HTTPStatus.REQUEST_TIMEOUT, "the image came too slowly") from None
            if not chunk:
                self.unread = 0
                raise Refusal(HTTPStatus.BAD_REQUEST, "the image did not arrive in whole")
            self.unread -= len(chunk)
            wanted -= len(chunk)
            self._flight.take(self.address, len(chunk))
            self._held += len(chunk)
            body += chunk

    async def _receive(self, most: int, end: float) -> bytes:
        async with asyncio.timeout(max(0.0, end - time.monotonic())):
            return await self._loop.sock_recv(self._socket, most)

    def give_back(self) -> None:
        """Stop counting the received bytes: the images of this connection are gone."""
        self._flight.give_back(self.address, self._held)
        self._held = 0

    async def send(self, status: int, kind: str, content: bytes) -> None:
        """Send an answer. Raises TimeoutError if that is too slow, OSError if nobody is there."""
        self.reading = False
        named = {
            **_HEADERS,
            "Date": formatdate(usegmt=True),
            "Content-Type": kind,
            "Content-Length": str(len(content)),
            **({"Retry-After": "1"} if status in _AGAIN else {}),
        }
        lines = [f"HTTP/1.1 {status} {_phrase(status)}"]
        lines += [f"{name}: {value}" for name, value in named.items()]
        whole = "\r\n".join([*lines, "", ""]).encode() + content
        async with asyncio.timeout(self._limits.read_seconds):
            for start in range(0, len(whole), self._piece):
                async with asyncio.timeout(_WINDOW):
                    piece = whole[start : start + self._piece]
                    await self._loop.sock_sendall(self._socket, piece)

    async def finish(self) -> None:
        """Receive what is still being sent: else the sender sees a broken connection."""
        left = min(self.unread - len(self._rest), 4 * self._limits.bytes)
        if left > 0:
            self.reading = True
            self._socket.shutdown(socket.SHUT_WR)
        end = time.monotonic() + self._limits.read_seconds
        while left > 0:
            chunk = await self._receive(_CHUNK, min(end, time.monotonic() + _WINDOW))
            left = left - len(chunk) if chunk else 0

    def close(self) -> None:
        """Close the connection."""
        self._socket.close()


def _phrase(status: int) -> str:
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return "Refused"


def as_json(data: dict[str, Any]) -> bytes:
    """JSON for sending. Raises ValueError if a number is not finite."""
    return json.dumps(data, allow_nan=False).encode()
