"""Exports get their names last: until they are good they lie in a folder that goes again."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tasks.runtime.runtimes import Runtime
from tasks.weights.atomic_write import replace_folder, replacing


@contextmanager
def unnamed(out: Path) -> Iterator[Path]:
    """A path for an export, in a folder beside where it will be, which goes with the block."""
    out.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=out.parent, prefix=f".{out.name}.") as folder:
        yield Path(folder) / out.name


def give_name(runtime: Runtime, file: Path, out: Path) -> None:
    """Move an export that is good to its place, with what belongs beside it."""
    if runtime.folder:
        replace_folder(file, out)
        return
    for written, name in zip(runtime.files(file), runtime.files(out), strict=True):
        with replacing(name) as temporary:
            written.replace(temporary)
