"""Locks between processes, and what processes that were killed have left behind."""

from __future__ import annotations

import contextlib
import errno
import os
import re
import shutil
import socket
import time
from collections.abc import Iterator
from pathlib import Path

from datasets.errors import InputError
from datasets.names import shown

try:
    import fcntl
except ImportError:  # Not on every system; there nothing is locked.
    fcntl = None  # type: ignore[assignment]

# Names of what is being written: ``.NAME.PID.tmp``, with letters of its own before the end, and
# behind it the suffix that some writers go by.
_UNFINISHED = re.compile(r"\.(?P<name>.+?)\.(?P<process>\d+)(\.\w+)?\.(tmp|part)(\.\w+)?")
_TAKEN = (errno.EACCES, errno.EAGAIN)


@contextlib.contextmanager
def holding(file: Path, what: str, *, wait: bool = False) -> Iterator[None]:
    """Hold a lock file, which is there as long as the block runs.

    The lock goes with its process, however that ends. File systems that know no locks have none.

    Args:
        file: Lock file; its folder is made.
        what: What is locked, for the message.
        wait: Wait for the process that holds it, instead of refusing.

    Raises:
        InputError: If another process holds it, naming that process.
        OSError: If the file cannot be made.
    """
    opened = _take(file, what, wait=wait)
    try:
        yield
    finally:
        if opened is not None:
            file.unlink(missing_ok=True)
            os.close(opened)


def _take(file: Path, what: str, *, wait: bool) -> int | None:
    if fcntl is None:
        return None
    file.parent.mkdir(parents=True, exist_ok=True)
    while True:
        # What a link of a stranger's folder leads to must not be written to.
        opened = os.open(file, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o666)
        try:
            # Of the process, not of its children: loaders may outlive one that was killed.
            fcntl.lockf(opened, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
        except OSError as error:
            holder = os.read(opened, 500).decode(errors="replace").strip()
            os.close(opened)
            if error.errno in _TAKEN:
                raise InputError(
                    f"{what}: another process is working there: {shown(holder) or 'unknown'}; "
                    "wait for it, or end it first"
                ) from None
            file.unlink(missing_ok=True)
            return None
        with contextlib.suppress(FileNotFoundError):
            if os.path.samestat(os.fstat(opened), file.stat()):
                break
        os.close(opened)  # Its holder took it away meanwhile.
    now = time.strftime("%Y-%m-%d %H:%M:%S")
    os.truncate(opened, 0)
    os.write(opened, f"process {os.getpid()} on {socket.gethostname()} since {now}\n".encode())
    return opened


def unfinished(name: str, end: str = "tmp") -> str:
    """What a file or folder is called while this process writes it."""
    return f".{name}.{os.getpid()}.{end}"


def remove_unfinished(folder: Path, name: str | None = None, *, below: bool = False) -> None:
    """Remove what processes that are no more have left unfinished.

    Args:
        folder: Where they wrote.
        name: Of the output, if not all are meant.
        below: In all folders below, too.
    """
    for base, folders, files in os.walk(folder):
        for entry in (*folders, *files):
            found = _UNFINISHED.fullmatch(entry)
            if found is None or name not in (None, found["name"]):
                continue
            process = int(found["process"])
            if process != os.getpid() and not _is_alive(process):
                _remove(Path(base, entry))
        if not below:
            return


def _remove(path: Path) -> None:
    with contextlib.suppress(OSError):  # Another one may be at it, or the disk be read-only.
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink()


def _is_alive(process: int) -> bool:
    if os.name != "posix":  # Elsewhere the question would end it.
        return True
    try:
        os.kill(process, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:
        return True
    return process > 0
