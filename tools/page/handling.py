"""One request to the page: who asks, for what, how much, and how fast it comes."""

from __future__ import annotations

import http.server
import io
import json
import socket
import time
import traceback
from contextlib import AbstractContextManager
from http import HTTPStatus
from typing import Any, Protocol, cast
from urllib.parse import parse_qs

from configs.demo import LimitSpec
from tools.cli import explain
from tools.flows.answerer import Refusal

_CHUNK = 2**16
# Longest numbers that are read at all.
_DIGITS = 15
_BODY_TYPE, _JSON = "application/octet-stream", "application/json"
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
}


class _Timed(io.RawIOBase):
    """What a connection sends, all of it within some seconds, however it drips."""

    def __init__(self, connection: socket.socket, seconds: float) -> None:
        self._connection = connection
        self._end = time.monotonic() + seconds

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        left = self._end - time.monotonic()
        if left <= 0:
            raise TimeoutError("the request took too long")
        self._connection.settimeout(left)
        return self._connection.recv_into(buffer)


class Site(Protocol):
    """The server, as its handlers see it; ``pages`` are type and content by path."""

    limits: LimitSpec
    pages: dict[str, tuple[str, bytes]]

    @property
    def url(self) -> str:
        """Address of the page."""

    def is_own_name(self, host: str) -> bool:
        """Whether a Host header names this server."""

    def place(self) -> AbstractContextManager[None]:
        """A place among the requests that are answered or wait."""

    def answer(self, model: int, photos: list[bytes]) -> dict[str, Any]:
        """The answer of a model for photos."""


class Handler(http.server.BaseHTTPRequestHandler):
    """Reads one request, answers it, and the connection is closed."""

    server_version, sys_version = "mobilenet-suite", ""
    default_request_version = "HTTP/1.0"  # Nonsense gets a whole answer, too.

    @property
    def site(self) -> Site:
        """The server."""
        return cast(Site, self.server)

    def setup(self) -> None:
        """Read with a deadline."""
        super().setup()
        self.unread = 0
        seconds = self.site.limits.read_seconds
        self.rfile = io.BufferedReader(_Timed(self.connection, seconds), _CHUNK)

    def log_message(self, format: str, *args: Any) -> None:
        """Nobody's requests are logged."""

    def send_error(
        self, code: int, message: str | None = None, explain: str | None = None
    ) -> None:
        """What the base class refuses, in our form."""
        self._send(code, _JSON, _as_json({"error": message or HTTPStatus(code).phrase}))

    def do_GET(self) -> None:
        """Hand out a file."""
        try:
            self._check_origin()
            path = self.path.partition("?")[0]
            if path not in self.site.pages:
                raise Refusal(HTTPStatus.NOT_FOUND, "there is no such page")
            kind, content = self.site.pages[path]
        except Refusal as error:
            self._send(error.status, _JSON, _as_json({"error": str(error)}))
        else:
            self._send(HTTPStatus.OK, kind, content)

    def do_POST(self) -> None:
        """Answer for a photo, or say why not."""
        try:
            status, content = HTTPStatus.OK, _as_json(self._answer())
        except ConnectionError:  # Nobody is there any more.
            return
        except Exception as error:
            status, text = _refused(error)
            content = _as_json({"error": text})
        self._send(status, _JSON, content)
        self._drain()

    def _answer(self) -> dict[str, Any]:
        given = self.headers.get_all("Content-Length", [])
        if len(given) != 1 or not _is_number(given[0]):
            raise Refusal(HTTPStatus.LENGTH_REQUIRED, "the request must tell its length once")
        self.unread = int(given[0])
        self._check_origin()
        path, _, text = self.path.partition("?")
        if path != "/answer":
            raise Refusal(HTTPStatus.NOT_FOUND, "there is no such page")
        if self.unread > self.site.limits.bytes:
            raise Refusal(
                HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
                f"the request has {self.unread / 1e6:.1f} MB; at most "
                f"{self.site.limits.bytes / 1e6:g} are taken (--megabytes)",
            )
        if self.headers.get("Content-Type") != _BODY_TYPE:
            raise Refusal(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, f"the request must be {_BODY_TYPE}")
        query = parse_qs(text)
        model, first = _number(query, "model"), _number(query, "first")
        with self.site.place():
            body = self._read(self.unread)
            photos = [body[:first], body[first:]] if "first" in query else [body]
            return self.site.answer(model, photos)

    def _check_origin(self) -> None:
        """Refuse other names (DNS rebinding), and what pages of other sites ask for."""
        host = self.headers.get("Host", "")
        if not self.site.is_own_name(host):
            raise Refusal(
                HTTPStatus.FORBIDDEN, f"this page is not {host[:80]!r}: open {self.site.url}"
            )
        origin = self.headers.get("Origin")
        if origin is not None and origin != f"http://{host}":
            raise Refusal(HTTPStatus.FORBIDDEN, "only the page itself may ask for answers")

    def _read(self, length: int) -> bytes:
        body = bytearray()
        while len(body) < length:
            chunk = self.rfile.read1(min(_CHUNK, length - len(body)))
            if not chunk:
                self.unread = 0
                raise Refusal(HTTPStatus.BAD_REQUEST, "the photo did not arrive in whole")
            body += chunk
            self.unread -= len(chunk)
        return bytes(body)

    def _send(self, status: int, kind: str, content: bytes) -> None:
        self.connection.settimeout(self.site.limits.read_seconds)
        self.send_response(status)
        for name, value in _HEADERS.items():
            self.send_header(name, value)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(content)))
        if status == HTTPStatus.SERVICE_UNAVAILABLE:
            self.send_header("Retry-After", "1")
        self.end_headers()
        self.wfile.write(content)

    def _drain(self) -> None:
        """Take in what is still being sent: else the sender sees a broken line, not the answer."""
        left = min(self.unread, 4 * self.site.limits.bytes)
        if left:
            self.connection.shutdown(socket.SHUT_WR)
        while left > 0:
            chunk = len(self.rfile.read1(min(_CHUNK, left)))
            left = left - chunk if chunk else 0


def _as_json(data: dict[str, Any]) -> bytes:
    return json.dumps(data, allow_nan=False).encode()


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) <= _DIGITS


def _number(query: dict[str, list[str]], name: str) -> int:
    """A whole number of a query; 0 where it is not given."""
    given = query.get(name, ["0"])
    if len(given) != 1 or not _is_number(given[0]):
        raise Refusal(HTTPStatus.BAD_REQUEST, f"{name} must be a whole number, once")
    return int(given[0])


def _refused(error: Exception) -> tuple[HTTPStatus, str]:
    """Status and message; of a fault of the program the terminal shows more."""
    if isinstance(error, TimeoutError):
        return HTTPStatus.REQUEST_TIMEOUT, "the photo came too slowly"
    if isinstance(error, Refusal):
        return HTTPStatus(error.status), str(error)
    _, text = explain(error)
    if not text:
        traceback.print_exception(error)
    told = text or f"internal fault: {type(error).__name__}"
    return HTTPStatus.INTERNAL_SERVER_ERROR, told
