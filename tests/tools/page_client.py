"""Talking to the page's server over real HTTP."""

from __future__ import annotations

import base64
import http.client
import io
import json
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Protocol, TypeVar

from PIL import Image

from configs.demo import LimitSpec
from tools.page.serving import PageServer


class Server(Protocol):
    """What serves until another thread shuts it down."""

    def serve_forever(self) -> None: ...
    def shutdown(self) -> None: ...
    def server_close(self) -> None: ...


Served = TypeVar("Served", bound=Server)
BINARY = "application/octet-stream"
LIMITS = LimitSpec(megabytes=1, megapixels=2, concurrent=1, queue=2)
POST = b"POST /answer HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/octet-stream\r\n"


@contextmanager
def serving(server: Served) -> Iterator[Served]:
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def simple(
    answer: Callable[[int, list[bytes]], dict[str, Any]],
    limits: LimitSpec = LIMITS,
    name: str | None = None,
) -> PageServer:
    """A server without models."""
    return PageServer(("127.0.0.1", 0), limits, {"/": ("text/plain", b"page")}, answer, name)


def request(
    server: PageServer, method: str, path: str, body: bytes | None = None, **headers: str
) -> tuple[int, http.client.HTTPMessage, bytes]:
    connection = http.client.HTTPConnection("127.0.0.1", server.server_address[1], timeout=600)
    try:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        connection.request(method, path, body, named)
        response = connection.getresponse()
        return response.status, response.headers, response.read()
    finally:
        connection.close()


def ask(server: PageServer, query: str, body: bytes) -> tuple[int, dict[str, Any]]:
    status, _, content = request(server, "POST", f"/answer?{query}", body, Content_Type=BINARY)
    return status, json.loads(content)


def picture_of(reply: dict[str, Any]) -> Image.Image:
    head, data = reply["picture"].split(",")
    assert head == "data:image/jpeg;base64"
    return Image.open(io.BytesIO(base64.b64decode(data)))


def opened(server: PageServer, source: str = "127.0.0.1") -> socket.socket:
    """A connection from an address of this machine."""
    return socket.create_connection(
        ("127.0.0.1", server.server_address[1]), timeout=600, source_address=(source, 0)
    )


def raw(server: PageServer, *parts: bytes, end: bool = False) -> bytes:
    """Send bytes as they are, and read to the end."""
    with opened(server) as line:
        for part in parts:
            line.sendall(part)
        if end:
            line.shutdown(socket.SHUT_WR)
        return whole(line)


def whole(line: socket.socket) -> bytes:
    """All that still comes, which no reset may cut."""
    found = b""
    while piece := line.recv(2**16):
        found += piece
    return found
