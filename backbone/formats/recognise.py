"""Recognises the kind of a weights file by its content, and reads it."""

from __future__ import annotations

import struct
from pathlib import Path

from backbone.formats.caffe import read_caffe
from backbone.formats.graph_def import read_graph_def
from backbone.formats.keras import is_keras_zip, read_keras
from backbone.formats.network import Network
from backbone.formats.onnx import read_onnx
from backbone.formats.pytorch import draft_key_map, read_pytorch
from backbone.formats.slim import read_slim
from backbone.formats.tf_bundle import find_bundle, refuse_first_format
from backbone.formats.tfjs import read_tfjs
from backbone.formats.tflite import read_tflite, tflite_network
from datasets.errors import InputError
from datasets.lfs import refuse_pointer

_TORCH_ZIP, _PICKLE, _HDF5 = b"PK\x03\x04", b"\x80\x02", b"\x89HDF\r\n\x1a\n"
_READERS = {
    "caffe": read_caffe,
    "keras": read_keras,
    "onnx": read_onnx,
    "tensorflow": read_graph_def,
    "tfjs": read_tfjs,
}
# Protocol buffers and JSON have no signature of their own.
_SUFFIXES = {".caffemodel": "caffe", ".json": "tfjs", ".onnx": "onnx", ".pb": "tensorflow"}
_KINDS = (
    "TensorFlow Lite (.tflite), TF-slim checkpoints (.index), Keras (.h5, .weights.h5, .keras), "
    "TensorFlow graphs (.pb), TF.js (.json), Caffe (.caffemodel), ONNX (.onnx), PyTorch "
    "(.safetensors, .pth, .bin)"
)


def is_tflite(path: Path) -> bool:
    """Whether a file is a TensorFlow Lite file, by content or by name."""
    return path.suffix == ".tflite" or (path.is_file() and _start(path)[4:8] == b"TFL3")


def read_network(path: Path, *, head: Path | None = None, key_map: Path | None = None) -> Network:
    """Read a classifier or a body from a file of any known kind.

    Args:
        path: File; for a TensorFlow checkpoint its prefix, any of its files, or its folder; for
            Hugging Face models their folder.
        head: TensorFlow Lite file with the last layer of a model that is stored without it.
        key_map: For PyTorch weights of an unknown layout: JSON object from the suite's names to
            the file's.

    Raises:
        InputError: If the kind is unknown, the file damaged, or a tensor does not fit.
    """
    kind = kind_of(path)
    for flag, value, only in (("--head", head, "tflite"), ("--key-map", key_map, "pytorch")):
        if value is not None and kind != only:
            raise InputError(f"{flag} {value}: {path} is no {only} file, which alone takes one")
    if kind == "tflite":
        return tflite_network(read_tflite(path), None if head is None else read_tflite(head))
    if kind == "slim":
        index = find_bundle(path)
        assert index is not None
        return read_slim(index)
    if kind in _READERS:
        return _READERS[kind](path)
    return read_pytorch(weights_inside(path), key_map)


def draft_keys(path: Path) -> dict[str, str]:
    """A draft of a ``key_map``: see :func:`~backbone.formats.pytorch.draft_key_map`.

    Raises:
        InputError: If the file is not a PyTorch file, or holds no weights.
    """
    if kind_of(path) != "pytorch":
        raise InputError(f"--list-keys: {path} is no pytorch file, which alone takes a --key-map")
    return draft_key_map(weights_inside(path))


def kind_of(path: Path) -> str:
    """Kind of file: tflite, slim, keras, caffe, onnx, tensorflow, tfjs or pytorch.

    Raises:
        InputError: If it does not exist, or its kind is unknown.
    """
    if is_tflite(path):
        return "tflite"
    if find_bundle(path) is not None:
        return "slim"
    path = weights_inside(path) if path.is_dir() else path
    if not path.is_file():
        raise InputError(f"{path}: no such file")
    refuse_pointer(path)
    start = _start(path)
    if start.startswith(_HDF5) or (start.startswith(_TORCH_ZIP) and is_keras_zip(path)):
        return "keras"
    if _is_safetensors(start, path.stat().st_size) or start.startswith((_TORCH_ZIP, _PICKLE)):
        return "pytorch"
    if path.suffix in _SUFFIXES:
        return _SUFFIXES[path.suffix]
    refuse_first_format(path)
    raise InputError(
        f"{path}: unknown kind of weights {path.suffix!r}; this tool reads {_KINDS}"
        + (": a checkpoint's .index must lie beside it" if ".data-" in path.name else "")
    )


def _start(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(16)


def _is_safetensors(start: bytes, size: int) -> bool:
    return len(start) > 8 and start[8:9] == b"{" and struct.unpack("<Q", start[:8])[0] < size


def weights_inside(path: Path) -> Path:
    """The weights file in a folder of a Hugging Face model, or the file itself.

    Raises:
        InputError: If the folder has none.
    """
    if not path.is_dir():
        return path
    for name in ("model.safetensors", "pytorch_model.bin"):
        if (path / name).is_file():
            return path / name
    refuse_first_format(path)
    raise InputError(
        f"{path}: no weights in this folder: one checkpoint (.index), model.safetensors or "
        "pytorch_model.bin is looked for"
    )
