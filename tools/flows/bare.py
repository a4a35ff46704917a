"""Exports the network alone as ONNX, and compares it with the model on images."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import torch
from numpy.typing import NDArray

from configs.deploy import Export
from datasets.errors import InputError
from datasets.images import Image
from tasks.bare_graph import raw_parts
from tasks.export.bare_file import Bare, host_text, write_bare
from tasks.export.onnx_file import write_facts
from tasks.runtime.session import BARE
from tasks.weights.atomic_write import replacing, write_text
from tools.flows.exporting import sample_photos
from tools.flows.naming import unnamed
from tools.flows.source import MultiSource, Source, open_any_source

# Largest difference, as a share of the output's largest value.
_LIMIT = 1e-3


def export_bare(args: Export) -> tuple[dict[str, Any], str]:
    """Write the network alone, and a .json file for its host beside it.

    Args:
        args: Flags of the export.

    Returns:
        The result as data and as text.

    Raises:
        InputError: If the model has no such form, or the file's answers differ from the model's.
    """
    started = time.perf_counter()
    source = open_any_source(args)
    out = args.out_file()
    graph, facts = source.bare(), source.facts()
    photos = sample_photos(args.samples, args.common.seed)
    with unnamed(out) as file:
        write_bare(graph, source.card, facts, file)
        facts["checked"] = _check(source, graph, file, photos, out)
        write_facts(file, {**facts, BARE: graph.told})
        size = file.stat().st_size
        with replacing(out) as temporary:
            file.replace(temporary)
        write_text(out.with_suffix(".json"), host_text(graph, source.card, facts))
    result = {
        "file": out,
        "host": out.with_suffix(".json"),
        "task": source.task,
        "bytes": size,
        "inputs": {name: one.to_json()["shape"] for name, one in graph.inputs.items()},
        "checked": facts["checked"],
        "seconds": round(time.perf_counter() - started, 1),
    }
    return result, _describe(result)


def _describe(result: dict[str, Any]) -> str:
    checked = result["checked"]
    told = ", ".join(f"{value:.1g} in {name}" for name, value in checked["differences"].items())
    inputs = ", ".join(f"{name} {shape}" for name, shape in result["inputs"].items())
    return (
        f"{result['file']}: {result['task']}, the network alone, float32, "
        f"{result['bytes'] / 1e6:.2f} MB, takes {inputs}\n"
        f"  what the host does before and after: {result['host']}\n"
        f"  differs from the model on {checked['photos']} images by at most {told} of the largest"
    )


def _check(
    source: Source | MultiSource, graph: Bare, file: Path, photos: Sequence[Image], out: Path
) -> dict[str, Any]:
    """Run the file in ONNX Runtime on inputs made by the .json file's numbers, and the model."""
    session = onnxruntime.InferenceSession(file, providers=["CPUExecutionProvider"])
    largest = dict.fromkeys(graph.outputs, 0.0)
    for number, photo in enumerate(photos, start=1):
        given = {name: one(photo) for name, one in graph.inputs.items()}
        found = session.run(list(graph.outputs), given)
        wanted = _raw(source, photo)
        for name, value in zip(graph.outputs, found, strict=True):
            apart = float(np.abs(value - wanted[name]).max() / np.abs(wanted[name]).max())
            if not apart <= _LIMIT:
                raise InputError(
                    f"{out}: not written: image {number} ({photo.shape[1]}x{photo.shape[0]}): "
                    f"{name} differ by {apart:.2g} of the largest (at most {_LIMIT:g})"
                )
            largest[name] = max(largest[name], apart)
    return {"photos": len(photos), "differences": largest}


def _raw(source: Source | MultiSource, photo: Image) -> dict[str, NDArray[Any]]:
    """The models' own raw outputs, by the names in the file."""
    heads = (
        {f"{name}_": one for name, one in source.heads.items()}
        if isinstance(source, MultiSource)
        else {"": source}
    )
    found: dict[str, NDArray[Any]] = {}
    for before, one in heads.items():
        record = one.application.network()
        pixels = record.view.square(one.card)(photo).transpose(2, 0, 1)[None]
        square = torch.from_numpy(np.ascontiguousarray(pixels))
        with torch.inference_mode():
            parts = raw_parts(one.model, square)
        names = record.bare(one.model, one.card).outputs
        found |= {
            f"{before}{name}": part.float().numpy()
            for name, part in zip(names, parts, strict=True)
        }
    return found
