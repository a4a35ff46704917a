"""Images to predict on, as separate files or in Parquet files and tar archives."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from datasets.errors import InputError
from datasets.images import Image, decode_image, find_images, is_picture, read_image
from datasets.lfs import refuse_pointer
from datasets.names import joined, shown
from datasets.parquet_files import SUFFIX, find_configurations, find_tables, without_reader
from datasets.parquet_pictures import StoredPictures, find_column
from datasets.shards.finding import expand, find_shard_parts, is_pattern, tars_in
from datasets.shards.tar import is_stray, members, read_bytes
from datasets.text import read_content


@dataclass(frozen=True)
class Photo:
    """An image to predict on.

    Attributes:
        path: Path of its file; for an image in an archive, the archive's path and its name or row.
        stored: Function that reads its bytes from the archive; None if it is a file of its own.
    """

    path: Path
    stored: Callable[[], bytes] | None = None

    def content(self) -> bytes:
        """The bytes of its file. Raises InputError if they cannot be read."""
        return read_content(self.path) if self.stored is None else self.stored()

    def image(self) -> Image:
        """(H, W, 3) RGB, upright. Raises InputError if it cannot be read."""
        if self.stored is None:
            return read_image(self.path, upright=True)
        return decode_image(self.stored(), self.path, upright=True)


def is_packed(path: Path) -> bool:
    """Whether a path is a Parquet file or tar archive, or a pattern for several of these."""
    return path.suffix.lower() in (SUFFIX, ".tar")


def photos_in(path: Path) -> list[Photo]:
    """The images of a path; empty if a folder holds none.

    For a folder these are the images below it or, if there are none, those in its Parquet files or
    shards, in all parts.

    Args:
        path: Folder, image, Parquet file, tar archive, or pattern of archives.

    Raises:
        InputError: If an archive is damaged or holds no images, or pyarrow is needed and missing.
    """
    if not path.is_dir() and not is_packed(path):
        return [Photo(path)]
    if path.is_dir() and (alone := find_images(path)):
        return [Photo(file) for file in alone]
    archives = archives_in(path)
    photos = [photo for one in archives for photo in photos_of(one)]
    if not photos and archives:
        raise InputError(f"{archives[0]}: holds no images")
    return photos


def archives_in(path: Path) -> list[Path]:
    """The Parquet files or tar archives that a path stands for: itself, or those of a folder.

    Raises:
        InputError: If one of a pattern's is missing, or a folder holds several sets.
    """
    if not path.is_dir():
        return [path] if path.suffix.lower() == SUFFIX else list(expand(path))
    if tables := _tables(path):
        return tables
    parts = find_shard_parts(path).values()
    return [*tars_in(path), *(shard for one in parts for shard in tars_in(one))]


def photos_of(archive: Path) -> Iterator[Photo]:
    """The images in a Parquet file or tar archive, in order, one after another.

    Raises:
        InputError: If it has no images in it, or pyarrow is needed and missing.
    """
    if archive.suffix.lower() == SUFFIX:
        yield from _in_table(archive)
        return
    refuse_pointer(archive)
    for name, offset, length in members(archive):
        if is_picture(name.rpartition("/")[2]) and not is_stray(name):
            yield Photo(archive / name, partial(read_bytes, archive, (offset, length)))


def exists(path: Path) -> bool:
    """Whether a path exists, or is a pattern of archives."""
    return path.exists() or is_pattern(path)


def _tables(path: Path) -> list[Path]:
    """Parquet files of all parts. Raises InputError if there are several sets of them."""
    parts = find_tables(path)
    if not parts and (sets := find_configurations(path)):
        if len(sets) > 1:
            names = joined(shown(one.name) for one in sets)
            raise InputError(f"{path}: there are sets of Parquet files in {names}: name one")
        parts = find_tables(sets[0])
    return [file for files in parts.values() for file in files]


def _in_table(table: Path) -> Iterator[Photo]:
    if missing := without_reader(table):
        raise InputError(missing)
    column = find_column(table)
    if column is None:
        raise InputError(f"{table}: has no column of images")
    if not column.embedded:
        raise InputError(
            f"{table}: its column {column.name!r} only names images, which lie elsewhere: name "
            "their folder"
        )
    pictures = StoredPictures.of((table,), column.name)
    for row, name in enumerate(column.names(table)):
        path = table / (name or f"{row:06d}")
        yield Photo(path, partial(pictures.read, row, str(path)))
