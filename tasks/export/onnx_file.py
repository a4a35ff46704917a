"""A graph as an ONNX file that carries its card, and from there as OpenVINO's."""

from __future__ import annotations

import json
import warnings
from collections.abc import Collection
from pathlib import Path
from typing import Any

import onnx
import torch

from tasks.export import translations
from tasks.photo_graph import IMAGES, AnswerGraph
from tasks.runtime.openvino_session import NOTES, import_openvino, read_model
from tasks.runtime.session import CARD_KEY, FACTS_KEY, SQUARE
from tasks.weights.card import Card

# Images that the graph is traced with: numbers that differ and stand for any.
_TRACED = (2, 70, 90)
_AXES = ("photos", "height", "width")


def write_onnx(
    graph: AnswerGraph, card: Card, facts: dict[str, Any], file: Path, *, dynamic: bool = True
) -> None:
    """Write a graph with its card: of one of squares, whose shape is fixed, also how to make them.

    With ``dynamic`` others take any number of images of one size at once.
    """
    shapes = [(1, one.size, one.size, 3) for one in graph.squares.values()]
    axes: Any = None
    if shapes:
        squares = {name: one.to_json() for name, one in graph.squares.items()}
        facts = {**facts, SQUARE: squares}
    else:
        shapes = [((_TRACED[0] if dynamic else 1), *_TRACED[1:], 3)]
        axes = ({axis: name for axis, name in enumerate(_AXES) if dynamic or axis},)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Of deprecations inside the exporter.
        program = torch.onnx.export(
            graph,
            tuple(torch.zeros(shape, dtype=torch.uint8) for shape in shapes),
            input_names=[*graph.squares] or [IMAGES],
            output_names=[*graph.outputs, *graph.inner],
            dynamic_shapes=axes,
            opset_version=translations.OPSET,
            custom_translation_table=translations.translations(),
            dynamo=True,
            verbose=False,
        )
    save_program(program, card, facts, file, inner=graph.inner)


def save_program(
    program: Any, card: Card, facts: dict[str, Any], file: Path, *, inner: Collection[str] = ()
) -> None:
    """Save what the exporter made, with its card and without traces of where it was made.

    Outputs named in ``inner`` stay in the file as tensors, and are outputs no longer.
    """
    program.save(str(file), external_data=False)
    model = onnx.load(str(file))
    _drop_traces(model)
    for value in [one for one in model.graph.output if one.name in inner]:
        model.graph.output.remove(value)
        model.graph.value_info.append(value)
    notes = {CARD_KEY: json.dumps(card.to_json()), FACTS_KEY: json.dumps(facts)}
    onnx.helper.set_model_props(model, notes)
    onnx.save(model, str(file))


def write_openvino(onnx_file: Path, notes: dict[str, str], file: Path) -> None:
    """Translate an ONNX file into a .xml and a .bin beside it.

    Raises:
        InputError: If OpenVINO is not installed, or cannot translate the graph.
    """
    _, model = read_model(onnx_file)
    for name, text in notes.items():
        model.set_rt_info(text, [NOTES, name])
    import_openvino(onnx_file).save_model(model, str(file), compress_to_fp16=False)


def write_notes(file: Path, notes: dict[str, str]) -> None:
    """Put notes in the place of those that an ONNX file carries."""
    model = onnx.load(str(file))
    onnx.helper.set_model_props(model, notes)
    onnx.save(model, str(file))


def write_facts(file: Path, facts: dict[str, Any]) -> None:
    """Replace the facts that an ONNX file carries; its card stays."""
    notes = {row.key: row.value for row in onnx.load(str(file)).metadata_props}
    write_notes(file, {**notes, FACTS_KEY: json.dumps(facts)})


def _drop_traces(model: onnx.ModelProto) -> None:
    """The exporter notes at each node which lines of which files it comes from."""
    graph = model.graph
    for part in (*graph.node, *graph.value_info, *graph.input, *graph.output, graph):
        del part.metadata_props[:]
        part.doc_string = ""
