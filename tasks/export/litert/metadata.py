"""What Android's and MediaPipe's libraries read beside the network: TensorFlow Lite's metadata.

It describes input and output, and where the class names are: in a file of a zip archive that is
appended to the .tflite. The tables are those of TensorFlow Lite's public metadata schema,
identified by the numbers of their fields.
"""

from __future__ import annotations

import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import flatbuffers
import numpy as np

from tasks.export.litert.flatbuffer import Quantisation

METADATA = "TFLITE_METADATA"
LABELS = "labels.txt"
_IDENTIFIER = b"M001"
_VERSION = "1.2.0"
# What the labels of a file are: one for each place of an axis, or for each value.
_BY_PLACE, _BY_VALUE = 2, 3
# Kinds of content and of processing, by their numbers in the schema's unions.
_FEATURE, _IMAGE, _BOXES = 1, 2, 3
_NORMALISATION = 1
_RGB = 1
# Boxes are told by their sides; where left, top, right and bottom stand among y x y x.
_SIDES, _PLACES = 1, (1, 0, 3, 2)


class _Byte(int):
    """A number that the schema keeps in a byte."""


_Table = dict[int, Any]


def classifier_metadata(name: str, entry: Quantisation | None) -> bytes:
    """Of a network from one image to probabilities.

    Args:
        name: Name of the model.
        entry: Meaning of the bytes of its input, if it is known.
    """
    output = {
        0: "probability",
        1: "Share of each class, in the order of the labels.",
        3: _content(_FEATURE, {}),
        5: {0: _floats(1.0), 1: _floats(0.0)},
        6: [_labels(_BY_PLACE)],
    }
    return _model(name, entry, [output])


def detector_metadata(name: str, entry: Quantisation | None) -> bytes:
    """Of a detector that ends in TFLite_Detection_PostProcess; arguments as for classifiers."""
    places = {0: np.array(_PLACES, np.uint32), 1: _Byte(_SIDES)}
    each = {0: 2, 1: 2}  # A value for each of the boxes, which are the third axis from the end.
    outputs: list[_Table] = [
        {0: "location", 1: "Sides of the boxes, in shares.", 3: _content(_BOXES, places, each)},
        {0: "category", 1: "Their classes.", 3: _content(_FEATURE, {}, each),
         6: [_labels(_BY_VALUE)]},
        {0: "score", 1: "Their scores.", 3: _content(_FEATURE, {}, each)},
        {0: "number of detections", 1: "How many boxes there are.", 3: _content(_FEATURE, {})},
    ]  # fmt: skip
    group = {0: "detection_result", 1: ["location", "category", "score"]}
    return _model(name, entry, outputs, group)


def append_labels(file: Path, names: Sequence[str]) -> None:
    """Append the classes' names, one a line, as libraries look for them: in a zip, as they are."""
    # Of no date, so that the same network gives the same bytes.
    told = zipfile.ZipInfo(LABELS)
    with zipfile.ZipFile(file, "a", zipfile.ZIP_STORED) as archive:
        archive.writestr(told, "".join(f"{' '.join(name.split())}\n" for name in names))


def _model(
    name: str, entry: Quantisation | None, outputs: list[_Table], group: _Table | None = None
) -> bytes:
    graph: _Table = {2: [_image(entry)], 3: outputs}
    if group is not None:
        graph[8] = [group]
    builder = flatbuffers.Builder(1024)
    table = _write(builder, {0: name, 3: [graph], 7: _VERSION})
    builder.Finish(table, file_identifier=_IDENTIFIER)
    return bytes(builder.Output())


def _image(entry: Quantisation | None) -> _Table:
    """The input: bytes as they are, whatever is made of them inside."""
    mean, std = 0.0, 1.0
    if entry is not None:  # Libraries divide by the scale again, and come to the same bytes.
        mean, std = float(entry.zero[0]), 1 / entry.scale[0]
    return {
        0: "image",
        1: "An image, RGB.",
        3: _content(_IMAGE, {0: _Byte(_RGB)}),
        4: [{0: _Byte(_NORMALISATION), 1: {0: _floats(mean), 1: _floats(std)}}],
        5: {0: _floats((255 - mean) / std), 1: _floats((0 - mean) / std)},
    }


def _content(kind: int, properties: _Table, each: _Table | None = None) -> _Table:
    found: _Table = {0: _Byte(kind), 1: properties}
    return found if each is None else {**found, 2: each}


def _labels(kind: int) -> _Table:
    return {0: LABELS, 1: "Names of the classes.", 2: _Byte(kind)}


def _floats(value: float) -> Any:
    return np.array([value], np.float32)


def _write(builder: Any, fields: _Table) -> int:
    """A table, by the numbers of its fields; what they hold is written before it."""
    parts = {number: _part(builder, value) for number, value in fields.items()}
    builder.StartObject(max(fields, default=-1) + 1)
    for number, part in parts.items():
        if isinstance(fields[number], _Byte):
            builder.PrependUint8Slot(number, part, 0)
        elif isinstance(fields[number], int):
            builder.PrependInt32Slot(number, part, 0)
        else:
            builder.PrependUOffsetTRelativeSlot(number, part, 0)
    return int(builder.EndObject())


def _part(builder: Any, value: Any) -> int:
    if isinstance(value, str):
        return int(builder.CreateString(value))
    if isinstance(value, np.ndarray):
        return int(builder.CreateNumpyVector(value))
    if isinstance(value, dict):
        return _write(builder, value)
    if isinstance(value, list):
        offsets = [_part(builder, one) for one in value]
        builder.StartVector(4, len(offsets), 4)
        for offset in reversed(offsets):
            builder.PrependUOffsetTRelative(offset)
        return int(builder.EndVector())
    return int(value)
