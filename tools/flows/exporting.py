"""From a model to an export that was compared with it on photos."""

from __future__ import annotations

import json
import os
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from configs.deploy import Export
from datasets.builtin.scenes import draw_scene
from datasets.errors import InputError
from datasets.images import Image, find_images, read_image
from datasets.locks import remove_unfinished
from tasks.export.onnx_file import write_facts, write_onnx, write_openvino
from tasks.runtime.exported import Exported
from tasks.runtime.onnx_session import OnnxSession
from tasks.runtime.openvino_session import OpenVinoSession
from tasks.runtime.session import CARD_KEY, FACTS_KEY
from tasks.weights.atomic_write import replacing
from tools.flows.run_folder import require_folder
from tools.flows.source import MultiSource, Source, open_any_source

# Photos to compare on at most; parts (height, width) of drawn ones: tall, wide, small. Neighbours
# of one size go through at once.
_SAMPLES = 8
_PARTS = ((201, 157), (201, 157), (97, 240), (63, 41))


def export_model(args: Export) -> tuple[dict[str, Any], str]:
    """Write a float export. Raises InputError if it answers otherwise than the model."""
    started = time.perf_counter()
    source = open_any_source(args)
    out = args.out_file()
    facts = write_export(args, source, out)
    files = [out] if args.target == "onnx" else [out, out.with_suffix(".bin")]
    size = sum(file.stat().st_size for file in files)
    result = {
        "file": str(out),
        "target": args.target,
        "task": source.task,
        "bytes": size,
        "precision": facts["precision"],
        "checked": facts["checked"],
        "seconds": round(time.perf_counter() - started, 1),
    }
    return result, describe(result)


def describe(result: dict[str, Any]) -> str:
    """The result of an export for people."""
    checked = result["checked"]
    told = _told(checked["differences"])
    if "small" in checked:
        told += f"; {_told(checked['small'])} where nothing was to resize"
    return (
        f"{result['file']}: {result['task']}, {result['precision']}, "
        f"{result['bytes'] / 1e6:.2f} MB, in {result['seconds']:.0f} s\n"
        f"  differs from the model on {checked['photos']} photos by at most {told}"
    )


def _told(differences: dict[str, float]) -> str:
    return ", ".join(f"{value:.1g} in {name}" for name, value in differences.items())


@contextmanager
def write_float(args: Export, source: Source) -> Iterator[Path]:
    """A checked float ONNX export in a folder that goes when the block ends."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "float.onnx"
        write_export(args, source, file)
        yield file


def write_export(args: Export, source: Source | MultiSource, out: Path) -> dict[str, Any]:
    """Write, check, and only then name an export. Raises InputError if it answers otherwise."""
    require_folder(out.parent)
    photos = sample_photos(args.samples, args.common.seed)
    facts = source.facts()
    out.parent.mkdir(parents=True, exist_ok=True)
    remove_unfinished(out.parent, out.name)
    remove_unfinished(out.parent, out.with_suffix(".bin").name)  # Of OpenVINO.
    begins = f".{out.name}.{os.getpid()}."
    with tempfile.TemporaryDirectory(dir=out.parent, prefix=begins, suffix=".tmp") as folder:
        file = Path(folder) / f"{out.stem}.onnx"
        openvino = args.target == "openvino"
        graph = source.graph("products" if openvino else "operator")
        write_onnx(graph, source.card, facts, file, dynamic=args.batch == "dynamic")
        threads = args.common.threads or None
        if openvino:
            target = file.with_suffix(".xml")
            write_openvino(file, _notes(source, facts), target)
            exported = Exported(OpenVinoSession(target, threads), out)
        else:
            exported = Exported(OnnxSession(file, threads), out)
        facts["checked"] = check(source, exported, photos)
        names = {file: out}
        if openvino:
            write_openvino(file, _notes(source, facts), target)
            names = {target.with_suffix(".bin"): out.with_suffix(".bin"), target: out}
        else:
            write_facts(file, facts)
        for written, name in names.items():
            with replacing(name) as temporary:
                written.replace(temporary)
    return facts


def check(
    source: Source | MultiSource, exported: Exported, photos: Sequence[Image]
) -> dict[str, Any]:
    """Compare an export with its model.

    Where an antialiased resize comes first, the photos are compared a second time, made so small
    that nothing is left to resize: then all numbers must agree.
    Told are how many there were, and the largest difference of each output.

    Raises:
        InputError: If one is too large, naming output, photo and difference.
    """
    short = source.short_side
    try:
        result = {"differences": source.differences(photos, exported(photos), resized=True)}
        if short is not None:
            small = []
            for photo in photos:
                shape = (round(side * short / min(photo.shape[:2])) for side in photo.shape[:2])
                small.append(np.asarray(cv2.resize(photo, tuple(shape)[::-1]), np.uint8))
            result["small"] = source.differences(small, exported(small), resized=False)
    except ValueError as error:
        raise InputError(f"{exported.path}: not written: {error}") from error
    return {"photos": len(photos), **result}


def sample_photos(path: Path | None, seed: int) -> list[Image]:
    """Photos of several sizes, of a folder or drawn. Raises InputError if there are none."""
    if path is None:
        rng = np.random.default_rng(seed)
        scenes = [draw_scene(rng)[0] for _ in range(1 + len(_PARTS))]
        parts = zip(scenes[1:], _PARTS, strict=True)
        return [scenes[0], *(scene[:height, :width] for scene, (height, width) in parts)]
    if not path.exists():
        raise InputError(f"--samples {path}: no such file or folder")
    files = find_images(path) if path.is_dir() else [path]
    if not files:
        raise InputError(f"--samples {path}: no pictures there")
    step = max(1, len(files) // _SAMPLES)
    return [read_image(file, upright=True) for file in files[::step][:_SAMPLES]]


def _notes(source: Source | MultiSource, facts: dict[str, Any]) -> dict[str, str]:
    return {CARD_KEY: json.dumps(source.card.to_json()), FACTS_KEY: json.dumps(facts)}
