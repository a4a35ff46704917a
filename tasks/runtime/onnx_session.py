"""Exports in ONNX Runtime."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from datasets.errors import InputError
from tasks.runtime.chip import keep_sums_right
from tasks.runtime.session import Image


class OnnxSession:
    """A graph in ONNX Runtime, on the CPU.

    Args:
        path: Path of the file.
        threads: Number of threads; None leaves it to the runtime (one per core).

    Raises:
        InputError: If it is no ONNX file that this runtime takes.
    """

    def __init__(self, path: Path, threads: int | None = None) -> None:
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads, options.inter_op_num_threads = threads or 0, 1
        options.log_severity_level = 3
        # Numbers next to zero, which training leaves behind, take a hundred times as long.
        options.add_session_config_entry("session.set_denormal_as_zero", "1")
        keep_sums_right(options)
        try:
            self._session = onnxruntime.InferenceSession(
                path.read_bytes(), options, providers=["CPUExecutionProvider"]
            )
        except OSError as error:
            raise InputError(f"{path}: cannot be read ({error.strerror or error})") from error
        except Exception as error:  # The runtime has a class for each of its codes.
            reason = str(error).splitlines()[0][:200]
            raise InputError(f"{path}: not an ONNX file that runs here ({reason})") from error
        try:
            self.notes = dict(self._session.get_modelmeta().custom_metadata_map)
            self.outputs = [output.name for output in self._session.get_outputs()]
            inputs = self._session.get_inputs()
            self._inputs, self.single = [one.name for one in inputs], inputs[0].shape[:1] == [1]
        except (UnicodeDecodeError, IndexError) as error:
            raise InputError(f"{path}: damaged ONNX file ({error})") from error

    def run(self, *images: Image) -> list[NDArray[Any]]:
        """Outputs for images (N, H, W, 3): for each of its inputs, in their order."""
        given = dict(zip(self._inputs, images, strict=True))
        found: list[NDArray[Any]] = self._session.run(None, given)
        return found
