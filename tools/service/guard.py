"""What every request must fulfil before the application sees it."""

from __future__ import annotations

import hmac
import ipaddress
import time
import traceback
from collections.abc import Collection
from http import HTTPStatus
from typing import NamedTuple
from urllib.parse import urlsplit

from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from configs.serve import LimitSpec
from tools.cli import explain
from tools.flows.answerer import Refusal
from tools.service.connection import HEAD
from tools.service.metrics import Metrics
from tools.service.refusals import CLOSE, SAFE_HEADERS, refused

# Largest number of headers, and of digits in a length.
_HEADERS, _DIGITS = 100, 15
# What a token protects: everything but the page's files, its description and its health.
_PROTECTED = ("/v1/", "/metrics")


class Rules(NamedTuple):
    """What is asked of a request.

    Attributes:
        limits: Limits of the service.
        names: Host names under which it is reached, in lower case; addresses always are.
        url: Its own address, for messages.
        token: What requests for answers must carry, if anything.
        paths: Paths that exist; the others are counted together.
    """

    limits: LimitSpec
    names: frozenset[str]
    url: str
    token: str | None
    paths: Collection[str]


class Guard:
    """An ASGI application that checks requests and passes them on to another one."""

    def __init__(self, app: ASGIApp, rules: Rules, metrics: Metrics) -> None:
        self._app, self._rules, self._metrics = app, rules, metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        exchange = _Exchange(scope, receive, send)
        begun = time.monotonic()
        try:
            self._check(scope)
            await self._app(scope, exchange.receive, exchange.send)
        except ClientDisconnect:
            return
        except Refusal as error:
            await exchange.refuse(error)
        except Exception as error:
            await exchange.refuse(fault(error))
        path = scope["path"] if scope["path"] in self._rules.paths else "other"
        self._metrics.requests.labels(path, str(exchange.status)).inc()
        self._metrics.seconds.labels(path).observe(time.monotonic() - begun)

    def _check(self, scope: Scope) -> None:
        """See to it that a request may be answered. Raises Refusal if not."""
        if not scope["http_version"].startswith("1."):
            text = "only HTTP/1.1 is spoken here"
            raise Refusal(HTTPStatus.HTTP_VERSION_NOT_SUPPORTED, text)
        fields: list[tuple[bytes, bytes]] = scope["headers"]
        size = sum(len(name) + len(value) for name, value in fields)
        if len(fields) > _HEADERS or size > HEAD:
            text = "the headers are too many"
            raise Refusal(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE, text)
        self._check_origin(_values(scope, b"host"), _values(scope, b"origin"))
        if self._rules.token is not None and scope["path"].startswith(_PROTECTED):
            self._check_token(_values(scope, b"authorization"), self._rules.token)
        if scope["method"] == "POST":
            self._check_length(scope)

    def _check_length(self, scope: Scope) -> None:
        """Check that the body is as long as is stated, and not too long."""
        given, limits = _values(scope, b"content-length"), self._rules.limits
        coded = _values(scope, b"transfer-encoding")
        if len(given) != 1 or not _is_number(given[0]) or coded:
            text = "the request must state its length (Content-Length)"
            raise Refusal(HTTPStatus.LENGTH_REQUIRED, text)
        if (length := int(given[0])) > limits.bytes:
            raise Refusal(
                HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
                f"the request has {length / 1e6:.1f} MB; at most "
                f"{limits.bytes / 1e6:g} are taken (--megabytes)",
            )

    def _check_token(self, given: list[str], token: str) -> None:
        """Compare tokens in a time that shows nothing about them."""
        kind, _, value = given[0].partition(" ") if len(given) == 1 else ("", "", "")
        same = hmac.compare_digest(value.strip().encode("latin-1"), token.encode())
        if kind.lower() != "bearer" or not same:
            text = 'the token is missing or wrong: send "Authorization: Bearer TOKEN"'
            raise Refusal(HTTPStatus.UNAUTHORIZED, text)

    def _check_origin(self, hosts: list[str], origins: list[str]) -> None:
        """Refuse other names (DNS rebinding), and requests from pages of other sites."""
        host = hosts[0] if len(hosts) == 1 else ""
        if not self._is_own_name(host):
            text = f"this service is not {host[:80]!r}: open {self._rules.url}"
            raise Refusal(HTTPStatus.FORBIDDEN, text)
        # A proxy may use HTTPS for this server, under the same name.
        if any(one not in (f"http://{host}", f"https://{host}") for one in origins):
            raise Refusal(HTTPStatus.FORBIDDEN, "only the page itself may ask for answers")

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
            return name in self._rules.names
        return True


class _Exchange:
    """A request and its response, to which headers are added."""

    def __init__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self._scope, self._receive, self._send = scope, receive, send
        lengths = [one for one in _values(scope, b"content-length") if one != "0"]
        self._left = bool(lengths) or bool(_values(scope, b"transfer-encoding"))
        self.status = 0

    async def receive(self) -> Message:
        """The next part of the request."""
        message = await self._receive()
        self._left = self._left and bool(message.get("more_body"))
        return message

    async def send(self, message: Message) -> None:
        """Send a part of the response; the connection ends if the request was not read."""
        if message["type"] == "http.response.start":
            self.status = message["status"]
            headers = [*message.get("headers", []), *SAFE_HEADERS]
            if self._left and CLOSE not in headers:
                headers.append(CLOSE)
            message = {**message, "headers": headers}
        await self._send(message)

    async def refuse(self, error: Refusal) -> None:
        """Send a refusal in place of a response, unless one has begun."""
        if self.status:
            return
        headers, content = refused(error)
        await self.send(
            {"type": "http.response.start", "status": error.status, "headers": headers}
        )
        await self.send({"type": "http.response.body", "body": content})


def fault(error: Exception) -> Refusal:
    """What the client sees of a fault; the terminal shows more."""
    _, text = explain(error)
    if not text:
        traceback.print_exception(error)
    text = text or f"internal fault: {type(error).__name__}"
    return Refusal(HTTPStatus.INTERNAL_SERVER_ERROR, text)


def _values(scope: Scope, name: bytes) -> list[str]:
    return [value.decode("latin-1") for key, value in scope["headers"] if key == name]


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) <= _DIGITS
