"""Photos in; the photos nearest to each out, as pictures and as JSON."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from configs.tools import Predict
from datasets.errors import InputError
from datasets.identities.alignment import PointDetector, Points, align_face, read_points
from datasets.identities.augmentation import FaceTransform
from datasets.images import Image, read_image, save_image
from tasks.face_embedding.answer import ExportedFaces, FacePredictor, Neighbour, nearest
from tasks.face_embedding.draw import draw_neighbours
from tasks.face_embedding.load import TASK, load_embedder, refuse_other_alignment
from tasks.runtime.open import is_export
from tasks.weights.card import Card
from tools import cli
from tools.classification.media import answer_photos
from tools.detection.media import batches, find_media, output_files
from tools.flows.exported import open_export

# Flags of tools/predict.py that not all applications take.
PREDICT_FLAGS = ("gallery", "faces")

_SHOWN = 20
_NEAREST = 5
_ALIGNED = 112
# Photos that are in memory at once.
_HELD = 256

Vector = NDArray[np.float32]


def predict_faces(args: Predict) -> tuple[dict[str, Any], str]:
    """Find the nearest photos of each, draw them and write ``predictions.json``.

    The photos are compared with each other, or with those of ``--gallery``.

    Returns:
        The result for programs and for people.

    Raises:
        InputError: If weights, flags or files do not fit.
    """
    device = cli.prepare(args.common)
    args.refuse_unless(PREDICT_FLAGS, TASK)
    photos = _photos(args.paths)
    gallery = _photos((args.gallery,)) if args.gallery else photos
    folder = args.common.out or Path("predictions")
    files = output_files(photos, folder) if args.draw else {}
    predictor, card = _open(args, device)
    aligner = _Aligner(args, card, [*photos, *gallery])
    found, failures = _embed(args, photos, predictor, aligner)
    theirs = found
    if args.gallery:
        theirs, more = _embed(args, gallery, predictor, aligner)
        failures += more
    for failure in failures:
        cli.say(f"warning: {failure}")
    if not found or len(theirs) <= (not args.gallery):
        raise InputError("nothing to compare: name two photos with a face or more, or a --gallery")
    rows = nearest(
        np.stack([vector for _, vector in found]),
        np.stack([vector for _, vector in theirs]),
        _NEAREST,
        itself=not args.gallery,
    )
    threshold = card.metrics.get("threshold")
    names = [path for path, _ in theirs]
    folder.mkdir(parents=True, exist_ok=True)
    if args.draw:
        for (path, _), row in zip(found, rows, strict=True):
            _draw(files[path], path, row, names, threshold)
    return _result(folder, [path for path, _ in found], rows, names, threshold, failures)


def _photos(paths: tuple[Path, ...]) -> list[Path]:
    photos, videos = find_media(paths)
    if videos:
        raise InputError(f"{videos[0]}: videos are for detectors; name photos or folders")
    return photos


def _open(args: Predict, device: str) -> tuple[FacePredictor | ExportedFaces, Card]:
    if is_export(args.weights):
        exported = open_export(args, TASK)
        return ExportedFaces(exported), exported.card
    model, card = load_embedder(args.weights)
    spec = card.flavour.input
    fit = FaceTransform(spec.size, "none", crop=spec.crop, interpolation=spec.interpolation)
    return FacePredictor(model, device, partial(fit, seed=0)), card


class _Aligner:
    """Brings the faces of photos to stand as a network has learnt them."""

    def __init__(self, args: Predict, card: Card, photos: Sequence[Path]) -> None:
        faces = args.faces
        aligns = faces.detector is not None or faces.points is not None
        standing = "none" if faces.alignment == "auto" else faces.alignment
        refuse_other_alignment(
            card, args.weights, "five_points" if aligns else standing, args.paths[0]
        )
        self.side = max(card.flavour.input.size, _ALIGNED)
        self.detector = PointDetector(faces.detector) if faces.detector else None
        self.listed: dict[Path, Points] = {}
        if faces.points is not None:
            rows = read_points(faces.points, [str(photo) for photo in photos])
            self.listed = dict(zip(photos, rows, strict=True))

    def __call__(self, path: Path, image: Image) -> Image | None:
        """The face; None where none is found."""
        if self.detector is None and not self.listed:
            return image
        points = self.listed[path] if self.detector is None else self.detector(image)
        return None if points is None else align_face(image, points, self.side)


def _embed(
    args: Predict, photos: list[Path], predictor: FacePredictor | ExportedFaces, aligner: _Aligner
) -> tuple[list[tuple[Path, Vector]], list[str]]:
    """Embeddings of the photos that show a face, and what is wrong with the others."""
    found: list[tuple[Path, Vector]] = []
    failures: list[str] = []
    for start in range(0, len(photos), _HELD):
        rows, unreadable = answer_photos(
            replace(args, draw=False), photos[start : start + _HELD], list, {}, _nothing
        )
        failures += unreadable
        faces = [(path, aligner(path, image)) for path, image in rows]
        failures += [f"{path}: no face was found" for path, face in faces if face is None]
        whole = [(path, face) for path, face in faces if face is not None]
        for batch in batches(whole, args.batch_size):
            vectors = predictor([face for _, face in batch])
            found += zip((path for path, _ in batch), vectors, strict=True)
    return found, failures


def _nothing(image: Image, _found: Image) -> Image:
    return image


def _draw(
    file: Path, path: Path, row: list[Neighbour], names: list[Path], threshold: float | None
) -> None:
    neighbours = [
        (read_image(names[k], upright=True), names[k].name, distance) for k, distance in row
    ]
    save_image(file, draw_neighbours(read_image(path, upright=True), neighbours, threshold))


def _result(
    folder: Path,
    photos: list[Path],
    rows: list[list[Neighbour]],
    names: list[Path],
    threshold: float | None,
    failures: list[str],
) -> tuple[dict[str, Any], str]:
    found = [
        {
            "file": str(path),
            "nearest": [
                {
                    "file": str(names[k]),
                    "distance": round(distance, 5),
                    "same": None if threshold is None else distance <= threshold,
                }
                for k, distance in row
            ],
        }
        for path, row in zip(photos, rows, strict=True)
    ]
    data = {"threshold": threshold, "photos": found}
    cli.write_json(folder / "predictions.json", data)
    lines = []
    for path, row in list(zip(photos, rows, strict=True))[:_SHOWN]:
        same = [threshold is not None and d <= threshold for _, d in row]
        told = (
            f"{names[k].name} {d:.2f}{' (same)' * yes}"
            for (k, d), yes in zip(row, same, strict=True)
        )
        lines.append(f"  {path}: {', '.join(told)}")
    if len(photos) > _SHOWN:
        lines.append(f"  ... and {len(photos) - _SHOWN} more")
    known = (
        "no threshold was measured for this network"
        if threshold is None
        else f"one person up to a distance of {threshold:.2f}"
    )
    lines.append(f"{len(photos)} photos, {known}: {folder}")
    return {"folder": str(folder), "unreadable": failures, **data}, "\n".join(lines)
