"""Exports in use, without torch: photos in, answers out.

Needs onnxruntime and numpy (for an OpenVINO export, openvino and numpy), nothing else::

    from tasks.runtime.exported import Exported

    exported = Exported.open(Path("model.onnx"))
    for found in exported([photo]):  # (H, W, 3) uint8 RGB
        print(found["boxes"], found["scores"], found["labels"])

Of several heads on one trunk one call gives all answers (``found["boxes_scores"]``), and
``exported.head("boxes")`` is that head alone.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Sequence
from itertools import groupby
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from datasets.errors import InputError
from tasks.runtime.chip import keep_sums_right
from tasks.weights.card import Card

Image = NDArray[np.uint8]
Answer = dict[str, NDArray[Any]]
# What an export carries beside the graph: the card of the weights, and facts of the export.
CARD_KEY, FACTS_KEY = "card", "export"
FORMAT = 1
SUFFIXES = (".onnx", ".xml")


class Session(Protocol):
    """A graph in some runtime.

    Attributes:
        outputs: Names of what it gives.
        single: It takes one photo per call.
        notes: Texts that the file carries.
    """

    outputs: list[str]
    single: bool
    notes: dict[str, str]

    def run(self, images: Image) -> list[NDArray[Any]]:
        """Outputs for photos (N, H, W, 3)."""


class OnnxSession:
    """A graph in ONNX Runtime, on the CPU.

    Args:
        path: Of the file.
        threads: To compute with; None leaves it to the runtime (one per core).

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
        self.notes = dict(self._session.get_modelmeta().custom_metadata_map)
        self.outputs = [output.name for output in self._session.get_outputs()]
        inputs = self._session.get_inputs()
        self._input, self.single = inputs[0].name, inputs[0].shape[:1] == [1]

    def run(self, images: Image) -> list[NDArray[Any]]:
        """Outputs for photos (N, H, W, 3)."""
        found: list[NDArray[Any]] = self._session.run(None, {self._input: images})
        return found


class HeadSession:
    """One head of a graph of several, as a graph of its task alone; all are computed.

    Args:
        session: Of all heads.
        name: Of the head.
        notes: Its own.
    """

    def __init__(self, session: Session, name: str, notes: dict[str, str]) -> None:
        self._session, self.single, self.notes = session, session.single, notes
        before = f"{name}_"
        self._mine = [k for k, one in enumerate(session.outputs) if one.startswith(before)]
        self.outputs = [session.outputs[k].removeprefix(before) for k in self._mine]

    def run(self, images: Image) -> list[NDArray[Any]]:
        """The head's outputs for photos (N, H, W, 3)."""
        found = self._session.run(images)
        return [found[k] for k in self._mine]


class Exported:
    """An export, ready to answer.

    Args:
        session: With the graph.
        path: Of the file, for messages.

    Attributes:
        path: Of the file.
        card: Task, classes, input and figures of the weights.
        facts: Of the export: precision, what it was checked with, detection's thresholds.

    Raises:
        InputError: If the file is no export of this suite, or of a newer version.
    """

    def __init__(self, session: Session, path: Path) -> None:
        self._session, self.path = session, path
        notes = session.notes
        if CARD_KEY not in notes or FACTS_KEY not in notes:
            raise InputError(
                f"{path}: carries no card, so it is no export of this suite: make one with "
                "tools/export.py"
            )
        try:
            self.card = Card.from_json(json.loads(notes[CARD_KEY]))
            self.facts: dict[str, Any] = json.loads(notes[FACTS_KEY])
            form = self.facts["format"]
        except (ValueError, KeyError, TypeError) as error:
            raise InputError(f"{path}: the card cannot be read ({error})") from error
        if form != FORMAT:
            raise InputError(
                f"{path}: an export of format {form}; this version reads {FORMAT}: export it again"
            )

    @classmethod
    def open(cls, path: Path, threads: int | None = None, head: str | None = None) -> Exported:
        """Load an export.

        Args:
            path: File ending in .onnx, or in .xml (OpenVINO's).
            threads: CPU threads to compute with; None takes one per core.
            head: The one of several heads that is to answer.

        Raises:
            InputError: If it is missing, damaged, was not written by this suite, or has no such
                head.
        """
        path = Path(path)
        if path.suffix not in SUFFIXES:
            raise InputError(f"{path}: exports end in {' or '.join(SUFFIXES)}")
        if not path.is_file():
            raise InputError(f"{path}: no such file")
        if path.suffix == ".onnx":
            session: Session = OnnxSession(path, threads)
        else:
            from tasks.runtime.openvino_session import OpenVinoSession

            session = OpenVinoSession(path, threads)
        exported = cls(session, path)
        return exported if head is None else exported.head(head)

    @property
    def task(self) -> str:
        """Of the model: ``classification``, ``detection``, ..."""
        return self.card.task

    @property
    def heads(self) -> tuple[str, ...]:
        """Names of the heads, where there are several on one trunk; else empty."""
        return tuple(self.facts.get("heads", ()))

    def head(self, name: str) -> Exported:
        """One of several heads, like an export of its task alone.

        Runtimes compute the whole graph whatever is asked of it: for all answers call this
        export, and for one head alone, often, export its own file.

        Raises:
            InputError: If there is none of this name.
        """
        if name not in self.heads:
            there = ", ".join(self.heads) or "none"
            raise InputError(f"{self.path}: has no head {name!r}; it has {there}")
        card, facts = self.card.model["heads"].get(name), self.facts["heads"][name]
        notes = {CARD_KEY: json.dumps(card), FACTS_KEY: json.dumps(facts)}
        return Exported(HeadSession(self._session, name, notes), self.path)

    @property
    def precision(self) -> str:
        """``float32`` or ``int8``."""
        return str(self.facts["precision"])

    @property
    def cells(self) -> NDArray[np.int64]:
        """Of a geolocator: (C, 4) partition, S2 cell, leaf cell of the mean position, photos.

        Raises:
            InputError: If the export holds none.
        """
        try:
            raw = base64.b64decode(self.facts["cells"], validate=True)
            return np.frombuffer(raw, dtype="<i8").reshape(-1, 4).astype(np.int64)
        except (KeyError, ValueError, TypeError) as error:
            raise InputError(f"{self.path}: holds no cells") from error

    def __call__(self, images: Sequence[Image]) -> list[Answer]:
        """Answers for photos of any sizes, in their order.

        Args:
            images: Each (H, W, 3) uint8 RGB. Neighbours of one size go through at once.

        Returns:
            For each photo, by output: ``probabilities`` (C,); of faces also ``present`` (A,);
            or ``embedding`` (D,); or ``boxes`` (K, 4) x1 y1 x2 y2 in its own pixels, ``scores``
            (K,) and ``labels`` (K,) from 1, best first, as many as were found. Of several heads
            all of these, each with the head's name before it: ``classes_probabilities``.

        Raises:
            InputError: If a photo is of another kind, or cannot be computed.
        """
        for image in images:
            if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3 or not image.size:
                raise InputError(
                    f"a photo is {image.dtype} {image.shape}, not uint8 (height, width, 3)"
                )
        found: list[Answer] = []
        for _, same in groupby(images, lambda image: image.shape):
            batch = np.stack(list(same))
            parts = [batch[k : k + 1] for k in range(len(batch))] if self.single else [batch]
            for part in parts:
                found += self._answer(part)
        return found

    @property
    def single(self) -> bool:
        """Whether the graph takes one photo per call."""
        return self._session.single

    def _answer(self, images: Image) -> list[Answer]:
        try:
            outputs = self._session.run(images)
        except Exception as error:  # The runtime has a class for each of its codes.
            reason = str(error).splitlines()[0][:200]
            shape = "x".join(map(str, images.shape[2:0:-1]))
            raise InputError(
                f"{self.path}: cannot be run on photos of {shape} pixels ({reason})"
            ) from error
        names = self._session.outputs
        rows = [
            {name: output[k] for name, output in zip(names, outputs, strict=True)}
            for k in range(len(images))
        ]
        return [_without_padding(row) for row in rows]


def _without_padding(row: Answer) -> Answer:
    """Of detections those that are some; other answers as they are."""
    for labels in [name for name in row if name.endswith("labels")]:
        head = labels.removesuffix("labels")
        real = row[labels] > 0
        for part in ("boxes", "scores", "labels"):
            row[head + part] = row[head + part][real]
    return row


def is_export(path: Path) -> bool:
    """Whether a path is meant as an export, by its name."""
    return path.suffix in SUFFIXES
