"""Exports get their names last: until they are good they lie in a folder that goes again."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from datasets.errors import InputError, naming
from datasets.locks import remove_unfinished
from tasks.runtime.runtimes import Runtime
from tasks.weights.atomic_write import replace_folder, replacing
from tools.flows.run_folder import require_folder


@contextmanager
def unnamed(out: Path) -> Iterator[Path]:
    """A path for an export, in a folder beside where it will be, which goes with the block."""
    require_folder(out.parent)
    out.parent.mkdir(parents=True, exist_ok=True)
    remove_unfinished(out.parent, out.name)
    begins = f".{out.name}.{os.getpid()}."
    with tempfile.TemporaryDirectory(dir=out.parent, prefix=begins, suffix=".tmp") as folder:
        file = Path(folder) / out.name
        try:
            with naming(out):
                yield file
        except InputError as error:  # The path that is told must be one that stays.
            told = str(error).replace(f"{file}.onnx", str(out)).replace(str(file), str(out))
            raise InputError(told) from error


def give_name(runtime: Runtime, file: Path, out: Path) -> None:
    """Move an export that is good to its place, with what belongs beside it."""
    if runtime.folder:
        replace_folder(file, out)
        return
    for written, name in zip(runtime.files(file), runtime.files(out), strict=True):
        with replacing(name) as temporary:
            written.replace(temporary)
