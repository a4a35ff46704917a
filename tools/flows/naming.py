"""Exports get their final names last: until they are checked they are in a temporary folder."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from datasets.errors import InputError, naming
from datasets.locks import remove_unfinished, unfinished
from tasks.runtime.runtimes import Runtime
from tasks.weights.atomic_write import replace_folder, replacing
from tools.flows.run_folder import require_folder


@contextmanager
def unnamed(out: Path) -> Iterator[Path]:
    """A path for an export in a temporary folder beside its place, removed with the block."""
    require_folder(out.parent)
    out.parent.mkdir(parents=True, exist_ok=True)
    remove_unfinished(out.parent, out.name)
    begins = unfinished(out.name, "")
    with tempfile.TemporaryDirectory(dir=out.parent, prefix=begins, suffix=".tmp") as folder:
        file = Path(folder) / out.name
        try:
            with naming(out):  # Of a full disk.
                yield file
        except InputError as error:  # The path that is told must be one that stays.
            told = str(error).replace(f"{file}.onnx", str(out)).replace(str(file), str(out))
            raise InputError(told) from error


def give_name(runtime: Runtime, file: Path, out: Path) -> None:
    """Move a checked export to its place, with the files that belong beside it."""
    if runtime.folder:
        replace_folder(file, out)
        return
    for written, name in zip(runtime.files(file), runtime.files(out), strict=True):
        with replacing(name) as temporary:
            written.replace(temporary)
