"""Finds images and videos, reads them ahead, and chooses the files for drawn ones."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

from datasets.errors import InputError
from datasets.images import SUFFIXES, Image, find_images, save_image, walk_files
from datasets.packed_pictures import Photo, exists, photos_in
from tasks.weights.atomic_write import replacing
from tools.flows.videos import VIDEOS

DRAWN_AS = frozenset({".jpg", ".jpeg", ".png"})
_JPEG_SUFFIX, _VIDEO_SUFFIX = ".jpg", ".mp4"
Item = TypeVar("Item")
Done = TypeVar("Done")


def find_media(paths: Sequence[Path]) -> tuple[list[Photo], list[Path]]:
    """Images and videos that are named or in folders. Raises InputError if there are none."""
    photos: list[Photo] = []
    videos: list[Path] = []
    for path in paths:
        if not exists(path):
            raise InputError(f"{path}: no such file or folder")
        inside: list[Path] = []
        if path.is_dir():
            files = (Path(base, name) for base, names in walk_files(path) for name in names)
            inside = sorted(file for file in files if file.suffix.lower() in VIDEOS)
        elif path.suffix.lower() in VIDEOS:
            inside = [path]
        videos += inside
        if path.is_dir() and inside:  # An archive beside videos is not what is meant.
            photos += [Photo(file) for file in find_images(path)]
        elif path not in inside:
            photos += photos_in(path)
    if not paths:
        raise InputError("no PATH given: name images, folders or videos")
    if not photos and not videos:
        known = ", ".join(sorted(SUFFIXES))
        raise InputError(f"{', '.join(map(str, paths))}: no images there (looked for {known})")
    return photos, videos


def photos_at(path: Path, flag: str) -> list[Photo]:
    """The images in a folder or archive, or a single image.

    Args:
        path: Folder, archive or image.
        flag: Flag for messages.

    Raises:
        InputError: If there are none; the message names the flag.
    """
    if not exists(path):
        raise InputError(f"{flag} {path}: no such file or folder")
    photos = photos_in(path)
    if not photos:
        raise InputError(f"{flag} {path}: no images there")
    return photos


def read_or_reason(photo: Photo) -> Image | str:
    """An image (H, W, 3) RGB, upright, or why it cannot be read."""
    try:
        return photo.image()
    except ValueError as error:
        return str(error)


def ahead(
    pool: ThreadPoolExecutor, work: Callable[[Item], Done], items: Iterable[Item], depth: int
) -> Iterator[Done]:
    """Results in order, at most ``depth`` of them computed ahead of the reader."""
    waiting: deque[Future[Done]] = deque()
    for item in items:
        waiting.append(pool.submit(work, item))
        if len(waiting) >= depth:
            yield waiting.popleft().result()
    while waiting:
        yield waiting.popleft().result()


def batches(items: Iterable[Item], size: int) -> Iterator[list[Item]]:
    """Lists of ``size`` items; the last may be shorter."""
    batch: list[Item] = []
    for item in items:
        batch.append(item)
        if len(batch) == size:
            yield batch
            batch = []
    if batch:
        yield batch


def write_picture(path: Path, image: Image) -> None:
    """Write (H, W, 3) RGB atomically, replacing an older file. Raises OSError."""
    with replacing(path, path.suffix, sync=False) as temporary:
        save_image(temporary, image)


def output_files(inputs: Iterable[Path], folder: Path) -> dict[Path, Path]:
    """The output file of each drawn image or video; a number distinguishes equal names.

    Raises:
        InputError: If an original would be overwritten.
    """
    taken: set[str] = set()
    files: dict[Path, Path] = {}
    for path in inputs:
        video, keep = path.suffix.lower() in VIDEOS, path.suffix.lower() in DRAWN_AS
        suffix = _VIDEO_SUFFIX if video else (path.suffix if keep else _JPEG_SUFFIX)
        name, number = f"{path.stem}{suffix}", 1
        while name in taken:
            number += 1
            name = f"{path.stem}_{number}{suffix}"
        taken.add(name)
        files[path] = folder / name
    originals = {path.resolve() for path in files}
    for file in files.values():
        if file.resolve() in originals:
            raise InputError(f"--out {folder}: would overwrite {file}; choose another folder")
    return files
