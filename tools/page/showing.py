"""The page itself: its files, its models, and what is computed for a photo."""

from __future__ import annotations

import base64
import ipaddress
import json
import time
from collections.abc import Sequence
from importlib.resources import files
from typing import Any

import cv2

from configs.demo import Demo
from datasets.errors import InputError
from datasets.images import Image
from tools import cli
from tools.flows.answerer import Refusal
from tools.flows.recipe import Recipe
from tools.page.serving import PageServer
from tools.page.shelf import Shelf
from tools.page.uploads import decode_upload

_FILES = {
    "/": ("index.html", "text/html; charset=utf-8"),
    "/page.css": ("page.css", "text/css; charset=utf-8"),
    "/page.js": ("page.js", "text/javascript; charset=utf-8"),
    "/icon.svg": ("icon.svg", "image/svg+xml"),
}
_MODELS = "/models.json"
_QUALITY = 90
_BAD_REQUEST = 400


def open_page(
    config: Demo, device: str, recipes: Sequence[Recipe[Any]]
) -> tuple[PageServer, Shelf]:
    """A server that listens, and its models. Raises InputError if one or the address fails."""
    _warn_of_others(config.host)
    shelf = Shelf(config, device, recipes)
    folder = files("tools.page")
    pages = {path: (kind, (folder / name).read_bytes()) for path, (name, kind) in _FILES.items()}
    told = {"models": shelf.describe(), "bytes": config.limits.bytes}
    pages[_MODELS] = ("application/json", json.dumps(told).encode())

    def answer(model: int, photos: list[bytes]) -> dict[str, Any]:
        return answer_photos(shelf, model, photos, config.limits.pixels)

    try:
        server = PageServer((config.host, config.port), config.limits, pages, answer)
    except OSError as error:
        raise InputError(
            f"--host {config.host} --port {config.port}: {error.strerror or error}; choose "
            "another, or --port 0 for a free one"
        ) from error
    return server, shelf


def answer_photos(
    shelf: Shelf, model: int, photos: list[bytes], most_pixels: int
) -> dict[str, Any]:
    """What the page is sent for one photo or two. Raises Refusal if it cannot answer for them."""
    if model >= len(shelf):
        raise Refusal(_BAD_REQUEST, f"there is no model {model}: load the page again")
    wanted = shelf.photos_for(model)
    if len(photos) != wanted:
        raise Refusal(_BAD_REQUEST, f"this model answers for {wanted} photo(s), not {len(photos)}")
    answerer = shelf.open(model)
    start = time.perf_counter()
    images = [decode_upload(photo, most_pixels) for photo in photos]
    decode = 1000 * (time.perf_counter() - start)
    reply, network, draw = answerer.answer(images)
    start = time.perf_counter()
    picture = _as_url(reply.picture)
    draw += 1000 * (time.perf_counter() - start)
    return {
        "picture": picture,
        "summary": reply.summary,
        "detail": reply.detail,
        "columns": [column._asdict() for column in reply.columns],
        "rows": reply.rows,
        "milliseconds": {"decode": decode, "network": network, "draw": draw},
        "sizes": [[image.shape[1], image.shape[0]] for image in images],
    }


def _as_url(picture: Image) -> str:
    """A picture as a JPEG in a data: address."""
    options = [cv2.IMWRITE_JPEG_QUALITY, _QUALITY]
    _, data = cv2.imencode(".jpg", picture[..., ::-1], options)
    return f"data:image/jpeg;base64,{base64.b64encode(data.tobytes()).decode()}"


def _warn_of_others(host: str) -> None:
    try:
        is_loopback = ipaddress.ip_address(host).is_loopback
    except ValueError:
        is_loopback = host == "localhost"
    if not is_loopback:
        cli.say(
            f"warning: --host {host}: anyone who reaches this machine may use the page, and "
            "photos travel there unencrypted; it has no password"
        )
