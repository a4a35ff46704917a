"""Images on servers, fetched because the user names their addresses."""

from __future__ import annotations

import http.client
import re
import urllib.error
import urllib.request
from pathlib import PurePosixPath
from urllib.parse import urlsplit, urlunsplit

from datasets.errors import InputError
from datasets.images import Image, decode_image

_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*)://")
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
        raise InputError(f"{text}: {scheme}:// cannot be read; there is {', '.join(_STREAMED)}")
    try:
        parts = urlsplit(text)
        _ = parts.port
    except ValueError as error:
        raise InputError(f"{text}: no address ({error})") from error
    if not parts.hostname:
        raise InputError(f"{text}: names no server")
    return True


def suffix_of(address: str) -> str:
    """Suffix of the file that an http address names; empty for streams."""
    parts = urlsplit(address)
    if parts.scheme.lower() not in _FETCHED:
        return ""
    return PurePosixPath(parts.path).suffix.lower()


def without_password(address: str) -> str:
    """An address without the name and password of a user."""
    parts = urlsplit(address)
    return urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2]))


def fetch_image(address: str) -> Image:
    """An image (H, W, 3) RGB, upright, from an http address.

    Raises:
        InputError: If it cannot be fetched or read; the message names the address.
    """
    name = without_password(address)
    try:
        with urllib.request.urlopen(address, timeout=_SECONDS) as answer:
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
