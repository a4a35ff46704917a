"""The page: its files, its models, and the processing of an untrusted image.

Such an image is inspected from outside first, and decoded only if that is safe.
"""

from __future__ import annotations

import base64
import io
import ipaddress
import json
import re
import time
from collections.abc import Sequence
from importlib.resources import files
from typing import Any

import cv2
from PIL import Image as PilImage
from PIL import UnidentifiedImageError

from configs.demo import Demo
from datasets.errors import InputError
from datasets.images import Image, decode_image
from tools import cli
from tools.flows.answerer import Refusal
from tools.flows.recipe import Recipe
from tools.page.serving import PageServer
from tools.page.shelf import Shelf

_FILES = {
    "/": ("index.html", "text/html; charset=utf-8"),
    "/page.css": ("page.css", "text/css; charset=utf-8"),
    "/page.js": ("page.js", "text/javascript; charset=utf-8"),
    "/icon.svg": ("icon.svg", "image/svg+xml"),
}
_MODELS = "/models.json"
_QUALITY = 90
# Formats that browsers can show. Pillow supports many more, and runs other programs for some of
# them.
_KINDS = ("JPEG", "PNG", "WEBP", "GIF", "BMP")
_KNOWN = "JPEG, PNG, WebP, GIF or BMP"
# A JPEG may have thousands of scans, which are slow to decode. Cameras and editors write 1 to 20.
# Length and number of components distinguish the header of a scan from two bytes that occur by
# chance.
_SCAN, _MOST_SCANS = re.compile(rb"\xff\xda\x00[\x08\x0a\x0c\x0e][\x01-\x04]"), 100
# Brand names of the container that HEIC and AVIF share.
_APPLE = (b"ftypheic", b"ftypheix", b"ftypmif1", b"ftypmsf1", b"ftyphevc", b"ftypavif")

BAD_REQUEST, TOO_LARGE, UNKNOWN, DAMAGED = 400, 413, 415, 422


def open_page(
    config: Demo, device: str, recipes: Sequence[Recipe[Any]]
) -> tuple[PageServer, Shelf]:
    """A listening server, and its models. Raises InputError if one or the address fails."""
    _warn_of_others(config.host)
    shelf = Shelf(config, device, recipes)
    folder = files("tools.page")
    pages = {path: (kind, (folder / name).read_bytes()) for path, (name, kind) in _FILES.items()}
    told = {"models": shelf.describe(), "bytes": config.limits.bytes}
    pages[_MODELS] = ("application/json", json.dumps(told).encode())

    def answer(model: int, photos: list[bytes]) -> dict[str, Any]:
        return answer_photos(shelf, model, photos, config.limits.pixels)

    try:
        address = config.host, config.port
        server = PageServer(address, config.limits, pages, answer, config.public_name)
    except OSError as error:
        raise InputError(
            f"--host {config.host} --port {config.port}: {error.strerror or error}; choose "
            "another, or --port 0 for a free one"
        ) from error
    return server, shelf


def answer_photos(
    shelf: Shelf, model: int, photos: list[bytes], most_pixels: int
) -> dict[str, Any]:
    """The page's answer for one image or two. Raises Refusal if there is none."""
    if model >= len(shelf):
        raise Refusal(BAD_REQUEST, f"there is no model {model}: load the page again")
    wanted = shelf.photos_for(model)
    if len(photos) != wanted:
        raise Refusal(BAD_REQUEST, f"this model answers for {wanted} image(s), not {len(photos)}")
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
    """An image as a JPEG in a data: address."""
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
            "images travel there unencrypted; it has no password"
        )


def decode_upload(data: bytes, most_pixels: int) -> Image:
    """Decode an untrusted image.

    Args:
        data: Bytes of the file.
        most_pixels: Largest permitted number of pixels.

    Returns:
        (H, W, 3) uint8 RGB, upright.

    Raises:
        Refusal: If it is not an image (415), too large (413), or damaged (422).
    """
    width, height = _size_of(data)
    if width * height > most_pixels:
        raise Refusal(
            TOO_LARGE,
            f"the image has {width} x {height} pixels, {width * height / 1e6:.0f} millions; at "
            f"most {most_pixels / 1e6:g} are taken (--megapixels)",
        )
    scans = len(_SCAN.findall(data))
    if scans > _MOST_SCANS:
        raise Refusal(DAMAGED, f"the image has {scans} scans, as no camera writes them")
    try:
        image = decode_image(data, "the image", upright=True)
    except ValueError as error:
        raise Refusal(DAMAGED, str(error)) from error
    if image.shape[0] * image.shape[1] > most_pixels:
        raise Refusal(DAMAGED, "the image is larger than its header says")
    return image


def _size_of(data: bytes) -> tuple[int, int]:
    """Width and height from the header alone."""
    if not data:
        raise Refusal(DAMAGED, "the file is empty")
    try:
        with PilImage.open(io.BytesIO(data), formats=_KINDS) as picture:
            return picture.size
    except UnidentifiedImageError:
        if data[4:12] in _APPLE:
            text = f"HEIC and AVIF are not read: save the image as {_KNOWN}"
        else:
            text = f"not an image that can be read, whatever its name says: {_KNOWN} are"
        raise Refusal(UNKNOWN, text) from None
    except Exception as error:  # Of hostile bytes Pillow raises nearly everything.
        raise Refusal(DAMAGED, f"the image's header is damaged ({error})") from error
