"""How requests are refused, and the headers of every response."""

from __future__ import annotations

import json
from http import HTTPStatus
from typing import Any

from tools.flows.answerer import Refusal

Headers = list[tuple[bytes, bytes]]

BUSY = "too many images at once: try again in a moment"
_AGAIN = (HTTPStatus.SERVICE_UNAVAILABLE, HTTPStatus.TOO_MANY_REQUESTS)
_SAFE = {
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
    "Server": "mobilenet-suite",
}
SAFE_HEADERS: Headers = [(name.lower().encode(), value.encode()) for name, value in _SAFE.items()]
CLOSE = (b"connection", b"close")


def refused(error: Refusal) -> tuple[Headers, bytes]:
    """Headers and content of a refusal, without those that every response has.

    The connection ends with it: what is left of the request is not wanted.
    """
    content = as_json({"error": str(error)})
    headers = [
        (b"content-type", b"application/json"),
        (b"content-length", str(len(content)).encode()),
        CLOSE,
    ]
    if error.status in _AGAIN:
        headers.append((b"retry-after", b"1"))
    if error.status == HTTPStatus.UNAUTHORIZED:
        headers.append((b"www-authenticate", b"Bearer"))
    return headers, content


def crowded() -> Refusal:
    """The refusal of a connection for which there is no place."""
    return Refusal(
        HTTPStatus.TOO_MANY_REQUESTS,
        "too many connections from this address: try again in a moment (--connections)",
    )


def as_json(data: dict[str, Any]) -> bytes:
    """JSON for sending. Raises ValueError if a number is not finite."""
    return json.dumps(data, allow_nan=False).encode()
