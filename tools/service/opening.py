"""Opens the service: its models, its page, its token, and its address."""

from __future__ import annotations

import ipaddress
import os
from importlib.resources import files

import cv2

from configs.serve import Serve
from datasets.errors import InputError
from datasets.text import read_text
from tools import cli, page
from tools.service.app import Parts
from tools.service.crowd import Crowd
from tools.service.desk import Desk
from tools.service.metrics import Metrics
from tools.service.predicting import Predicting
from tools.service.server import Service
from tools.service.shelf import Shelf

TOKEN_VARIABLE = "MOBILENETS_TOKEN"
_SHORTEST = 16
_FILES = {
    "/": ("index.html", "text/html; charset=utf-8"),
    "/page.css": ("page.css", "text/css; charset=utf-8"),
    "/page.js": ("page.js", "text/javascript; charset=utf-8"),
    "/icon.svg": ("icon.svg", "image/svg+xml"),
}


def open_service(config: Serve) -> tuple[Service, Shelf]:
    """A listening server, and its models. Raises InputError if one or the address fails."""
    cv2.setNumThreads(0)  # Images are decoded in parallel instead.
    token = read_token(config)
    _warn_of_others(config.host, token)
    shelf = Shelf(config)
    metrics, desk = Metrics(), Desk(config.limits)
    parts = Parts(
        predict=Predicting(shelf, desk, config, metrics),
        models={"models": shelf.describe(), "bytes": config.limits.bytes},
        applications=shelf.applications,
        pages=_pages(),
        desk=desk,
        crowd=Crowd(config.limits),
        metrics=metrics,
        token=token is not None,
    )
    try:
        return Service((config.host, config.port), parts, config.public_name, token), shelf
    except OSError as error:
        raise InputError(
            f"--host {config.host} --port {config.port}: {error.strerror or error}; choose "
            "another, or --port 0 for a free one"
        ) from error


def _pages() -> dict[str, tuple[str, bytes]]:
    """Type and content of the page's files, by path."""
    folder = files(page)
    return {path: (kind, (folder / name).read_bytes()) for path, (name, kind) in _FILES.items()}


def read_token(config: Serve) -> str | None:
    """The token of the flags or the environment. Raises InputError if it is no usable one."""
    if config.token_file is not None:
        place, token = f"--token-file {config.token_file}", read_text(config.token_file).strip()
    elif TOKEN_VARIABLE in os.environ:
        place, token = TOKEN_VARIABLE, os.environ[TOKEN_VARIABLE].strip()
    else:
        return None
    if len(token) < _SHORTEST or not token.isascii() or not token.isprintable() or " " in token:
        raise InputError(
            f"{place}: a token has {_SHORTEST} or more letters, digits and signs, without spaces: "
            "python -c 'import secrets; print(secrets.token_urlsafe())' makes one"
        )
    return token


def _warn_of_others(host: str, token: str | None) -> None:
    try:
        is_loopback = ipaddress.ip_address(host).is_loopback
    except ValueError:
        is_loopback = host == "localhost"
    if is_loopback:
        return
    may = "anyone who reaches this machine may use the models, and" if token is None else "all"
    lacks = "; no token is required (--token-file)" if token is None else ", and so does the token"
    cli.say(f"warning: --host {host}: {may} images travel there unencrypted{lacks}")
