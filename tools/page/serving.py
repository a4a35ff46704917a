"""A small web server for one page on one machine: bounded in every direction.

It knows nothing of models: it hands out files that are in memory, and the bytes of photos to a
function. http.server alone would start a thread for every connection, wait for slow ones without
end, and answer to any name; each of these is limited here.
"""

from __future__ import annotations

import http.server
import io
import ipaddress
import json
import signal
import socket
import socketserver
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from concurrent.futures import CancelledError, Future, ThreadPoolExecutor
from contextlib import contextmanager, suppress
from http import HTTPStatus
from typing import Any, cast
from urllib.parse import parse_qs, urlsplit

from configs.demo import LimitSpec
from tools.cli import explain
from tools.flows.answerer import Refusal

# Threads that read requests or write answers; connections beyond them wait in the kernel.
_CONNECTIONS, _BACKLOG = 128, 1024
# Seconds that answers under way have when the server is stopped.
_GRACE = 3.0

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

Answer = Callable[[int, list[bytes]], dict[str, Any]]


class PageServer(socketserver.ThreadingMixIn, socketserver.TCPServer):
    """Serves pages (type and content by path) and answers on one address until it is stopped.

    Port 0 takes a free one. Answers go from a model's number and the bytes of photos to what is
    sent as JSON.

    Raises:
        OSError: If the address cannot be listened at.
    """

    allow_reuse_address = True
    daemon_threads = True
    request_queue_size = _BACKLOG

    def __init__(
        self,
        address: tuple[str, int],
        limits: LimitSpec,
        pages: dict[str, tuple[str, bytes]],
        answer: Answer,
    ) -> None:
        self.limits, self.pages = limits, pages
        self._answer = answer
        self._host = address[0]
        self._connections = threading.BoundedSemaphore(_CONNECTIONS)
        self._places = threading.BoundedSemaphore(limits.concurrent + limits.queue)
        self._pool = ThreadPoolExecutor(limits.concurrent, "answer")
        self._stopping = False
        self.address_family = socket.AF_INET6 if ":" in self._host else socket.AF_INET
        super().__init__(address, Handler)

    @property
    def url(self) -> str:
        """Where the page is."""
        host, port = self.server_address[:2]
        name = str(host)
        return f"http://{f'[{name}]' if ':' in name else name}:{port}/"

    def is_own_name(self, host: str) -> bool:
        """Whether a Host header names this server by address, as localhost, or as told.

        A page of another site can have its name point here (DNS rebinding); it cannot have an
        address for a name.
        """
        try:
            name = urlsplit(f"//{host}").hostname or ""
        except ValueError:
            return False
        try:
            ipaddress.ip_address(name)
        except ValueError:
            return name in ("localhost", self._host.lower())
        return True

    @contextmanager
    def place(self) -> Iterator[None]:
        """A place among requests that are answered or wait. Raises Refusal if all are taken."""
        if not self._places.acquire(blocking=False):
            raise Refusal(
                HTTPStatus.SERVICE_UNAVAILABLE, "too many photos at once: try again in a moment"
            )
        try:
            yield
        finally:
            self._places.release()

    def answer(self, model: int, photos: list[bytes]) -> dict[str, Any]:
        """Compute an answer in one of few threads. Raises Refusal if the server stops."""
        try:
            job: Future[dict[str, Any]] = self._pool.submit(self._answer, model, photos)
            return job.result()
        except (CancelledError, RuntimeError) as error:
            if self._stopping:
                raise Refusal(HTTPStatus.SERVICE_UNAVAILABLE, "the page is closing") from error
            raise

    def process_request(self, request: Any, client_address: Any) -> None:
        """Start a thread for a connection, once there are few enough."""
        while not self._connections.acquire(timeout=0.2):
            if self._stopping:
                self.shutdown_request(request)
                return
        try:
            super().process_request(request, client_address)
        except BaseException:
            self._connections.release()
            raise

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        """Handle one connection."""
        try:
            super().process_request_thread(request, client_address)
        finally:
            self._connections.release()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Report a fault; that somebody hung up is none."""
        if not isinstance(sys.exc_info()[1], OSError):
            traceback.print_exc()

    def serve_until_stopped(self) -> None:
        """Serve in the main thread until Ctrl-C or SIGTERM, and close."""
        before = signal.signal(signal.SIGTERM, signal.default_int_handler)
        try:
            with suppress(KeyboardInterrupt):
                self.serve_forever()
        finally:
            signal.signal(signal.SIGTERM, before)
            self.server_close()

    def shutdown(self) -> None:
        """End :meth:`serve_forever`, from another thread."""
        self._stopping = True
        super().shutdown()

    def server_close(self) -> None:
        """Take no more, let answers under way end, and close."""
        self._stopping = True
        super().server_close()
        self._pool.shutdown(wait=True, cancel_futures=True)
        end = time.monotonic() + _GRACE
        for _ in range(_CONNECTIONS):  # Until what was computed is sent.
            self._connections.acquire(timeout=max(0.0, end - time.monotonic()))


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


class Handler(http.server.BaseHTTPRequestHandler):
    """Reads one request, answers it, and the connection is closed."""

    server_version, sys_version = "mobilenet-suite", ""
    default_request_version = "HTTP/1.0"  # Nonsense gets a whole answer, too.

    @property
    def site(self) -> PageServer:
        """The server."""
        return cast(PageServer, self.server)

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
