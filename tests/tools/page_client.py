"""Talking to the service over real HTTP."""

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

import httpx
from PIL import Image

from configs.serve import LimitSpec
from tools.service.app import Parts
from tools.service.crowd import Crowd
from tools.service.desk import Desk
from tools.service.intake import Question
from tools.service.metrics import Metrics
from tools.service.refusals import as_json
from tools.service.server import Service


class Server(Protocol):
    """What serves until another thread shuts it down."""

    def serve_forever(self) -> None: ...
    def shutdown(self) -> None: ...
    def server_close(self) -> None: ...


Served = TypeVar("Served", bound=Server)
BINARY = "application/octet-stream"
LIMITS = LimitSpec(megabytes=1, megapixels=2, concurrent=1, queue=2)
GET = b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n"
POST = GET.replace(b"GET /", b"POST /v1/predict") + b"Content-Type: application/octet-stream\r\n"


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
    token: str | None = None,
) -> Service:
    """A service without models: what is asked goes to a function."""
    desk = Desk(limits)

    async def predict(read: Callable[[], Question]) -> bytes:
        question = await desk.run(read)
        return as_json(await desk.run(answer, int(question.model or 0), question.images))

    parts = Parts(
        predict=predict,
        models={"models": [], "bytes": limits.bytes},
        applications=(),
        pages={"/": ("text/plain", b"page")},
        desk=desk,
        crowd=Crowd(limits),
        metrics=Metrics(),
        token=token is not None,
    )
    return Service(("127.0.0.1", 0), parts, name, token)


def request(
    server: Service, method: str, path: str, body: bytes | None = None, **headers: str
) -> tuple[int, http.client.HTTPMessage, bytes]:
    connection = http.client.HTTPConnection("127.0.0.1", server.server_address[1], timeout=600)
    try:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        connection.request(method, path, body, named)
        response = connection.getresponse()
        return response.status, response.headers, response.read()
    finally:
        connection.close()


def ask(server: Service, query: str, *images: bytes) -> tuple[int, dict[str, Any]]:
    """The answer to one image as the body, or to several in a form."""
    body, kind = images[0], BINARY
    if len(images) > 1:
        body, kind = form_of(*(("image", image) for image in images))
    status, _, content = request(server, "POST", f"/v1/predict?{query}", body, Content_Type=kind)
    return status, json.loads(content)


def form_of(*fields: tuple[str, bytes]) -> tuple[bytes, str]:
    """A form's content and type; images have a file name, as browsers send them."""
    request = httpx.Request(
        "POST",
        "http://127.0.0.1",
        files=[(name, ("a" if name == "image" else None, data)) for name, data in fields],
    )
    return request.read(), request.headers["Content-Type"]


def picture_of(reply: dict[str, Any]) -> Image.Image:
    head, data = reply["shown"]["image"].split(",")
    assert head == "data:image/jpeg;base64"
    return Image.open(io.BytesIO(base64.b64decode(data)))


def opened(server: Service, source: str = "127.0.0.1") -> socket.socket:
    """A connection from an address of this machine."""
    return socket.create_connection(
        ("127.0.0.1", server.server_address[1]), timeout=600, source_address=(source, 0)
    )


def raw(server: Service, *parts: bytes, end: bool = False) -> bytes:
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
