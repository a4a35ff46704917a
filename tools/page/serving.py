"""A small web server for one page on one machine: bounded in every direction.

It knows nothing of models: it hands out files that are in memory, and the bytes of photos to a
function. http.server alone would start a thread for every connection, wait for slow ones without
end, and answer to any name; each of these is limited here.
"""

from __future__ import annotations

import ipaddress
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
from typing import Any
from urllib.parse import urlsplit

from configs.demo import LimitSpec
from tools.flows.answerer import Refusal
from tools.page.handling import Handler

# Threads that read requests or write answers; connections beyond them wait in the kernel.
_CONNECTIONS, _BACKLOG = 128, 1024
# Seconds that answers under way have when the server is stopped.
_GRACE = 3.0

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
