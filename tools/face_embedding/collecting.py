"""Photos in; the photos nearest to each out, as pictures and as JSON."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from configs.tools import Predict
from datasets.copies import digest_of
from datasets.errors import InputError
from datasets.identities.alignment import PointDetector, Points, align_face, read_points
from datasets.images import Image, read_image, save_image
from tasks.face_embedding.answer import Neighbour, Vector, nearest, person_and_photo
from tasks.face_embedding.draw import draw_neighbours
from tasks.face_embedding.load import refuse_other_alignment
from tasks.predictor import Model, Predictor
from tasks.weights.card import Card
from tools.flows.pictures import find_media
from tools.flows.predicting import answer_photos
from tools.flows.recipe import Collector

_SHOWN = 20
_NEAREST = 5
_ALIGNED = 112


class FaceCollector(Collector):
    """Compares photos with each other, or with those of ``--gallery``, once all are known.

    Raises:
        InputError: If the flags do not fit, or faces stand otherwise than the model has learnt.
    """

    draws = False
    empty = "nothing to compare: name two photos with a face or more, or a --gallery"

    def __init__(self, args: Predict, model: Model, device: str) -> None:
        super().__init__(args, model, device)
        self._gallery = _photos((args.gallery,)) if args.gallery else []
        self._aligner = _Aligner(args, model.card, [*_photos(args.paths), *self._gallery])
        self._threshold: float | None = model.card.metrics.get("threshold")
        self._found: list[tuple[Path, Vector]] = []
        self._theirs = [] if args.gallery else self._found
        self._into = self._found

    def prepare(self, path: Path, image: Image) -> Image | str:
        """The face as it must stand; or that there is none."""
        face = self._aligner(path, image)
        return f"{path}: no face was found" if face is None else face

    def add(self, name: str, image: Image, answer: Vector) -> None:
        """Keep the embedding of a photo."""
        self._into.append((Path(name), answer))

    def answer_others(self, predictor: Predictor) -> list[str]:
        """Look at the gallery, if there is one."""
        if not self._gallery:
            return []
        self._into = self._theirs
        return answer_photos(self.args, self._gallery, predictor, self, {})

    def finish(self, folder: Path, files: dict[Path, Path]) -> tuple[dict[str, Any], str]:
        """Each photo's nearest, beside it. Raises InputError if there are none to compare with."""
        alone = not self.args.gallery
        if len(self._theirs) <= alone:
            raise InputError(self.empty)
        photos, names = ([path for path, _ in part] for part in (self._found, self._theirs))
        rows = nearest(
            np.stack([vector for _, vector in self._found]),
            np.stack([vector for _, vector in self._theirs]),
            _NEAREST,
            itself=np.eye(len(photos), dtype=np.bool_) if alone else _same_files(photos, names),
        )
        if files:
            for path, row in zip(photos, rows, strict=True):
                _draw(files[path], path, row, names, self._threshold, self.args.gallery)
        found = _to_json(photos, rows, names, self._threshold)
        return found, _text(folder, photos, rows, names, self._threshold, self.args.gallery)


def _photos(paths: tuple[Path, ...]) -> list[Path]:
    photos, videos = find_media(paths)
    if videos:
        raise InputError(f"{videos[0]}: videos are for detectors; name photos or folders")
    return photos


def _same_files(photos: list[Path], gallery: list[Path]) -> NDArray[np.bool_]:
    """Mask (N, M) of the photos of a gallery that are one of some photos, or a copy of it."""
    ours, theirs = (
        np.array([digest_of(path.read_bytes()).hex() for path in part])
        for part in (photos, gallery)
    )
    return np.asarray(ours[:, None] == theirs[None])


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


def _draw(
    file: Path,
    path: Path,
    row: list[Neighbour],
    names: list[Path],
    threshold: float | None,
    gallery: Path | None,
) -> None:
    neighbours = [
        (read_image(names[k], upright=True), person_and_photo(names[k], gallery), distance)
        for k, distance in row
    ]
    save_image(file, draw_neighbours(read_image(path, upright=True), neighbours, threshold))


def _to_json(
    photos: list[Path], rows: list[list[Neighbour]], names: list[Path], threshold: float | None
) -> dict[str, Any]:
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
    return {"threshold": threshold, "photos": found}


def _text(
    folder: Path,
    photos: list[Path],
    rows: list[list[Neighbour]],
    names: list[Path],
    threshold: float | None,
    gallery: Path | None,
) -> str:
    lines = []
    for path, row in list(zip(photos, rows, strict=True))[:_SHOWN]:
        same = [threshold is not None and d <= threshold for _, d in row]
        told = (
            f"{person_and_photo(names[k], gallery)} {d:.2f}{' (same)' * yes}"
            for (k, d), yes in zip(row, same, strict=True)
        )
        lines.append(f"  {path}: {', '.join(told) or 'no other photo'}")
    if len(photos) > _SHOWN:
        lines.append(f"  ... and {len(photos) - _SHOWN} more")
    known = (
        "no threshold was measured for this network"
        if threshold is None
        else f"one person up to a distance of {threshold:.2f}"
    )
    lines.append(f"{len(photos)} photos, {known}: {folder}")
    return "\n".join(lines)
