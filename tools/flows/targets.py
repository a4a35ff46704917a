"""Writers of each export target's files: one record per target, beside its runtime's."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from configs.deploy import Export
from tasks.export import coreml_file, executorch_file
from tasks.export.litert.writer import write_litert
from tasks.export.onnx_file import write_notes, write_onnx, write_openvino
from tasks.photo_graph import AnswerGraph
from tasks.runtime.runtimes import Runtime, runtime_named
from tasks.runtime.session import CARD_KEY, FACTS_KEY, SQUARE
from tasks.weights.card import Card
from tools.flows.source import MultiSource, Source

Facts = Mapping[str, Any]
Notes = dict[str, str]
Write = Callable[[Source | MultiSource, Facts, Path, bool], None]
WriteNotes = Callable[[Path, Notes], None]
Translate = Callable[[Path, Notes, Path], None]


@dataclass(frozen=True)
class Target:
    """One export target.

    Attributes:
        runtime: Runtime of its files.
        write: Function from a network, facts, file and whether it takes any number of images at
            once to the file, with the card and these facts in it.
        write_notes: Function from a file that ``write`` wrote, in its place, and notes to the same
            file with these notes instead of its own.
        square: Whether its files take ready squares instead of images of any size.
        from_onnx: Function from an ONNX file of fixed shape, possibly in 8 bits, notes and file to
            the file; None if 8 bits are ONNX's own, or not supported.
        reference: Function from a network to what its files are compared with.
    """

    runtime: Runtime
    write: Write
    write_notes: WriteNotes
    from_onnx: Translate | None = None
    square: bool = False
    reference: Callable[[Source | MultiSource], Source | MultiSource] = lambda source: source


def notes_of(card: Card, facts: Facts) -> Notes:
    """Notes of an export, as text by name."""
    return {CARD_KEY: json.dumps(card.to_json()), FACTS_KEY: json.dumps(facts)}


def facts_of(target: Target, source: Source | MultiSource) -> dict[str, Any]:
    """Facts of a network's export for a target; if it takes ready squares, with instructions."""
    facts = source.facts()
    if not target.square:
        return facts
    squares = source.square_graph().squares
    return {**facts, SQUARE: {name: one.to_json() for name, one in squares.items()}}


def _onnx(source: Source | MultiSource, facts: Facts, file: Path, dynamic: bool) -> None:
    write_onnx(source.graph("operator"), source.card, dict(facts), file, dynamic=dynamic)


def _of_squares(write: Callable[[AnswerGraph, Notes, Path], None]) -> Write:
    """A function that writes files for ready squares from the graph itself."""

    def written(source: Source | MultiSource, facts: Facts, file: Path, _dynamic: bool) -> None:
        write(source.square_graph(), notes_of(source.card, facts), file)

    return written


def _square_onnx(source: Source | MultiSource, facts: Facts, file: Path, _dynamic: bool) -> None:
    write_onnx(source.square_graph(), source.card, dict(facts), file)


def _through_onnx(translate: Translate, *, square: bool = False) -> tuple[Write, WriteNotes]:
    """Functions that write files by way of an ONNX file.

    The ONNX file is kept beside them until they get their final name; for other notes it is
    translated again.
    """

    def write(source: Source | MultiSource, facts: Facts, file: Path, dynamic: bool) -> None:
        graph = source.square_graph() if square else source.graph("products")
        write_onnx(graph, source.card, dict(facts), _between(file), dynamic=dynamic)
        write_notes(file, notes_of(source.card, facts))

    def write_notes(file: Path, notes: Notes) -> None:
        translate(_between(file), notes, file)

    return write, write_notes


def _between(file: Path) -> Path:
    return file.with_name(f"{file.name}.onnx")


TARGETS: tuple[Target, ...] = (
    Target(runtime_named("onnx"), _onnx, write_notes),
    Target(runtime_named("openvino"), *_through_onnx(write_openvino)),
    Target(runtime_named("litert"), *_through_onnx(write_litert, square=True), write_litert, True),
    Target(
        runtime_named("executorch"),
        _of_squares(executorch_file.write_executorch),
        executorch_file.write_notes,
        executorch_file.write_executorch_onnx,
        square=True,
    ),
    Target(
        runtime_named("coreml"),
        _of_squares(coreml_file.write_coreml),
        coreml_file.write_notes,
        square=True,
    ),
)
"""In the order of their runtimes."""
_SQUARES = Target(runtime_named("onnx"), _square_onnx, write_notes, square=True)


def onnx_of(target: Target) -> Target:
    """ONNX files with the same input as another target's files."""
    return _SQUARES if target.square else TARGETS[0]


def target_named(name: str) -> Target:
    """The target of a given name. Raises KeyError if there is none."""
    return {one.runtime.target: one for one in TARGETS}[name]


def target_of(args: Export, source: Source | MultiSource) -> Target:
    """The target that the flags request for a network."""
    found = target_named(args.target)
    if source.form is None and not args.micro:
        return found
    end = None if source.form is None else source.form.end
    translate = partial(write_litert, detections=end, micro=args.micro)
    write, write_notes = _through_onnx(translate, square=True)
    return replace(
        found,
        write=write,
        write_notes=write_notes,
        from_onnx=translate,
        reference=lambda one: one.reference(),
    )
