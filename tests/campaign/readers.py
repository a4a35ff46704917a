"""All readers of files that come from others: a sound input for each, and how it is read."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from random import Random

import cv2
import numpy as np
from PIL import Image as PilImage

from datasets.identities.verification_bin import read_bin
from datasets.images import decoders_differ, find_images, probe_image, read_image, read_orientation
from datasets.kind import CheckOptions
from datasets.kinds import recognise
from datasets.ledger import traced
from datasets.text import read_text
from tests.datasets.every_set import SETS, TASKS
from tests.tools.films import write_film

Write = Callable[[Path], object]
Read = Callable[[Path, Random], object]


@dataclass(frozen=True)
class Reader:
    """A reader of files.

    Attributes:
        name: For people.
        write: Writes a sound input into an empty folder.
        read: Reads what lies in such a folder; what it raises is judged.
        chosen: Of the files in it those that are changed; all if it is empty.
        share: How many inputs it gets, compared with others.
    """

    name: str
    write: Write
    read: Read
    chosen: Sequence[str] = field(default=())
    share: float = 1.0


def _examine(task: str | None, root: Path, rng: Random) -> None:
    """As the data doctor does it; then all parts as training opens them; and writing them anew."""
    found = recognise(root, task)
    options = CheckOptions(decode=rng.random() < 0.3)
    with traced() as trace:
        checkup = found.kind.examine(root, found.parts, options)
    trace.use_entries()
    checkup = checkup.with_ledger(*trace.account(root))
    checkup.describe(10)
    parts = found.kind.open_parts(root, options)
    if found.kind.targets and rng.random() < 0.3:
        name = rng.choice(sorted(found.kind.targets))
        out = root.with_name("written")
        out.mkdir()
        found.kind.targets[name](parts, out, link=rng.random() < 0.3)


def _data() -> list[Reader]:
    return [
        Reader(name, write, partial(_examine, TASKS.get(name)))
        for name, (write, _) in SETS.items()
    ]


# Kinds of image: how Pillow is to write one of these modes; None for OpenCV's.
_IMAGES = {
    **{"jpg": "RGB", "png": "RGBA", "webp": "RGB", "gif": "P", "bmp": "RGB", "tiff": "RGB"},
    **{"avif": "RGB", "jp2": "RGB", "ppm": "RGB", "pgm": "L", "tga": "RGB", "ico": "RGB"},
    **{"pcx": "RGB", "dds": "RGB", "sgi": "RGB", "qoi": "RGB", "ras": None},
}


def _write_image(suffix: str, mode: str | None, root: Path) -> None:
    rng = np.random.default_rng(3)
    pixels = rng.integers(0, 255, (6, 8, 3), dtype=np.uint8).repeat(4, 0).repeat(4, 1)
    file = root / f"image.{suffix}"
    if mode is None:
        cv2.imwrite(str(file), pixels)
        return
    exif = PilImage.Exif()
    exif[0x0112] = 6
    more = {"exif": exif.tobytes()} if suffix in ("jpg", "png", "webp", "tiff", "avif") else {}
    PilImage.fromarray(pixels).convert(mode).save(file, **more)


def _read_image(root: Path, rng: Random) -> None:
    (file,) = root.iterdir()
    probe_image(file)
    read_orientation(file)
    read_image(file, upright=rng.random() < 0.5)
    decoders_differ(file)


def _images() -> list[Reader]:
    found = [
        Reader(f"image-{suffix}", partial(_write_image, suffix, mode), _read_image)
        for suffix, mode in _IMAGES.items()
    ]
    film = Reader("video", lambda root: write_film(root / "film.avi", 3), _read_film, share=0.3)
    return [*found, film]


def _read_film(root: Path, _: Random) -> None:
    from tools.flows.videos import Film, OpenedFilm

    with OpenedFilm(Film(root / "film.avi"), "film.avi") as film:
        for _frame in film.frames(0, 1):
            pass


def _write_bin(root: Path) -> None:
    import pickle

    SETS["people"][0](root / "people")
    faces = [file.read_bytes() for file in find_images(root / "people")][:4]
    (root / "pairs.bin").write_bytes(pickle.dumps((faces, [True, False]), 2))


def _read_bin(root: Path, _: Random) -> None:
    read_bin(root / "pairs.bin")


def _texts() -> list[Reader]:
    def write(root: Path) -> None:
        (root / "classes.txt").write_text("cat\ndog\nn01440764 tench\n", encoding="utf-8")

    return [
        Reader("verification-bin", _write_bin, _read_bin, ("pairs.bin",)),
        Reader("class-list", write, lambda root, _: read_text(root / "classes.txt"), share=0.3),
    ]


def all_readers() -> list[Reader]:
    """Of data, images, weights, exports, run folders and stored targets."""
    from tests.campaign.model_readers import model_readers

    return [*_data(), *_images(), *_texts(), *model_readers()]
