"""Locks between processes, and removal of what killed processes have left behind."""

from __future__ import annotations

import contextlib
import errno
import os
import re
import shutil
import socket
import tempfile
import threading
import time
import warnings
import zlib
from collections.abc import Iterator
from functools import lru_cache
from itertools import chain
from pathlib import Path

from datasets.errors import InputError
from datasets.names import shown

try:
    import fcntl
except ImportError:  # Not on every system; there nothing is locked.
    fcntl = None  # type: ignore[assignment]

# Names of files being written: ``.NAME.PID@PLACE.tmp``, optionally with random letters before the
# end, and after it the suffix that some writers need. PLACE identifies where the process number is
# valid.
_UNFINISHED = re.compile(
    r"\.(?P<name>.+?)\.(?P<process>\d+)(@(?P<place>[0-9a-f]{8}))?(\.\w+)?\.(tmp|part)(\.\w+)?"
)
_TAKEN = (errno.EACCES, errno.EAGAIN)
# Content of a lock file; the kernel distinguishes machines from containers, if it has an id.
_HELD = re.compile(r"process (\d+) on (\S+) since ([-\d]+ [:\d]+)(?: \(kernel (\S+)\))?\n?")
# Seconds between two touches of a lock file by its holder, and seconds without a touch after which
# a holder on another machine is considered dead.
_TOUCH_SECONDS = 60.0
_STALE_SECONDS = 600.0
# Seconds after which the unfinished output of another machine's process is considered abandoned.
_GIVEN_UP = 86_400.0


@contextlib.contextmanager
def holding(file: Path, what: str, *, wait: bool = False) -> Iterator[None]:
    """Hold a lock file, which exists as long as the block runs.

    The lock ends with its process, however that ends. On file systems without locks nothing is
    locked. On a disk that several machines share, locks may not reach from one to another: there a
    holder shows that it is alive by touching the file once a minute, and a lock file of another
    machine that has not been touched for ten minutes is taken over, with a warning.

    Args:
        file: Lock file; its folder is created.
        what: Description of what is locked, for the message.
        wait: Whether to wait for the process that holds it instead of refusing.

    Raises:
        InputError: If another process holds it, on this machine or another one; the message names
            it.
        OSError: If the file cannot be created.
    """
    opened = _take(file, what, wait=wait)
    if opened is None:
        yield
        return
    try:
        with _touching(opened):
            yield
    finally:
        with contextlib.suppress(OSError):
            # A process that was suspended for long may have lost it to another machine.
            if not _held_elsewhere(_text_of(opened)):
                file.unlink(missing_ok=True)
        os.close(opened)


@contextlib.contextmanager
def _touching(opened: int) -> Iterator[None]:
    """Touch a file regularly, as long as the block runs.

    The descriptor is used: a process that closes any other descriptor of the file loses its lock.
    """
    done = threading.Event()

    def touch() -> None:
        while not done.wait(_TOUCH_SECONDS):
            with contextlib.suppress(OSError):  # The disk may be back the next time.
                os.utime(opened)

    thread = threading.Thread(target=touch, name="lock", daemon=True)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()  # The number of a closed file may become another one's.


def _take(file: Path, what: str, *, wait: bool) -> int | None:
    """The locked file, which names this process; None if there are no locks."""
    if fcntl is None:
        return None
    file.parent.mkdir(parents=True, exist_ok=True)
    waits = False
    while (opened := _locked(file, what, wait=wait)) is not None:
        elsewhere = _held_elsewhere(_text_of(opened))
        if not elsewhere:
            break
        holder = f"{what}: {elsewhere}, another machine,"
        untouched = _untouched_seconds(opened, file.parent)
        if untouched > _STALE_SECONDS:
            warnings.warn(
                f"{holder} has given no sign of life for {_ago(untouched)}: "
                "its lock is taken over",
                stacklevel=4,
            )
            break
        os.close(opened)
        limit = _ago(_STALE_SECONDS)
        if not wait:
            raise InputError(
                f"{holder} is working there (last sign of life {_ago(untouched)} ago): wait for "
                f"it, or end it first; if it is no more, its lock lapses {limit} after that sign, "
                f"or at once if you delete {file}"
            )
        if not waits:
            warnings.warn(
                f"{holder} is working there: waiting until it has ended, or has given no sign of "
                f"life for {limit}",
                stacklevel=4,
            )
            waits = True
        time.sleep(1)
    if opened is None:
        return None
    now = time.strftime("%Y-%m-%d %H:%M:%S")
    kernel = f" (kernel {_kernel()})" if _kernel() else ""
    text = f"process {os.getpid()} on {socket.gethostname()} since {now}{kernel}\n"
    try:
        os.truncate(opened, 0)
        os.pwrite(opened, text.encode(), 0)
    except OSError:  # The disk is full.
        file.unlink(missing_ok=True)
        os.close(opened)
        raise
    return opened


def _locked(file: Path, what: str, *, wait: bool) -> int | None:
    """The file, opened and locked as far as locks reach; None if there are none."""
    while True:
        # What a link of a stranger's folder leads to must not be written to.
        opened = os.open(file, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o666)
        try:
            # The lock belongs to the process, not to its children: loaders may outlive a killed
            # process.
            fcntl.lockf(opened, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
        except OSError as error:
            holder = _text_of(opened).strip()
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
                return opened
        os.close(opened)  # Its holder took it away meanwhile.


def _text_of(opened: int) -> str:
    return os.pread(opened, 500, 0).decode(errors="replace")


def _untouched_seconds(opened: int, folder: Path) -> float:
    """Seconds since a file was last touched, by its disk's clock: machines' clocks differ."""
    with tempfile.TemporaryFile(dir=folder) as new:
        return os.fstat(new.fileno()).st_mtime - os.fstat(opened).st_mtime


def _held_elsewhere(told: str) -> str:
    """Process and machine in a lock file, if this is another machine; otherwise empty."""
    found = _HELD.fullmatch(told)
    if found is None or found[2] == socket.gethostname() or (_kernel() and found[4] == _kernel()):
        return ""
    return shown(f"process {found[1]} on {found[2]}")


@lru_cache(maxsize=1)
def _kernel() -> str:
    """Id of the running kernel, which containers of one machine share; empty if it has none."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    except (OSError, ValueError):
        return ""


@lru_cache(maxsize=1)
def _place() -> str:
    """Eight digits that identify where process numbers are valid: a machine or a container."""
    try:
        numbers = str(Path("/proc/self/ns/pid").readlink())
    except OSError:
        numbers = ""  # There are no containers.
    return f"{zlib.crc32(f'{socket.gethostname()} {numbers}'.encode()):08x}"


def _ago(seconds: float) -> str:
    for size, unit in ((86_400, "days"), (3600, "hours"), (60, "minutes")):
        if seconds >= 2 * size:
            return f"{seconds / size:.0f} {unit}"
    return f"{max(0.0, seconds):.0f} seconds"


def unfinished(name: str, end: str = "tmp") -> str:
    """Temporary name of a file or folder while this process writes it."""
    return f".{name}.{os.getpid()}@{_place()}.{end}"


def remove_unfinished(folder: Path, name: str | None = None, *, below: bool = False) -> None:
    """Remove what dead processes have left unfinished.

    Processes of another machine or container cannot be seen: what they write is kept until nothing
    in it has changed for a day.

    Args:
        folder: Folder that they wrote to.
        name: Name of the output, to remove only its unfinished files.
        below: Whether to look in all folders below, too.
    """
    for base, folders, files in os.walk(folder):
        for entry in (*folders, *files):
            found = _UNFINISHED.fullmatch(entry)
            if found is None or name not in (None, found["name"]):
                continue
            if _is_litter(Path(base, entry), int(found["process"]), found["place"]):
                _remove(Path(base, entry))
        if not below:
            return


def _is_litter(path: Path, process: int, place: str | None) -> bool:
    if place in (None, _place()):
        return process != os.getpid() and not _is_alive(process)
    latest = time.time() - _GIVEN_UP
    # A folder's own time does not show what is written in folders below it.
    below = (Path(base, one) for base, *names in os.walk(path) for one in chain(*names))
    with contextlib.suppress(OSError):  # Somebody is at it.
        return all(one.lstat().st_mtime < latest for one in chain([path], below))
    return False


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
