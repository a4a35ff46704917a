"""A graph of a fixed shape as an ExecuTorch program (.pte), its arithmetic in XNNPACK.

The notes are methods of the program beside ``forward``: ``card``, ``export`` and ``outputs``, each
a JSON text. So an app asks the file itself: ``module.execute("card")``.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch

from datasets.errors import InputError
from tasks.export.quiet import quiet
from tasks.photo_graph import AnswerGraph
from tasks.runtime.executorch_session import OUTPUTS, import_executorch, read_notes
from tasks.runtime.session import FACTS_KEY

# Blanks behind the facts, so that what a check found can be written into a finished file.
_ROOM = 4096


def write_executorch(graph: AnswerGraph, notes: dict[str, str], file: Path) -> None:
    """Write a graph whose inputs are squares, with its notes.

    Raises:
        InputError: If ExecuTorch is not installed, or lacks an operator of the graph.
    """
    import_executorch(file)
    texts = {**notes, OUTPUTS: json.dumps(list(graph.outputs))}
    texts[FACTS_KEY] += " " * _ROOM
    with quiet():
        program = _lower(graph, texts, file)
    file.write_bytes(program.buffer)


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


def _lower(graph: AnswerGraph, texts: dict[str, str], file: Path) -> Any:
    from executorch.backends.xnnpack.partition.xnnpack_partitioner import XnnpackPartitioner
    from executorch.exir import to_edge_transform_and_lower

    shapes = [(1, one.size, one.size, 3) for one in graph.squares.values()]
    squares = tuple(torch.zeros(shape, dtype=torch.uint8) for shape in shapes)
    with torch.no_grad():
        program = torch.export.export(graph, squares)
    try:
        edge = to_edge_transform_and_lower(
            {"forward": program}, partitioner=[XnnpackPartitioner()], constant_methods=texts
        )
        return edge.to_executorch()
    except Exception as error:  # It has a class for each of its steps.
        reason = next(iter(str(error).splitlines()), "")[:200]
        raise InputError(f"{file}: ExecuTorch cannot hold this network ({reason})") from error
