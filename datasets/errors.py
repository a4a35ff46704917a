"""The error for mistakes that the user can correct, and names for errors that have none."""

from __future__ import annotations

import contextlib
import errno
from collections.abc import Iterator
from pathlib import Path

# Errors of writing: a full disk, a failing one, and limits.
_OF_DISKS = (errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.EFBIG, errno.EROFS)


class InputError(ValueError):
    """Something that the user gave cannot be used: a file, a folder, a flag, or a combination.

    The message names the file or flag, the value and the correction. Commands print it without a
    traceback and end with exit status 2. A library's own ``ValueError`` is not one of these: where
    only the user's file can cause it, it is caught there and raised again as this.
    """


class NotRecognised(InputError):  # noqa: N818 (what it says)
    """A path is not data for the requested task; it may be data for another one.

    Args:
        path: Path that the user gave.
        why: What is needed, or wrong; the message has it after the path.
    """

    def __init__(self, path: Path, why: str) -> None:
        super().__init__(f"{path}: {why}")
        self.path, self.why = path, why


@contextlib.contextmanager
def naming(path: object) -> Iterator[None]:
    """Add the name of a path to errors of writing, which have none once a file is open.

    Args:
        path: Path to name.

    Raises:
        OSError: The original error, with the name; for a full disk, with what did not fit on it.
    """
    try:
        yield
    except OSError as error:
        if error.filename is None and error.errno in _OF_DISKS:
            raise OSError(error.errno, error.strerror, str(path)) from error
        raise
