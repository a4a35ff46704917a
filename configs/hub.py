"""Flags of the tools that exchange weights with the Hugging Face Hub."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

import tyro

from configs.common import Common
from datasets.errors import InputError


@dataclass(frozen=True)
class Upload:
    """Upload weights with a model card to the Hugging Face Hub (log in first: hf auth login).

    Two files are written to --out, by default uploads/NAME, and uploaded: model.safetensors, which
    contains the suite's own card, and README.md, the same information for readers: classes,
    metrics, cost and usage. Nothing else leaves this machine; with --dry-run nothing does.
    """

    weights: Annotated[Path, tyro.conf.Positional]
    """Run folder or weights file to upload."""
    name: Annotated[str, tyro.conf.Positional]
    """Name of the model on the Hub, OWNER/NAME; it is created if it does not exist."""
    public: bool = False
    """Make a newly created model visible to everyone; by default it is private."""
    licence: str | None = None
    """Licence to state on the model card, such as apache-2.0; by default none is stated."""
    origin: str | None = None
    """Text that states where the weights come from. By default the command line of the run, in
    which absolute paths are shortened to their last component."""
    dry_run: bool = False
    """Write the two files and upload nothing."""
    common: Common = field(default_factory=Common)

    def __post_init__(self) -> None:
        _check_name(self.name)

    def folder(self) -> Path:
        """Folder in which the two files are written."""
        return self.common.out or Path("uploads") / self.name.partition("/")[2]


@dataclass(frozen=True)
class Download:
    """Download weights of this suite from the Hugging Face Hub, or take them from the local cache.

    Every tool accepts the file. --out is by default NAME.safetensors, in the current folder.
    Models from timm are imported with import_weights.py --hub.
    """

    name: Annotated[str, tyro.conf.Positional]
    """Name of the model on the Hub, OWNER/NAME."""
    common: Common = field(default_factory=Common)

    def __post_init__(self) -> None:
        _check_name(self.name)

    def target(self) -> Path:
        """The file to write. Raises InputError if it already exists."""
        out = self.common.out or Path(f"{self.name.partition('/')[2]}.safetensors")
        if out.exists():
            raise InputError(f"--out {out}: is there already; choose another name")
        return out


def _check_name(name: str) -> None:
    owner, slash, model = name.partition("/")
    if not (owner and slash and model) or "/" in model:
        raise InputError(f"{name}: a model on the hub is named OWNER/NAME")
