"""The one error that means: the user can mend it; and names for those that have none."""

from __future__ import annotations

import contextlib
import errno
from collections.abc import Iterator
from pathlib import Path

# What writing meets: a full disk, one that fails, and limits.
_OF_DISKS = (errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.EFBIG, errno.EROFS)


class InputError(ValueError):
    """Something that a user gave cannot be used: a file, a folder, a flag, or a mix of them.

    The message names the file or flag, the value and the fix. Commands print it without a
    traceback and end with exit status 2. A library's own ``ValueError`` is not one of these: where
    it can only come from the user's file, it is caught there and raised anew as this.
    """


class NotRecognised(InputError):  # noqa: N818 (what it says)
    """A path that is none of the data which one task takes; another task may take it.

    Args:
        path: Path that the user gave.
        why: What is wanted, or wrong; messages have it behind the path.
    """

    def __init__(self, path: Path, why: str) -> None:
        super().__init__(f"{path}: {why}")
        self.path, self.why = path, why


@contextlib.contextmanager
def naming(path: object) -> Iterator[None]:
    """Give errors of writing, which know no name once a file is open, that of a path.

    Raises:
        OSError: The original error, with the name; for a full disk, with what did not fit on it.
    """
    try:
        yield
    except OSError as error:
        if error.filename is None and error.errno in _OF_DISKS:
            raise OSError(error.errno, error.strerror, str(path)) from error
        raise
