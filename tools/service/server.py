"""The server: one thread for all connections, which is uvicorn's, until it is stopped."""

from __future__ import annotations

import signal
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any, cast

import uvicorn

from tools.service.app import Parts, make_app
from tools.service.connection import HEAD, LimitedConnection
from tools.service.crowd import Crowd
from tools.service.guard import Guard, Rules
from tools.service.metrics import Metrics

# Number of connections that wait in the kernel to be accepted.
# Seconds that requests in progress have when the server is stopped; clients that are still
# sending have none.
_GRACE = 3.0
# Seconds for which a connection may be idle between requests.
_IDLE = 5


class Service:
    """Serves one address until it is stopped.

    Args:
        address: Host and port; port 0 takes a free one.
        parts: What is served.
        public_name: Host name under which a proxy or another container reaches it.
        token: What requests for answers must carry, if anything.

    Raises:
        OSError: If the server cannot listen on the address.
    """

    def __init__(
        self,
        address: tuple[str, int],
        parts: Parts,
        public_name: str | None = None,
        token: str | None = None,
    ) -> None:
        host, self._parts = address[0], parts
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        self._socket = socket.create_server(address, family=family, backlog=parts.crowd.backlog)
        self.server_address = self._socket.getsockname()
        app = make_app(parts)
        rules = Rules(
            limits=parts.crowd.limits,
            names=frozenset({"localhost", host.lower(), (public_name or "localhost").lower()}),
            url=self.url,
            token=token,
            paths=frozenset(getattr(route, "path", "") for route in app.routes),
        )
        self._server = _Server(_settings(Guard(app, rules, parts.metrics), parts.crowd))
        parts.crowd.refused = partial(_count, parts.metrics)
        self._ended = threading.Event()

    @property
    def url(self) -> str:
        """Address of the page."""
        host, port = self.server_address[:2]
        name = str(host)
        return f"http://{f'[{name}]' if ':' in name else name}:{port}/"

    def serve_forever(self) -> None:
        """Serve until :meth:`shutdown`, Ctrl-C or SIGTERM, and let requests in progress end."""
        try:
            self._server.run(sockets=[self._socket])
        finally:
            self._ended.set()

    def serve_until_stopped(self) -> None:
        """Serve in the main thread, and close."""
        try:
            self.serve_forever()
        finally:
            self.server_close()

    def shutdown(self) -> None:
        """End :meth:`serve_forever`, from another thread."""
        self._server.should_exit = True
        self._ended.wait()

    def server_close(self) -> None:
        """Stop listening."""
        self._socket.close()
        self._parts.desk.close()


def _settings(app: Guard, crowd: Crowd) -> uvicorn.Config:
    """How uvicorn serves an application: silently, and within limits."""
    return uvicorn.Config(
        app,
        http=cast("Any", partial(LimitedConnection, crowd)),
        ws="none",
        lifespan="off",
        loop="asyncio",
        log_config=None,
        log_level="critical",  # Nobody is logged; faults are shown by the guard.
        access_log=False,
        proxy_headers=False,  # Whom limits apply to is known from the connection alone.
        server_header=False,
        backlog=crowd.backlog,
        timeout_keep_alive=_IDLE,
        timeout_graceful_shutdown=cast("int", _GRACE),
        h11_max_incomplete_event_size=HEAD,
    )


def _count(metrics: Metrics, status: int) -> None:
    """Count what was refused before the application saw it."""
    metrics.requests.labels("connection", str(status)).inc()


class _Server(uvicorn.Server):
    """uvicorn's, to which Ctrl-C and SIGTERM are the usual end, not an error."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Handle both while it serves."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        before = {
            number: signal.signal(number, self.handle_exit)
            for number in (signal.SIGINT, signal.SIGTERM)
        }
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)
