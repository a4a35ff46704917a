"""From a model to an export that was compared with it on images."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from configs.deploy import Export
from datasets.builtin.scenes import draw_scene
from datasets.errors import InputError
from datasets.images import Image
from tasks.runtime.exported import Exported
from tools.flows.naming import give_name, unnamed
from tools.flows.pictures import photos_at
from tools.flows.source import MultiSource, Source, open_any_source, to_short_side
from tools.flows.targets import Target, facts_of, notes_of, onnx_of, target_of

# Images to compare on at most; parts (height, width) of drawn ones: tall, wide, small. Neighbours
# of one size go through at once.
_SAMPLES = 8
_PARTS = ((201, 157), (201, 157), (97, 240), (63, 41))


def export_model(args: Export) -> tuple[dict[str, Any], str]:
    """Write a float export. Raises InputError if it answers otherwise than the model."""
    started = time.perf_counter()
    source = open_any_source(args)
    out = args.out_file()
    facts = write_export(args, source, out)
    result = {
        "file": out,
        "target": args.target,
        "task": source.task,
        "bytes": target_of(args, source).runtime.size(out),
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
        f"  differs from the model on {checked['photos']} images by at most {told}"
    )


def _told(differences: dict[str, float]) -> str:
    return ", ".join(f"{value:.1g} in {name}" for name, value in differences.items())


@contextmanager
def write_float(args: Export, source: Source) -> Iterator[Path]:
    """A checked float ONNX export in a folder that goes when the block ends.

    It takes what the target's file will take: images of any size, or ready squares.
    """
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "float.onnx"
        write_export(args, source, file, onnx_of(target_of(args, source)))
        yield file


def write_export(
    args: Export, source: Source | MultiSource, out: Path, target: Target | None = None
) -> dict[str, Any]:
    """Write, check, and only then name an export, by default of the target that is asked for.

    Raises:
        InputError: If it cannot be written, or answers otherwise.
    """
    photos, target = (
        sample_photos(args.samples, args.common.seed),
        target or target_of(args, source),
    )
    facts = facts_of(target, source)
    with unnamed(out) as file:
        target.write(source, facts, file, args.dynamic)
        exported = Exported(target.runtime.session(file, args.common.threads or None), out)
        facts["checked"] = check(target.reference(source), exported, photos)
        target.write_notes(file, notes_of(source.card, facts))
        give_name(target.runtime, file, out)
    return facts


def check(
    source: Source | MultiSource, exported: Exported, photos: Sequence[Image]
) -> dict[str, Any]:
    """Compare an export with its model.

    Where an antialiased resize comes first, the images are compared a second time, made so small
    that nothing is left to resize: then all numbers must agree. An export of ready squares has
    nothing to resize in the first place.
    The result has the number of images, and the largest difference of each output.

    Raises:
        InputError: If one is too large, naming output, image and difference.
    """
    short = source.short_side
    try:
        ready, found = exported.takes_squares, exported(photos)
        result = {"differences": source.differences(photos, found, resized=True, ready=ready)}
        if short is not None and not ready:
            small = [to_short_side(photo, short) for photo in photos]
            result["small"] = source.differences(small, exported(small), resized=False)
    except ValueError as error:
        raise InputError(f"{exported.path}: not written: {error}") from error
    return {"photos": len(photos), **result}


def sample_photos(path: Path | None, seed: int) -> list[Image]:
    """Images of several sizes, of a folder or drawn. Raises InputError if there are none."""
    if path is None:
        rng = np.random.default_rng(seed)
        scenes = [draw_scene(rng)[0] for _ in range(1 + len(_PARTS))]
        parts = zip(scenes[1:], _PARTS, strict=True)
        return [scenes[0], *(scene[:height, :width] for scene, (height, width) in parts)]
    photos = photos_at(path, "--samples")
    step = max(1, len(photos) // _SAMPLES)
    return [photo.image() for photo in photos[::step][:_SAMPLES]]
