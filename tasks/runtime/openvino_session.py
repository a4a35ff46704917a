"""Exports in OpenVINO."""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from datasets.errors import InputError
from tasks.runtime.session import CARD_KEY, FACTS_KEY, Image

# The .xml keeps the notes under this name.
NOTES = "mobilenets"
_first, _answered = threading.Lock(), threading.Event()


class OpenVinoSession:
    """A graph in OpenVINO, on the CPU, in float32 (by default it would round to bfloat16).

    Args:
        path: The .xml; the .bin lies beside it.
        threads: Number of threads; None leaves it to the runtime (one per core).

    Raises:
        InputError: If OpenVINO is not installed, or the file is none of its.
    """

    def __init__(self, path: Path, threads: int | None = None) -> None:
        core, model = read_model(path)
        options: dict[str, Any] = {"INFERENCE_PRECISION_HINT": "f32"}
        if threads:
            options["INFERENCE_NUM_THREADS"] = threads
        try:
            self._model = core.compile_model(model, "CPU", options)
        except RuntimeError as error:
            reason = str(error).strip().splitlines()[-1][:200]
            raise InputError(f"{path}: not a file that OpenVINO runs ({reason})") from error
        try:
            self.outputs = [output.get_any_name() for output in model.outputs]
            self.notes = _notes_of(model)
            first = model.inputs[0].get_partial_shape()[0] if model.inputs else None
        except (RuntimeError, UnicodeDecodeError) as error:
            raise InputError(f"{path}: damaged OpenVINO file ({error!s:.200})") from error
        self.single = first is not None and first.is_static and first.get_length() == 1

    def run(self, *images: Image) -> list[NDArray[Any]]:
        """Outputs for images (N, H, W, 3): for each of its inputs, in their order."""
        with _first_alone():
            # A request of its own: what the model keeps of the last one is another thread's too.
            found = self._model.create_infer_request().infer([*images])
        return [found[k].copy() for k in range(len(self.outputs))]


def _notes_of(model: Any) -> dict[str, str]:
    places = [[NOTES, name] for name in (CARD_KEY, FACTS_KEY)]
    return {
        place[1]: str(model.get_rt_info(place).value)
        for place in places
        if model.has_rt_info(place)
    }


@contextmanager
def _first_alone() -> Iterator[None]:
    """Let no other thread in until a first answer has been given in this process.

    OpenVINO sets something up at its first answer and lets go of the interpreter meanwhile. A
    second thread that asks at that moment takes the interpreter and waits for the first one.
    """
    if _answered.is_set():
        yield
        return
    with _first:
        yield
        _answered.set()


def import_openvino(path: Path) -> Any:
    """The package, which need not be installed. Raises InputError if it is not installed."""
    # At its import it tells its makers so, unless the package that does this is not there.
    sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]
    try:
        import openvino
    except ImportError as error:
        raise InputError(f"{path}: needs OpenVINO: pip install openvino") from error
    return openvino


def read_model(path: Path) -> tuple[Any, Any]:
    """The runtime, and the graph of a file (.xml or .onnx).

    Raises:
        InputError: If OpenVINO is not installed, or does not read the file.
    """
    core = import_openvino(path).Core()
    try:
        return core, core.read_model(str(path))
    except Exception as error:  # It has one class for all.
        lines = [line for line in str(error).splitlines() if line.strip()]
        reason = (lines[-1] if lines else "")[:200]
        raise InputError(f"{path}: not a file that OpenVINO reads ({reason})") from error
