"""How much memory a process may still take."""

from __future__ import annotations

import os
from pathlib import Path

# Share of the free memory for what only saves time; the network, its gradients and other programs
# need the rest.
CACHE_SHARE = 0.4
_UNKNOWN = 4_000_000_000  # Bytes that are taken to be free where no system says.
_MEMINFO = Path("/proc/meminfo")
_GROUPS = Path("/sys/fs/cgroup")
_OWN = Path("/proc/self/cgroup")


def free_memory() -> int:
    """Bytes of memory that can be taken without swapping, within the limits of a container.

    Containers state their limit in control groups (version 2, or version 1's ``memory``), of which
    the tightest one counts.
    """
    return max(0, min([_free_of_machine(), *_free_of_groups()]))


def cache_bytes() -> int:
    """Bytes that a cache of this process may take now, beside others that torchrun started."""
    return int(CACHE_SHARE * free_memory()) // _processes()


def _processes() -> int:
    """Number of processes of this training on this machine."""
    try:
        return max(1, int(os.environ.get("LOCAL_WORLD_SIZE", "1")))
    except ValueError:
        return 1


def _free_of_machine() -> int:
    try:
        for line in _MEMINFO.read_text(encoding="ascii").splitlines():
            name, _, value = line.partition(":")
            if name == "MemAvailable":
                return int(value.split()[0]) * 1024
    except (OSError, ValueError, IndexError):
        pass
    try:  # Other systems know how much there is, not how much is free.
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 2
    except (AttributeError, ValueError, OSError):
        return _UNKNOWN


def _free_of_groups() -> list[int]:
    """What is left of each limit of the control groups that this process is in."""
    try:
        lines = _OWN.read_text(encoding="utf-8").splitlines()
    except (OSError, ValueError):
        return []
    found = []
    for line in lines:
        _, controllers, path = [*line.split(":", 2), "", ""][:3]
        if controllers == "":  # Version 2, in which every group above limits, too.
            names = ("memory.max", "memory.current", "inactive_file")
            base = _GROUPS
        elif "memory" in controllers.split(","):
            names = ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file")
            base = _GROUPS / "memory"
        else:
            continue
        own = base / path.strip("/")
        for folder in (own, *own.parents):
            if folder != base and base not in folder.parents:
                break
            left = _left(folder / names[0], folder / names[1])
            if left is not None:
                found.append(left + _dropped(folder / "memory.stat", names[2]))
    return found


def _dropped(stat: Path, name: str) -> int:
    """Bytes of files that were read and count as used, but that the system drops when needed."""
    try:
        lines = stat.read_text(encoding="ascii").splitlines()
        return sum(int(line.split()[1]) for line in lines if line.split()[:1] == [name])
    except (OSError, ValueError, IndexError):
        return 0


def _left(limit: Path, used: Path) -> int | None:
    """What is left of a limit; None if there is none."""
    try:
        return int(limit.read_text(encoding="ascii")) - int(used.read_text(encoding="ascii"))
    except (OSError, ValueError):  # "max" for no limit.
        return None
