"""The flags that mean the same in every tool."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from datasets.errors import InputError
from tasks.flag_values import require_at_least

Device = Literal["auto", "cpu", "cuda", "mps"]


@dataclass(frozen=True)
class Common:
    """Flags of every tool."""

    threads: int = 0
    """CPU threads to compute with; 0 leaves it to torch (one per core)."""
    seed: int = 0
    """Of everything random: the same seed gives the same result on the same machine."""
    device: Device = "auto"
    """Where to compute; auto takes a GPU if there is one."""
    out: Path | None = None
    """File or folder to write to; each tool says its default."""
    json: bool = False
    """Print the result as one JSON object on standard output instead of tables."""

    def __post_init__(self) -> None:
        require_at_least(self, 0, "threads", "seed")

    def refuse_as_report_of(self, runs: tuple[Path, ...]) -> None:
        """Refuse folders of runs that are not there, and a file as the report's folder.

        Raises:
            InputError: Naming the flag and its value.
        """
        for folder in runs:
            if not folder.is_dir():
                raise InputError(f"--runs {folder}: no such folder")
        if self.out is not None and self.out.is_file():
            raise InputError(f"--out {self.out}: is a file; name a folder")
