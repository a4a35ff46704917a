"""Images on servers, fetched because the user names their addresses."""

from __future__ import annotations

import http.client
import re
import urllib.error
import urllib.request
from base64 import b64encode
from pathlib import PurePosixPath
from urllib.parse import unquote, urlsplit

from datasets.errors import InputError
from datasets.images import Image, decode_image

_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*)://")
# An address up to the password, which ends at the last @ before the path.
_USER = re.compile(r"^([A-Za-z][A-Za-z0-9+.-]*://)[^/?#]*@")
_FETCHED = ("http", "https")
_STREAMED = (*_FETCHED, "rtsp", "rtsps", "rtmp", "rtmps", "udp", "rtp", "srt", "tcp", "mms")
_SECONDS = 30.0
_MOST_BYTES = 1 << 28


def is_address(text: str) -> bool:
    """Whether a text is the address of an image or a stream.

    Raises:
        InputError: If it is an address of a kind that cannot be read.
    """
    found = _SCHEME.match(text)
    if found is None:
        return False
    scheme = found[1].lower()
    if scheme not in _STREAMED:
        known = ", ".join(_STREAMED)
        raise InputError(f"{_cleared(text)}: {scheme}:// cannot be read; there is {known}")
    try:
        parts = urlsplit(text)
        _ = parts.port
    except ValueError as error:
        # The reason may quote a password with a slash, whose rest looks like a path.
        why = "is a sign of the password not encoded, as / is by %2F?" if "@" in text else error
        raise InputError(f"{_cleared(text)}: no address ({why})") from None
    if not parts.hostname:
        raise InputError(f"{_cleared(text)}: names no server")
    return True


def suffix_of(address: str) -> str:
    """Suffix of the file that an http address names; empty for streams."""
    parts = urlsplit(address)
    if parts.scheme.lower() not in _FETCHED:
        return ""
    return PurePosixPath(parts.path).suffix.lower()


def without_password(address: str) -> str:
    """An address without the name and password of a user; other texts are unchanged."""
    return _USER.sub(r"\1", address)


def _cleared(text: str) -> str:
    """What may be an address, without all that may belong to a password."""
    scheme, between, rest = text.partition("://")
    return f"{scheme}{between}{rest.rpartition('@')[2]}"


def _request(address: str) -> urllib.request.Request:
    """A request whose password is in its head, where redirections do not take it along."""
    asked, parts = urllib.request.Request(without_password(address)), urlsplit(address)
    if parts.username is not None:
        user = f"{unquote(parts.username)}:{unquote(parts.password or '')}".encode()
        asked.add_unredirected_header("Authorization", f"Basic {b64encode(user).decode()}")
    return asked


def fetch_image(address: str) -> Image:
    """An image (H, W, 3) RGB, upright, from an http address.

    Raises:
        InputError: If it cannot be fetched or read; the message names the address.
    """
    name = without_password(address)
    try:
        with urllib.request.urlopen(_request(address), timeout=_SECONDS) as answer:
            data = answer.read(_MOST_BYTES + 1)
    except urllib.error.HTTPError as error:
        raise InputError(f"{name}: the server answers {error.code} {error.reason}") from error
    except urllib.error.URLError as error:
        why = getattr(error.reason, "strerror", None) or error.reason
        raise InputError(f"{name}: cannot be fetched ({why})") from error
    except (OSError, ValueError, http.client.HTTPException) as error:
        raise InputError(f"{name}: cannot be fetched ({error or type(error).__name__})") from error
    if len(data) > _MOST_BYTES:
        raise InputError(f"{name}: over {_MOST_BYTES >> 20} MiB are no image to fetch")
    return decode_image(data, name, upright=True)
