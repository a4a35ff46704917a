"""Flags of the tools that exchange weights with Hugging Face's hub."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

import tyro

from configs.common import Common
from datasets.errors import InputError


@dataclass(frozen=True)
class Upload:
    """Send weights with a model card to Hugging Face's hub, by its own client (hf auth login).

    Two files are written to --out, by default uploads/NAME, and sent: model.safetensors, which
    holds the suite's own card, and README.md, the same for people: classes, figures, cost, how to
    use it. Nothing else leaves this machine; with --dry-run nothing does.
    """

    weights: Annotated[Path, tyro.conf.Positional]
    """Run folder or weights file."""
    name: Annotated[str, tyro.conf.Positional]
    """Model on the hub, OWNER/NAME; its page is made if it is not there."""
    public: bool = False
    """Let all see a page that is made; by default it is private."""
    licence: str | None = None
    """Licence to name on the page, as apache-2.0; by default none is named."""
    origin: str | None = None
    """What to say of where the weights come from, instead of the run's own words, which tell
    paths and the command line."""
    dry_run: bool = False
    """Write the two files and send nothing."""
    common: Common = field(default_factory=Common)

    def __post_init__(self) -> None:
        _check_name(self.name)

    def folder(self) -> Path:
        """Where the two files are written."""
        return self.common.out or Path("uploads") / self.name.partition("/")[2]


@dataclass(frozen=True)
class Download:
    """Fetch weights of this suite from Hugging Face's hub, or from its client's cache.

    Every tool takes the file. --out is by default NAME.safetensors, in the current folder. Models
    of others (timm) come in through import_weights.py --hub.
    """

    name: Annotated[str, tyro.conf.Positional]
    """Model on the hub, OWNER/NAME."""
    common: Common = field(default_factory=Common)

    def __post_init__(self) -> None:
        _check_name(self.name)

    def target(self) -> Path:
        """The file to write. Raises InputError if it is there already."""
        out = self.common.out or Path(f"{self.name.partition('/')[2]}.safetensors")
        if out.exists():
            raise InputError(f"--out {out}: is there already; choose another name")
        return out


def _check_name(name: str) -> None:
    owner, slash, model = name.partition("/")
    if not (owner and slash and model) or "/" in model:
        raise InputError(f"{name}: a model on the hub is named OWNER/NAME")
