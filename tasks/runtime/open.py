"""Opening exports, without torch, and reading the cards of exports and weights alike.

Needs numpy and the runtime of the file (:mod:`tasks.runtime.runtimes`); where that takes ready
squares also OpenCV and Pillow, which make them::

    from tasks.runtime.open import open_export

    exported = open_export(Path("model.onnx"))
    for found in exported([image]):  # (H, W, 3) uint8 RGB
        print(found["boxes"], found["scores"], found["labels"])
"""

from __future__ import annotations

from pathlib import Path

from datasets.errors import InputError
from datasets.lfs import refuse_pointer
from tasks.runtime.exported import Exported
from tasks.runtime.runtimes import RUNTIMES, runtime_of
from tasks.weights.card import Card
from tasks.weights.file import read_weights_card


def is_export(path: Path) -> bool:
    """Whether a path is meant as an export of this suite.

    Its name decides; if files of other programs have the same name, its content does.
    """
    runtime = runtime_of(path)
    return runtime is not None and runtime.is_ours(path)


def open_export(path: Path, threads: int | None = None, head: str | None = None) -> Exported:
    """Load an export, in the runtime of its suffix.

    Args:
        path: Path of the file.
        threads: CPU threads to compute with; None takes one per core.
        head: The one of several heads that is to answer.

    Raises:
        InputError: If it is missing, damaged, was not written by this suite, or has no such head.
    """
    path = Path(path)
    runtime = runtime_of(path)
    if runtime is None:
        *others, last = (one.suffix for one in RUNTIMES)
        raise InputError(f"{path}: exports end in {', '.join(others)} or {last}")
    if not (path.is_dir() if runtime.folder else path.is_file()):
        raise InputError(f"{path}: no such {'folder' if runtime.folder else 'file'}")
    for file in [] if runtime.folder else runtime.files(path):
        refuse_pointer(file)
    exported = Exported(runtime.session(path, threads), path)
    return exported if head is None else exported.head(head)


def read_card(path: Path) -> Card:
    """Read the card of a run folder or a weights file alone, which takes no time; or of an export.

    Raises:
        InputError: If the file is missing, damaged, or was not written by this suite.
    """
    return open_export(path).card if is_export(path) else read_weights_card(path)
