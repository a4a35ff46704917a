"""ONNX files that others are made from."""

from __future__ import annotations

from pathlib import Path

import onnx

from datasets.errors import InputError


def read_onnx(file: Path) -> onnx.ModelProto:
    """A file that keeps to ONNX's rules, with the shapes that follow from them.

    Raises:
        InputError: If it cannot be read, or is no such file.
    """
    try:
        model = onnx.load(str(file))
        onnx.checker.check_model(model)
        inferred: onnx.ModelProto = onnx.shape_inference.infer_shapes(model, data_prop=True)
    except OSError as error:
        raise InputError(f"{file}: cannot be read ({error.strerror or error})") from error
    except Exception as error:  # protobuf and onnx have a class for each of their complaints.
        reason = str(error).strip().splitlines()[0][:200]
        raise InputError(f"{file}: not an ONNX file that can be read ({reason})") from error
    return inferred
