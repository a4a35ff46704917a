"""Writes the images of a converted data set: copied or linked, each under a unique name."""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Iterable
from pathlib import Path
from types import TracebackType

from PIL import Image as PilImage
from tqdm import tqdm

from datasets.errors import InputError
from datasets.images import is_passed_over, is_picture
from datasets.names import shown

# Suffix for each image format, if a name has no usual one.
_SUFFIX_OF = {"JPEG": ".jpg", "TIFF": ".tif", "JPEG2000": ".jp2"}


class PictureWriter:
    """Writes images, with a progress bar over all of them.

    Args:
        total: Number of images that will be written.
        link: Whether to link files instead of copying them, which takes no space.
    """

    def __init__(self, total: int, *, link: bool = False) -> None:
        self._link = link
        self._bar = tqdm(desc="writing images", total=total, unit="image", delay=2)
        self._folders: set[Path] = set()

    def __enter__(self) -> PictureWriter:
        """Begin."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        """End the progress bar."""
        self._bar.close()

    def add(self, source: str, target: Path) -> None:
        """Copy or link a file.

        Args:
            source: File to copy or link.
            target: New path.

        Raises:
            InputError: If it does not exist, or cannot be linked.
        """
        self._make(target.parent)
        try:
            if self._link:
                os.link(os.path.realpath(source), target)
            else:
                shutil.copyfile(source, target)
        except OSError as error:
            if self._link and error.errno in (errno.EXDEV, errno.EPERM, errno.EMLINK):
                raise InputError(
                    f"--link: {shown(source)} cannot be linked to {target.parent} "
                    f"({error.strerror}); leave --link out to copy"
                ) from error
            if error.errno == errno.ENOSPC:
                raise OSError(error.errno, error.strerror, str(target)) from error
            raise InputError(f"{shown(source)}: cannot be read ({error.strerror})") from error
        self._bar.update()

    def add_content(self, content: bytes, target: Path) -> None:
        """Write an image that is stored in an archive."""
        self._make(target.parent)
        target.write_bytes(content)
        self._bar.update()

    def _make(self, folder: Path) -> None:
        if folder not in self._folders:
            folder.mkdir(parents=True, exist_ok=True)
            self._folders.add(folder)


def unique_names(files: Iterable[str], taken: set[str]) -> list[str]:
    """A unique name for each image (N,) in one folder, its own if possible.

    No two have the same stem, in upper or lower case, because annotations beside images need it.
    Characters that some program could not read in a name become ``_``.

    Args:
        files: Paths, or names.
        taken: Stems that are in use, in lower case; new ones are added.
    """
    names = []
    counts: dict[str, int] = {}
    for file in files:
        name = "".join(
            sign if sign.isprintable() and sign not in ' #\\/:*?"<>|%' else "_"
            for sign in shown(os.path.basename(file))  # noqa: PTH119 (millions of names)
        )
        if is_passed_over(name):
            name = f"_{name}"
        stem, suffix = os.path.splitext(name)  # noqa: PTH122
        if not is_picture(name):
            stem, suffix = name, suffix_of(file)
        one, count = stem, counts.get(stem.lower(), 1)
        while one.lower() in taken:
            count += 1
            one = f"{stem}_{count}"
        counts[stem.lower()] = count
        taken.add(one.lower())
        names.append(f"{one}{suffix}")
    return names


def suffix_of(file: object) -> str:
    """The suffix for the format of an image; ``.jpg`` if that is unknown.

    Args:
        file: Path, or an opened file.
    """
    try:
        with PilImage.open(file) as picture:  # type: ignore[arg-type]
            kind = picture.format or "JPEG"
    except Exception:  # A damaged file makes Pillow raise nearly anything.
        return ".jpg"
    return _SUFFIX_OF.get(kind, f".{kind.lower()}")
