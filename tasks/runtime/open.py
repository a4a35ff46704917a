"""Opening exports, without torch, and reading the cards of exports and weights alike.

Needs onnxruntime and numpy (for an OpenVINO export, openvino and numpy), nothing else::

    from tasks.runtime.open import open_export

    exported = open_export(Path("model.onnx"))
    for found in exported([photo]):  # (H, W, 3) uint8 RGB
        print(found["boxes"], found["scores"], found["labels"])
"""

from __future__ import annotations

from pathlib import Path

from datasets.errors import InputError
from datasets.lfs import refuse_pointer
from tasks.runtime.exported import Exported
from tasks.runtime.onnx_session import OnnxSession
from tasks.runtime.openvino_session import OpenVinoSession
from tasks.weights.card import Card
from tasks.weights.file import read_weights_card

SUFFIXES = (".onnx", ".xml")


def is_export(path: Path) -> bool:
    """Whether a path is meant as an export, by its name."""
    return path.suffix in SUFFIXES


def open_export(path: Path, threads: int | None = None, head: str | None = None) -> Exported:
    """Load an export, ending in .onnx or .xml (OpenVINO's).

    Args:
        path: Of the file.
        threads: CPU threads to compute with; None takes one per core.
        head: The one of several heads that is to answer.

    Raises:
        InputError: If it is missing, damaged, was not written by this suite, or has no such head.
    """
    path = Path(path)
    if path.suffix not in SUFFIXES:
        raise InputError(f"{path}: exports end in {' or '.join(SUFFIXES)}")
    if not path.is_file():
        raise InputError(f"{path}: no such file")
    for file in (path, path.with_suffix(".bin")):  # OpenVINO's weights lie beside.
        refuse_pointer(file)
    kind: type[OnnxSession | OpenVinoSession]
    kind = OnnxSession if path.suffix == ".onnx" else OpenVinoSession
    exported = Exported(kind(path, threads), path)
    return exported if head is None else exported.head(head)


def read_card(path: Path) -> Card:
    """Read the card of a run folder or a weights file alone, which takes no time; or of an export.

    Raises:
        InputError: If the file is missing, damaged, or was not written by this suite.
    """
    return open_export(path).card if is_export(path) else read_weights_card(path)
