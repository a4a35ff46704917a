"""A network alone as an ONNX file of a fixed shape, and what its host has to know beside it."""

from __future__ import annotations

import json
import warnings
from pathlib import Path
from typing import Any, Protocol

import torch

from tasks.bare_graph import BareInput
from tasks.export import translations
from tasks.export.onnx_file import save_program
from tasks.runtime.session import BARE
from tasks.weights.card import Card


class Bare(Protocol):
    """A graph of networks alone; see :class:`tasks.bare_graph.BareGraph`."""

    inputs: dict[str, BareInput]
    outputs: tuple[str, ...]
    told: dict[str, Any]


def write_bare(graph: Bare, card: Card, facts: dict[str, Any], file: Path) -> None:
    """Write a graph with its card, and what the host has to know among the facts."""
    assert isinstance(graph, torch.nn.Module)
    given = tuple(torch.zeros(one.to_json()["shape"]) for one in graph.inputs.values())
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Of deprecations inside the exporter.
        program = torch.onnx.export(
            graph,
            given,
            input_names=[*graph.inputs],
            output_names=list(graph.outputs),
            opset_version=translations.OPSET,
            dynamo=True,
            verbose=False,
        )
    save_program(program, card, {**facts, BARE: graph.told}, file)


def host_text(graph: Bare, card: Card, facts: dict[str, Any]) -> str:
    """The same for programs that get the network in another form, as JSON."""
    told = {
        "task": card.task,
        **graph.told,
        "classes": list(card.classes.names),
        "checked": facts["checked"],
        "card": card.to_json(),
    }
    return json.dumps(told, indent=None)
