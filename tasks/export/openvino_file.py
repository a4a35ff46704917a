"""OpenVINO's files, written from ONNX ones."""

from __future__ import annotations

from pathlib import Path

from tasks.runtime.openvino_session import NOTES, import_openvino, read_model


def write_openvino(onnx_file: Path, notes: dict[str, str], file: Path) -> None:
    """Translate an ONNX file into a .xml and a .bin beside it.

    Raises:
        InputError: If OpenVINO is not installed, or cannot translate the graph.
    """
    _, model = read_model(onnx_file)
    for name, text in notes.items():
        model.set_rt_info(text, [NOTES, name])
    import_openvino(onnx_file).save_model(model, str(file), compress_to_fp16=False)
