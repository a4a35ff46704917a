"""An ONNX file of fixed shapes as LiteRT's file."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

from datasets.errors import InputError
from tasks.export.litert.detection_postprocess import RAW, PostProcess, append_postprocess
from tasks.export.litert.entry import ENTRY, fold_entries
from tasks.export.litert.flatbuffer import FlatBuffer
from tasks.export.litert.graph import Graph, read_graph
from tasks.export.litert.lowering import KINDS, Lowering, plain
from tasks.export.litert.metadata import (
    METADATA,
    append_labels,
    classifier_metadata,
    detector_metadata,
)
from tasks.export.litert.operators import OPERATORS
from tasks.runtime.session import CARD_KEY
from tasks.runtime.tensorflow_detections import DETECTIONS
from tasks.weights.card import Card

# Of all that can be written, TensorFlow Lite Micro lacks this.
_NOT_IN_MICRO = ("TopK",)


def write_litert(
    onnx_file: Path,
    notes: Mapping[str, str],
    file: Path,
    *,
    detections: PostProcess | None = None,
    micro: bool = False,
) -> None:
    """Write a .tflite that computes what an ONNX file of one image does.

    Inputs and outputs keep their names, in the file's signature, and ONNX's order of axes.
    Whole numbers have 32 bits. A file of 8 bits computes in them: what is between quantise and
    dequantise nodes. With a card among the notes a classifier, or a detector in TensorFlow's
    form, also carries the metadata that Android's and MediaPipe's libraries look for.

    Args:
        onnx_file: ONNX file with fixed shapes.
        notes: Texts that travel with the model, by name.
        file: File to write.
        detections: Ends a detector in TensorFlow's form; the ONNX file holds its raw outputs.
        micro: Whether the file is for TensorFlow Lite Micro: images are signed bytes, pixels minus
            128, and only operators that it has are used.

    Raises:
        InputError: If the ONNX file cannot be read, leaves a shape open, has an operator that
            cannot be written, or is not for ``micro``; nothing is written then.
    """
    graph = read_graph(onnx_file, None if detections is None else RAW)
    fold_entries(graph)
    _refuse_unknown(graph)
    if micro:
        _refuse_for_micro(graph)
    low = Lowering(graph, FlatBuffer(), micro=micro)
    inputs = {}
    for name in graph.inputs:
        shape, kind = graph.shapes[name], KINDS.get(graph.kinds[name], graph.kinds[name])
        kind = "int8" if micro else kind
        low.values[name] = low.make(name, shape, kind, plain(len(shape)))
        inputs[name] = low.values[name].tensor
    for node in graph.nodes:
        # An activation may have been written with the layer before it.
        if not all(name in low.values or name in low.integers for name in node.outputs):
            OPERATORS[node.kind](low, node)
    if detections is None:
        outputs = {name: low.bring(name).tensor for name in graph.outputs}
    else:
        outputs = append_postprocess(low, detections)
    for name, text in notes.items():
        low.buffer.note(name, text.encode())
    labels = _describe(low, notes, tuple(outputs))
    low.buffer.finish(inputs, outputs)
    low.buffer.save(file)
    if labels:
        append_labels(file, labels)


def _describe(low: Lowering, notes: Mapping[str, str], outputs: tuple[str, ...]) -> Sequence[str]:
    """Note what libraries read, if they have a word for such networks; the names of classes."""
    describe = {("probabilities",): classifier_metadata, DETECTIONS: detector_metadata}.get(
        outputs
    )
    if describe is None or CARD_KEY not in notes or len(low.graph.inputs) != 1:
        return ()
    card = Card.from_json(json.loads(notes[CARD_KEY]))
    entry = low.buffer.quantisation(low.values[low.graph.inputs[0]].tensor)
    low.buffer.note(METADATA, describe(card.task, entry))
    return card.classes.names


def _refuse_unknown(graph: Graph) -> None:
    unknown = [node for node in graph.nodes if node.kind not in OPERATORS]
    if unknown:
        kinds = ", ".join(sorted({node.kind for node in unknown}))
        raise InputError(
            f"{graph.file}: cannot be written for LiteRT: it has no operator for ONNX's {kinds} "
            f"(the first is node {unknown[0].name})"
        )


def _refuse_for_micro(graph: Graph) -> None:
    """Images can only come as signed bytes where these go straight into a network of 8 bits."""
    for name in graph.inputs:
        if any(node.kind != ENTRY for node in graph.readers(name)):
            raise InputError(
                f"{graph.file}: not for microcontrollers: it computes with the image before it is "
                "rounded to 8 bits. They take networks of 8 bits (--int8) whose three channels "
                "are normalised alike"
            )
    ranked = next((node for node in graph.nodes if node.kind in _NOT_IN_MICRO), None)
    if ranked is not None:
        raise InputError(
            f"{graph.file}: not for microcontrollers: they have no operator for ONNX's "
            f"{ranked.kind} (node {ranked.name}). A detector of one stage can end in TensorFlow's "
            "operator, which they have: --postprocess tensorflow"
        )
