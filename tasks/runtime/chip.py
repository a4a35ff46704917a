"""What the chip at hand does with products of 8 bits."""

from __future__ import annotations

import platform
from functools import cache
from pathlib import Path
from typing import Any

_INFO = Path("/proc/cpuinfo")
_X86 = ("x86_64", "amd64")
_VNNI = ("avx512_vnni", "avx_vnni")


def has_vnni(machine: str, info: str) -> bool:
    """Whether an x86 chip sums 8-bit products in 32 bits; others do so anyway.

    Args:
        machine: Kind of chip, as returned by :func:`platform.machine`.
        info: Text of /proc/cpuinfo; empty where the system has none: then an x86 chip has no VNNI.
    """
    if machine.lower() not in _X86:
        return True
    flags = next((line.split() for line in info.splitlines() if line.startswith("flags")), [])
    return any(name in flags for name in _VNNI)


@cache
def _sums_are_wide() -> bool:
    return has_vnni(
        platform.machine(), _INFO.read_text(encoding="utf-8") if _INFO.is_file() else ""
    )


def keep_sums_right(options: Any) -> None:
    """Set up a session of ONNX Runtime so that 8-bit networks are computed correctly on this chip.

    x86 chips without VNNI sum two products in 16 bits, which overflow. There the runtime is set
    to widen the weights; elsewhere it is not, because networks would take more than twice as long.
    """
    if not _sums_are_wide():
        options.add_session_config_entry("session.x64quantprecision", "1")
