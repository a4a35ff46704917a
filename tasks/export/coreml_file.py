"""A graph of a fixed shape as a Core ML package (.mlpackage), an ML program in float32.

Its inputs are RGB images, which Vision makes of any image, and its outputs arrays; a classifier
has ``classLabel`` and ``classLabel_probs`` as Xcode and Vision know them. The notes are the
metadata ``card``, ``export`` and ``outputs``.
"""

from __future__ import annotations

import json
import uuid
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from datasets.errors import InputError
from tasks.export.quiet import quiet
from tasks.photo_graph import AnswerGraph
from tasks.runtime.coreml_session import OUTPUTS, import_coreml, model_file, read_model
from tasks.runtime.session import CARD_KEY
from tasks.weights.card import Card

# How Core ML names a classifier's outputs.
_LABEL, _SHARES = "classLabel", "classLabel_probs"
_ATEN = torch.ops.aten
# What the converter has no rule for, in operators that it has.
_INSTEAD: dict[Any, Any] = {
    _ATEN.alias.default: lambda x: x,
    _ATEN.__and__.Tensor: torch.logical_and,
    _ATEN.where.ScalarOther: lambda mask, x, other: torch.where(
        mask, x, torch.full_like(x, other)
    ),
}
# Where the converter writes which node of the program became which operation.
_DEBUGGING = "executorch_debug_handle_mapping.json"


class PictureGraph(nn.Module):
    """A graph of squares as Core ML wants it: images with channels first, numbers it can give.

    Args:
        graph: The graph of squares (1, S, S, 3) uint8.
    """

    def __init__(self, graph: AnswerGraph) -> None:
        super().__init__()
        self.inner = graph  # A module's attribute `graph` would be taken for the exporter's own.
        self.eval()

    def forward(self, *images: Tensor) -> tuple[Tensor, ...]:
        """Outputs for images (1, 3, S, S) float32, 0..255: float32 or int32."""
        found = self.inner(*(image.permute(0, 2, 3, 1) for image in images))
        return tuple(one if one.is_floating_point() else one.int() for one in found)


def write_coreml(graph: AnswerGraph, notes: dict[str, str], file: Path) -> None:
    """Write a graph whose inputs are squares, with its notes, as a folder.

    Raises:
        InputError: If coremltools is not installed, or has no operator for one of the graph's.
    """
    tools = import_coreml(file)
    card = Card.from_json(json.loads(notes[CARD_KEY]))
    shapes = {name: (1, 3, one.size, one.size) for name, one in graph.squares.items()}
    squares = tuple(torch.zeros(1, one.size, one.size, 3) for one in graph.squares.values())
    with torch.no_grad():
        kinds = [str(found.dtype).removeprefix("torch.") for found in graph(*squares)]
    outputs = {name: [name, kind] for name, kind in zip(graph.outputs, kinds, strict=True)}
    classifier = None
    if graph.outputs == ("probabilities",):
        classifier = tools.ClassifierConfig(list(card.classes.names), _LABEL)
        outputs = {"probabilities": [_SHARES, kinds[0]]}
    try:
        with quiet(), torch.no_grad():
            pictures = tuple(torch.zeros(shape) for shape in shapes.values())
            model = tools.convert(
                _program(PictureGraph(graph), pictures),
                convert_to="mlprogram",
                inputs=[
                    tools.ImageType(name, shape, color_layout=tools.colorlayout.RGB)
                    for name, shape in shapes.items()
                ],
                outputs=[tools.TensorType(name) for name in graph.outputs],
                classifier_config=classifier,
                compute_precision=tools.precision.FLOAT32,
                minimum_deployment_target=tools.target.iOS15,
                skip_model_load=True,
            )
    except Exception as error:  # It has many classes, and no common one.
        reason = next(iter(str(error).splitlines()), "")[:200]
        raise InputError(f"{file}: Core ML cannot hold this network ({reason})") from error
    for name, square in graph.squares.items():
        how = "the centre of the image" if square.fit == "centre" else "the whole image"
        model.input_description[name] = f"{how}, {square.size} x {square.size} pixels, RGB"
    model.user_defined_metadata.update({**notes, OUTPUTS: json.dumps(outputs)})
    model.save(str(file))
    (file / _DEBUGGING).unlink(missing_ok=True)
    _fix_ids(file / "Manifest.json")


def _fix_ids(manifest: Path) -> None:
    """Name the items of a package after their paths, so that equal networks make equal files.

    The converter draws their ids at random.
    """
    found = json.loads(manifest.read_text(encoding="utf-8"))
    items = found["itemInfoEntries"]
    names = {old: str(uuid.uuid5(uuid.NAMESPACE_URL, one["path"])) for old, one in items.items()}
    found["itemInfoEntries"] = {names[old]: one for old, one in items.items()}
    found["rootModelIdentifier"] = names[found["rootModelIdentifier"]]
    manifest.write_text(json.dumps(found, indent=4, sort_keys=True), encoding="utf-8")


def _program(graph: PictureGraph, pictures: tuple[Tensor, ...]) -> Any:
    """The exported program, in operators that the converter has rules for."""
    program = torch.export.export(graph, pictures).run_decompositions(_INSTEAD)
    for node in program.graph.nodes:
        if node.target is _ATEN.max_pool2d.default and len(node.args) == 2:
            node.args = (*node.args, node.args[1])  # It wants the stride told: the side.
    return program


def write_notes(file: Path, notes: dict[str, str]) -> None:
    """Replace notes of a package; all else stays. Raises InputError if it cannot be read."""
    model = read_model(file)
    model.description.metadata.userDefined.update(notes)
    model_file(file).write_bytes(model.SerializeToString())
