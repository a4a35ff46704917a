"""Exports in LiteRT, TensorFlow Lite's runtime."""

from __future__ import annotations

import os
from pathlib import Path
from threading import Lock
from typing import Any

import numpy as np
from numpy.typing import NDArray

from datasets.errors import InputError
from tasks.runtime.litert_notes import read_notes
from tasks.runtime.session import Image
from tasks.runtime.tensorflow_detections import DETECTIONS, READ_AS, read_detections

INSTALL = "pip install ai-edge-litert, which this project's extra 'litert' names"


class LiteRtSession:
    """A graph in LiteRT, on the CPU, whose inputs are ready squares.

    Args:
        path: Path of the file.
        threads: Number of threads; None takes one per core.

    Raises:
        InputError: If LiteRT is not installed, or the file is none that it runs.
    """

    single = True

    def __init__(self, path: Path, threads: int | None = None) -> None:
        interpreter = import_interpreter(path)
        # First, for the runtime itself does not look whether all of a file is there.
        self.notes = read_notes(path)
        try:
            self._runtime = interpreter(model_path=str(path), num_threads=threads or cores())
            if self._is_theirs():  # Their operator on N threads leaves out class N (LiteRT 2.3).
                self._runtime = interpreter(model_path=str(path), num_threads=1)
            self._runtime.allocate_tensors()
        except (RuntimeError, ValueError) as error:
            reason = str(error).strip().splitlines()[0][:200]
            raise InputError(f"{path}: not a file that LiteRT runs ({reason})") from error
        self._inputs = self._runtime.get_input_details()
        self._outputs = self._runtime.get_output_details()
        self._theirs = self._is_theirs()
        self.outputs = [*READ_AS] if self._theirs else _names(self._runtime, self._outputs)
        self._lock = Lock()

    def _is_theirs(self) -> bool:
        """Whether it ends in TensorFlow's own operator for detections."""
        return tuple(_names(self._runtime, self._runtime.get_output_details())) == DETECTIONS

    def run(self, *images: Image) -> list[NDArray[Any]]:
        """Outputs for squares (1, S, S, 3): for each of its inputs, in their order."""
        with self._lock:  # What it computes with is every thread's.
            for told, image in zip(self._inputs, images, strict=True):
                if told["dtype"] == np.int8:  # A byte less 128, as microcontrollers want it.
                    image = (image ^ np.uint8(128)).view(np.int8)
                self._runtime.set_tensor(told["index"], image)
            self._runtime.invoke()
            found = [
                _real(self._runtime.get_tensor(told["index"]), told) for told in self._outputs
            ]
        return read_detections(found) if self._theirs else found


def import_interpreter(path: Path) -> Any:
    """LiteRT's interpreter. Raises InputError, naming a file, if it is not installed."""
    try:
        from ai_edge_litert.interpreter import Interpreter
    except ImportError as error:
        raise InputError(f"{path}: needs LiteRT: {INSTALL}") from error
    return Interpreter


def cores() -> int:
    """CPU threads that this process may use."""
    return (
        len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    )


def _names(runtime: Any, outputs: list[dict[str, Any]]) -> list[str]:
    """What each output is called in the file's signature; else what its tensor is called."""
    signatures = runtime.get_signature_list()
    if not signatures:
        return [told["name"] for told in outputs]
    runner = runtime.get_signature_runner(next(iter(signatures)))
    called = {told["index"]: name for name, told in runner.get_output_details().items()}
    return [called.get(told["index"], told["name"]) for told in outputs]


def _real(values: NDArray[Any], told: dict[str, Any]) -> NDArray[Any]:
    """An output as numbers, where it comes in steps of 8 bits."""
    scale, zero = told["quantization"]
    return values if not scale else (values.astype(np.float32) - zero) * np.float32(scale)
