"""The flags that have the same meaning in every tool."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from datasets.errors import InputError
from tasks.flag_values import require_at_least

Device = Literal["auto", "cpu", "cuda", "mps"]


@dataclass(frozen=True)
class Common:
    """Flags that every tool has."""

    threads: int = 0
    """Number of CPU threads to compute with; 0 lets torch choose (one per core)."""
    seed: int = 0
    """Seed of all random numbers: the same seed gives the same result on the same machine."""
    device: Device = "auto"
    """Device to compute on; auto uses a GPU if there is one."""
    out: Path | None = None
    """File or folder to write to. The description of each tool states its default."""
    json: bool = False
    """Print the result to standard output as one JSON object instead of tables."""

    def __post_init__(self) -> None:
        require_at_least(self, 0, "threads", "seed")

    def refuse_as_report_of(self, runs: tuple[Path, ...]) -> None:
        """Refuse run folders that do not exist, and a file in place of the report's folder.

        Args:
            runs: Run folders to search.

        Raises:
            InputError: If a path is unusable; the message names the flag and its value.
        """
        for folder in runs:
            if not folder.is_dir():
                raise InputError(f"--runs {folder}: no such folder")
        if self.out is not None and self.out.is_file():
            raise InputError(f"--out {self.out}: is a file; name a folder")
