"""Exports in ExecuTorch, whose Python package takes PyTorch's tensors, and so needs PyTorch."""

from __future__ import annotations

import json
import os
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from threading import Lock
from typing import Any

import numpy as np
from numpy.typing import NDArray

from datasets.errors import InputError
from tasks.runtime.session import CARD_KEY, FACTS_KEY, Image

# The method that tells the names of what ``forward`` gives, in their order.
OUTPUTS = "outputs"


class ExecuTorchSession:
    """A program in ExecuTorch, on the CPU.

    Args:
        path: Path of the file.
        threads: Number of threads; None leaves it to the runtime. All programs of a process share
            them: the session that was opened last decides.

    Raises:
        InputError: If ExecuTorch is not installed, or the file is none that it runs.
    """

    single = True

    def __init__(self, path: Path, threads: int | None = None) -> None:
        import_executorch(path)
        _use_threads(threads)
        self._program = _load(path)
        names = self._program.method_names
        try:
            self.notes = _texts(self._program)
            self.outputs = json.loads(_text(self._program, OUTPUTS)) if OUTPUTS in names else []
            self._forward = self._program.load_method("forward")
        except Exception as error:  # The runtime has numbers for its errors, not classes.
            raise _refused(path, error) from error
        self._lock = Lock()  # A method has one set of buffers.

    def run(self, *images: Image) -> list[NDArray[Any]]:
        """Outputs for images (1, S, S, 3): for each of its inputs, in their order."""
        import torch

        with self._lock:
            found = self._forward.execute([torch.tensor(image) for image in images])
        return [np.asarray(one) for one in found]


def import_executorch(path: Path) -> Any:
    """The package, which need not be installed. Raises InputError if it is not installed."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # That its interface may change.
        try:
            import executorch.runtime
        except ImportError as error:
            raise InputError(f"{path}: needs ExecuTorch: pip install executorch") from error
    return executorch.runtime


def read_notes(path: Path) -> dict[str, str]:
    """Texts that a file carries. Raises InputError if ExecuTorch does not read it."""
    try:
        return _texts(_load(path))
    except RuntimeError as error:
        raise _refused(path, error) from error


def _load(path: Path) -> Any:
    try:
        data = path.read_bytes()
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror or error})") from error
    if not data[4:8].isascii():  # The runtime ends the process when it reports such a mark.
        raise _refused(path, ValueError("damaged at its beginning"))
    try:
        return import_executorch(path).Runtime.get().load_program(data)
    except RuntimeError as error:
        raise _refused(path, error) from error


def _refused(path: Path, error: Exception) -> InputError:
    reason = next(iter(str(error).splitlines()), "")[:200]
    return InputError(f"{path}: not an ExecuTorch program that runs here ({reason})")


def _texts(program: Any) -> dict[str, str]:
    kept = [name for name in (CARD_KEY, FACTS_KEY) if name in program.method_names]
    return {name: _text(program, name) for name in kept}


def _text(program: Any, name: str) -> str:
    """What a method gives that stands for a text."""
    (text,) = program.load_method(name).execute([])
    return str(text)


def _use_threads(threads: int | None) -> None:
    from executorch.extension.pybindings import portable_lib

    _start()
    if threads and threads != portable_lib._threadpool_get_thread_count():
        with _deaf():  # It tells of that, too.
            portable_lib._unsafe_reset_threadpool(threads)


@cache
def _start() -> None:
    """Let the runtime count the cores, and suppress what it prints about them."""
    from executorch.extension.pybindings import portable_lib

    with _deaf():
        portable_lib._threadpool_get_thread_count()


@contextmanager
def _deaf() -> Iterator[None]:
    """Drop what is written to the process's standard error, by C++ too."""
    sys.stderr.flush()
    kept = os.dup(2)
    nothing = os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(nothing, 2)
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(nothing)
