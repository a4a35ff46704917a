"""A graph of a fixed shape as an ExecuTorch program (.pte), its arithmetic in XNNPACK.

The notes are methods of the program beside ``forward``: ``card``, ``export`` and ``outputs``, each
a JSON text. So an app asks the file itself: ``module.execute("card")``.
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import nn

from datasets.errors import InputError
from tasks.export.onnx_module import OnnxModule
from tasks.export.quiet import quiet
from tasks.export.read_onnx import read_onnx
from tasks.photo_graph import AnswerGraph
from tasks.runtime.executorch_session import OUTPUTS, import_executorch, read_notes
from tasks.runtime.session import FACTS_KEY

# Blanks behind the facts, so that what a check found can be written into a finished file.
_ROOM = 4096
# Numbers of a tensor from which on XNNPACK is worth being called for it.
_LARGE = 4096


def write_executorch(graph: AnswerGraph, notes: dict[str, str], file: Path) -> None:
    """Write a graph whose inputs are squares, with its notes.

    Raises:
        InputError: If ExecuTorch is not installed, or lacks an operator of the graph.
    """
    shapes = [(1, one.size, one.size, 3) for one in graph.squares.values()]
    _write(graph, shapes, list(graph.outputs), notes, file)


def write_executorch_onnx(onnx_file: Path, notes: dict[str, str], file: Path) -> None:
    """Write an ONNX file of a fixed shape anew: what it computes in 8 bits, this one does too.

    Weights of layers whose answers are not rounded there, such as a classifier's last, are kept
    in float32, for XNNPACK computes no such layer in 8 bits.

    Raises:
        InputError: If ExecuTorch is not installed, the ONNX file cannot be read, or there is no
            way to write one of its operators.
    """
    import_executorch(file)  # It brings the operators of 8 bits.
    with quiet():
        import executorch.exir  # noqa: F401
    model = read_onnx(onnx_file)
    shapes = [
        tuple(side.dim_value for side in one.type.tensor_type.shape.dim)
        for one in model.graph.input
    ]
    try:
        module = OnnxModule(model)
    except InputError as error:
        raise InputError(f"{onnx_file}: cannot be written for ExecuTorch: {error}") from error
    _write(module, shapes, [one.name for one in model.graph.output], notes, file)


def write_notes(file: Path, notes: dict[str, str]) -> None:
    """Replace the facts of a file; the card and all else stay.

    Raises:
        InputError: If there is no room for them, or the file is none of this suite's.
    """
    old, new = read_notes(file).get(FACTS_KEY), notes[FACTS_KEY].encode()
    data = file.read_bytes()
    if old is None or data.count(old.encode()) != 1:
        raise InputError(f"{file}: carries no facts of an export of this suite")
    if len(new) > len(old.encode()):
        raise InputError(
            f"{file}: has room for {len(old.encode())} bytes of facts, not {len(new)}"
        )
    file.write_bytes(data.replace(old.encode(), new.ljust(len(old.encode()))))


def _write(
    module: nn.Module,
    shapes: Sequence[tuple[int, ...]],
    outputs: list[str],
    notes: dict[str, str],
    file: Path,
) -> None:
    import_executorch(file)
    texts = {**notes, OUTPUTS: json.dumps(outputs)}
    texts[FACTS_KEY] += " " * _ROOM
    squares = tuple(torch.zeros(shape, dtype=torch.uint8) for shape in shapes)
    with quiet():
        try:
            with torch.no_grad():
                program = torch.export.export(module, squares)
            several = bool(json.loads(notes[FACTS_KEY]).get("heads"))
            data = _lower(program, texts, math.inf if several else _LARGE)
        except Exception as error:  # It has a class for each of its steps.
            reason = next(iter(str(error).splitlines()), "")[:200]
            raise InputError(f"{file}: ExecuTorch cannot hold this network ({reason})") from error
    file.write_bytes(data)


def _lower(program: Any, texts: dict[str, str], least: float) -> bytes:
    from executorch.backends.xnnpack.partition.xnnpack_partitioner import XnnpackPartitioner
    from executorch.exir import to_edge_transform_and_lower

    class LargeParts(XnnpackPartitioner):  # type: ignore[misc] # An untyped library.
        """Layers, and what computes with many numbers.

        Non-maximum suppression has dozens of parts with few: slow to lower, and no faster. What
        several heads compute behind their layers XNNPACK would join into circles.
        """

        def generate_partitions(self, program: Any) -> list[Any]:
            parts = super().generate_partitions(program)
            return [part for part in parts if any(_is_large(node, least) for node in part.nodes)]

    edge = to_edge_transform_and_lower(
        {"forward": program}, partitioner=[LargeParts()], constant_methods=texts
    )
    data: bytes = edge.to_executorch().buffer
    return data


def _is_large(node: Any, least: float) -> bool:
    if any(name in str(node.target) for name in ("convolution", "conv2d", "addmm", "linear")):
        return True
    value = node.meta.get("val")
    return isinstance(value, torch.Tensor) and value.numel() >= least
