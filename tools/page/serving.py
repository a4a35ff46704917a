"""A small web server for one page on one machine, with limits on everything.

It knows nothing about models: it serves files from memory, and passes the bytes of images to a
function. One thread reads and writes all connections, so that slow ones cost little; an image is
only passed on once it is complete. Time, rate, memory, queue and connections are limited.
"""

from __future__ import annotations

import asyncio
import ipaddress
import signal
import socket
import sys
import threading
import time
import traceback
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from http import HTTPStatus
from typing import Any
from urllib.parse import urlsplit

from configs.demo import LimitSpec
from tools.cli import explain
from tools.flows.answerer import Refusal
from tools.page.requests import BODY_TYPE, JSON, Flight, Head, Line, as_json

try:
    import resource
except ImportError:  # Not on every system.
    resource = None  # type: ignore[assignment]

# Number of open connections; those beyond it wait in the kernel. The rest of the files is for
# other things.
_CONNECTIONS, _BACKLOG, _OTHER_FILES = 4096, 1024, 128
# If there are too many, a connection that has sent no complete request for this many seconds is
# closed.
_STALE = 2.0
# Seconds that answers in progress have when the server is stopped; waiting clients have none.
_GRACE = 3.0

Answer = Callable[[int, list[bytes]], dict[str, Any]]


class PageServer:
    """Serves pages (type and content by path) and answers on one address until it is stopped.

    Args:
        address: Host and port; port 0 takes a free one.
        limits: Limits of the server.
        pages: Type and content of each page, by path.
        answer: Function from a model's number and the bytes of images to the JSON data to send.
        public_name: Host name under which a proxy offers the page.

    Raises:
        OSError: If the server cannot listen on the address.
    """

    def __init__(
        self,
        address: tuple[str, int],
        limits: LimitSpec,
        pages: dict[str, tuple[str, bytes]],
        answer: Answer,
        public_name: str | None = None,
    ) -> None:
        self._host, self._limits, self._pages, self._answer = address[0], limits, pages, answer
        self._names = {"localhost", self._host.lower(), (public_name or "localhost").lower()}
        self._places, self._flight = limits.concurrent + limits.queue, Flight(limits.bytes)
        self._pool = ThreadPoolExecutor(limits.concurrent, "answer")
        self._lines: dict[asyncio.Task[None], Line] = {}
        self._crowds: Counter[str] = Counter()
        self._most = _most_connections()
        self._stopping, self._ended = threading.Event(), threading.Event()
        self._loop: asyncio.AbstractEventLoop | None = None
        family = socket.AF_INET6 if ":" in self._host else socket.AF_INET
        self._socket = socket.create_server(address, family=family, backlog=_BACKLOG)
        self.server_address = self._socket.getsockname()

    @property
    def url(self) -> str:
        """Address of the page."""
        host, port = self.server_address[:2]
        name = str(host)
        return f"http://{f'[{name}]' if ':' in name else name}:{port}/"

    def serve_forever(self) -> None:
        """Serve until :meth:`shutdown`, and let answers in progress end."""
        try:
            asyncio.run(self._serve())
        finally:
            self._ended.set()

    def serve_until_stopped(self) -> None:
        """Serve in the main thread until Ctrl-C or SIGTERM, and close."""
        before = {
            number: signal.signal(number, lambda *_: self._stop())
            for number in (signal.SIGINT, signal.SIGTERM)
        }
        try:
            self.serve_forever()
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)
            self.server_close()

    def shutdown(self) -> None:
        """End :meth:`serve_forever`, from another thread."""
        self._stop()
        self._ended.wait()

    def server_close(self) -> None:
        """Stop listening."""
        self._socket.close()
        self._pool.shutdown(wait=True, cancel_futures=True)

    def _stop(self) -> None:
        self._stopping.set()
        with suppress(AttributeError, RuntimeError):  # It has not begun, or is over.
            self._loop.call_soon_threadsafe(self._accepting.cancel)  # type: ignore[union-attr]

    async def _serve(self) -> None:
        """Accept connections until the server is stopped; then close."""
        self._accepting = asyncio.ensure_future(self._accept())
        self._loop = asyncio.get_running_loop()
        if self._stopping.is_set():
            self._accepting.cancel()
        with suppress(asyncio.CancelledError):
            await self._accepting
        self._socket.close()
        self._pool.shutdown(wait=False, cancel_futures=True)
        for task, line in self._lines.items():
            if line.reading:
                task.cancel()
        if self._lines:
            await asyncio.wait(self._lines, timeout=_GRACE)

    async def _accept(self) -> None:
        loop = asyncio.get_running_loop()
        self._socket.setblocking(False)
        while True:
            while len(self._lines) >= self._most and not self._hang_up(*self._crowds):
                await asyncio.sleep(0.05)
            try:
                connection, source = await loop.sock_accept(self._socket)
            except OSError:  # It has gone, or there is no file left for it.
                await asyncio.sleep(0.05)
                continue
            connection.setblocking(False)
            line = Line(connection, _who(source[0]), self._limits, self._flight)
            crowded = self._crowds[line.address] >= self._limits.connections
            crowded = crowded and not self._hang_up(line.address)
            task = asyncio.ensure_future(self._handle(line, crowded=crowded))
            self._lines[task] = line
            self._crowds[line.address] += 1
            task.add_done_callback(self._forget)
            await asyncio.sleep(0)  # Others have their turn.

    def _forget(self, task: asyncio.Task[None]) -> None:
        line = self._lines.pop(task)
        line.close()
        self._crowds -= Counter([line.address])
        if not task.cancelled() and (error := task.exception()) is not None:
            traceback.print_exception(error)

    def _hang_up(self, *addresses: str) -> bool:
        """Close the busiest address's connection that has been idle longest."""
        address = max(addresses, key=lambda one: self._crowds[one])
        awaited = [
            t for t, line in self._lines.items() if line.address == address and line.reading
        ]
        task = min(awaited, key=lambda one: self._lines[one].began, default=None)
        if task is None or time.monotonic() - self._lines[task].began < _STALE:
            return False
        return task.cancel()

    async def _handle(self, line: Line, *, crowded: bool) -> None:
        """Read one request and answer it."""
        with suppress(OSError):  # Nobody is there any more, or too slowly.
            try:
                if crowded:
                    raise _crowd()
                given = await self._answered(line)
            except asyncio.CancelledError:
                if self._stopping.is_set():
                    raise
                given, line.unread = _refused(_crowd()), 0  # Its place is needed at once.
            except Refusal as error:  # It holds the images, so it ends before anything is sent.
                given = _refused(error)
            finally:
                line.give_back()
            if given is not None:
                await line.send(*given)
                await line.finish()

    async def _answered(self, line: Line) -> tuple[int, str, bytes] | None:
        """Status, type and content of an answer; None if there was no request. Raises Refusal."""
        head = await line.head()
        if head is None:
            return None
        if head.method == "GET":
            line.unread = head.follows(line.unread)
            self._check_origin(head)
            if head.path not in self._pages:
                raise Refusal(HTTPStatus.NOT_FOUND, "there is no such page")
            return HTTPStatus.OK, *self._pages[head.path]
        if head.method != "POST":
            raise Refusal(HTTPStatus.NOT_IMPLEMENTED, f"{head.method} is not known here")
        length = line.unread = head.length()
        self._check_origin(head)
        if head.path != "/answer":
            raise Refusal(HTTPStatus.NOT_FOUND, "there is no such page")
        if length > self._limits.bytes:
            raise Refusal(
                HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
                f"the request has {length / 1e6:.1f} MB; at most "
                f"{self._limits.bytes / 1e6:g} are taken (--megabytes)",
            )
        if head.fields.get("Content-Type") != BODY_TYPE:
            raise Refusal(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, f"the request must be {BODY_TYPE}")
        model, first = head.number("model"), head.number("first")
        expects = head.fields.get("Expect", "").lower() == "100-continue"
        photos = [await line.body(length, expects=expects)]
        if "first" in head.query:
            photos = [photos[0][:first], photos[0][first:]]
        return await self._compute(model, photos)

    async def _compute(self, model: int, photos: list[bytes]) -> tuple[int, str, bytes]:
        """Compute an answer in one of few threads. Raises Refusal if the queue is full."""
        if self._stopping.is_set():
            raise Refusal(HTTPStatus.SERVICE_UNAVAILABLE, "the page is closing")
        if self._places == 0:
            raise Refusal(
                HTTPStatus.SERVICE_UNAVAILABLE, "too many images at once: try again in a moment"
            )
        self._places -= 1
        try:
            job = asyncio.wrap_future(self._pool.submit(self._told, model, photos))
            await asyncio.wait([job])
        finally:
            self._places += 1
        if job.cancelled():
            raise Refusal(HTTPStatus.SERVICE_UNAVAILABLE, "the page is closing")
        return job.result()

    def _told(self, model: int, photos: list[bytes]) -> tuple[int, str, bytes]:
        """The response for images; for a fault the terminal shows more.

        A refusal is not raised through the future, which would keep it, and the images with it.
        """
        try:
            return HTTPStatus.OK, JSON, as_json(self._answer(model, photos))
        except Refusal as error:
            return _refused(error)
        except Exception as error:
            _, text = explain(error)
            if not text:
                traceback.print_exception(error)
            told = text or f"internal fault: {type(error).__name__}"
            return _refused(Refusal(HTTPStatus.INTERNAL_SERVER_ERROR, told))

    def _is_own_name(self, host: str) -> bool:
        """Whether a Host header names this server by address, as localhost, or by a flag's name.

        A page of another site can make its name point here (DNS rebinding), but cannot have an
        address as its name.
        """
        try:
            name = urlsplit(f"//{host}").hostname or ""
        except ValueError:
            return False
        try:
            ipaddress.ip_address(name)
        except ValueError:
            return name in self._names
        return True

    def _check_origin(self, head: Head) -> None:
        """Refuse other names (DNS rebinding), and requests from pages of other sites."""
        host = head.fields.get("Host", "")
        if not self._is_own_name(host):
            raise Refusal(HTTPStatus.FORBIDDEN, f"this page is not {host[:80]!r}: open {self.url}")
        origin = head.fields.get("Origin")
        # A proxy may use HTTPS for this server, under the same name.
        if origin not in (None, f"http://{host}", f"https://{host}"):
            raise Refusal(HTTPStatus.FORBIDDEN, "only the page itself may ask for answers")


def _who(address: str) -> str:
    """Whom limits apply to: an address, or for IPv6 the network of the client."""
    found = ipaddress.ip_address(address.partition("%")[0])
    if isinstance(found, ipaddress.IPv6Address) and found.ipv4_mapped is None:
        return str(ipaddress.ip_network((found, 64), strict=False))
    return address


def _refused(error: Refusal) -> tuple[int, str, bytes]:
    """Status, type and content of a refusal."""
    return error.status, JSON, as_json({"error": str(error)})


def _crowd() -> Refusal:
    return Refusal(
        HTTPStatus.TOO_MANY_REQUESTS,
        "too many connections from this address: try again in a moment (--connections)",
    )


def _most_connections() -> int:
    """Number of connections for which this process's file limit is enough."""
    if resource is None:
        return 256
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = _CONNECTIONS + _OTHER_FILES
    if soft != resource.RLIM_INFINITY and soft < wanted:
        most = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
        with suppress(OSError, ValueError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))
            soft = most
    if sys.platform == "darwin" or soft == resource.RLIM_INFINITY:
        return _CONNECTIONS
    return max(16, min(_CONNECTIONS, soft - _OTHER_FILES))
