"""Collects embeddings of images and writes each image with its nearest ones, and JSON."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from configs.tools import Predict
from datasets.copies import digest_of
from datasets.errors import InputError
from datasets.identities.alignment import PointDetector, Points, align_face, read_points
from datasets.images import Image
from datasets.packed_pictures import Photo
from tasks.face_embedding.alignment import refuse_other_alignment
from tasks.face_embedding.answer import Vector, nearest, person_and_photo
from tasks.face_embedding.draw import draw_neighbours
from tasks.predictor import Model, Predictor
from tools.flows.collecting import answer_photos
from tools.flows.pictures import find_media, write_picture
from tools.flows.recipe import Collector

_SHOWN = 20
_NEAREST = 5
_ALIGNED = 112


class FaceCollector(Collector):
    """Compares images with each other, or with those of ``--gallery``, once all are known.

    Raises:
        InputError: If the flags do not fit, or faces are aligned differently than in training.
    """

    empty = "nothing to compare: name two images with a face or more, or a --gallery"

    def __init__(self, args: Predict, model: Model, device: str) -> None:
        super().__init__(args, model, device)
        card, faces = model.card, args.faces
        self._gallery = _photos((args.gallery,)) if args.gallery else []
        photos = [*_photos(tuple(map(Path, args.paths))), *self._gallery]
        self._photos = {photo.path: photo for photo in photos}
        aligns = faces.detector is not None or faces.points is not None
        standing = "none" if faces.alignment == "auto" else faces.alignment
        refuse_other_alignment(
            card, args.weights, "five_points" if aligns else standing, Path(args.paths[0])
        )
        self._side = max(card.flavour.input.size, _ALIGNED)
        self._detector = PointDetector(faces.detector) if faces.detector else None
        self._listed: dict[Path, Points] = {}
        if faces.points is not None:
            rows = read_points(faces.points, [str(photo.path) for photo in photos])
            self._listed = dict(zip((one.path for one in photos), rows, strict=True))
        self._threshold: float | None = card.metrics.get("threshold")
        self._found: list[tuple[Path, Vector]] = []
        self._theirs = [] if args.gallery else self._found
        self._into = self._found

    def prepare(self, path: Path, image: Image) -> Image | str:
        """The aligned face; or a message that there is none."""
        if self._detector is None and not self._listed:
            return image
        points = self._listed[path] if self._detector is None else self._detector(image)
        if points is None:
            return f"{path}: no face was found"
        return align_face(image, points, self._side)

    def add(self, name: str, image: Image, answer: Vector) -> None:
        """Store the embedding of an image."""
        self._into.append((Path(name), answer))

    def answer_others(self, predictor: Predictor) -> list[str]:
        """Process the gallery, if there is one."""
        if not self._gallery:
            return []
        self._into = self._theirs
        return answer_photos(self.args, self._gallery, predictor, self)

    def finish(self, folder: Path, files: dict[Path, Path]) -> tuple[dict[str, Any], str]:
        """Each image's nearest, beside it. Raises InputError if there are none to compare with."""
        alone = not self.args.gallery
        if len(self._theirs) <= alone:
            raise InputError(self.empty)
        photos, names = ([path for path, _ in part] for part in (self._found, self._theirs))
        rows = nearest(
            np.stack([vector for _, vector in self._found]),
            np.stack([vector for _, vector in self._theirs]),
            _NEAREST,
            itself=np.eye(len(photos), dtype=np.bool_)
            if alone
            else self._same_files(photos, names),
        )
        found, lines = [], []
        for path, row in zip(photos, rows, strict=True):
            faces = [
                (names[k], person_and_photo(names[k], self.args.gallery), distance)
                for k, distance in row
            ]
            if files:
                seen = [(self._photos[file].image(), who, d) for file, who, d in faces]
                drawn = draw_neighbours(self._photos[path].image(), seen, self._threshold)
                write_picture(files[path], drawn)
            near = [
                {"file": file, "distance": round(d, 5), "same": self._is_same(d)}
                for file, _, d in faces
            ]
            found.append({"file": path, "nearest": near})
            told = ", ".join(
                f"{who} {d:.2f}{' (same)' if self._is_same(d) else ''}" for _, who, d in faces
            )
            lines.append(f"  {path}: {told or 'no other image'}")
        if len(lines) > _SHOWN:
            lines[_SHOWN:] = [f"  ... and {len(lines) - _SHOWN} more"]
        known = (
            "no threshold was measured for this network"
            if self._threshold is None
            else f"one person up to a distance of {self._threshold:.2f}"
        )
        lines.append(f"{len(photos)} images, {known}: {folder}")
        return {"threshold": self._threshold, "photos": found}, "\n".join(lines)

    def _same_files(self, photos: list[Path], gallery: list[Path]) -> NDArray[np.bool_]:
        """Mask (N, M) of the images in a gallery that are one of some images, or a copy of it."""
        ours, theirs = (
            np.array([digest_of(self._photos[path].content()).hex() for path in part])
            for part in (photos, gallery)
        )
        return np.asarray(ours[:, None] == theirs[None])

    def _is_same(self, distance: float) -> bool | None:
        return None if self._threshold is None else distance <= self._threshold


def _photos(paths: tuple[Path, ...]) -> list[Photo]:
    photos, videos = find_media(paths)
    if videos:
        raise InputError(f"{videos[0]}: a video cannot be compared; name images or folders")
    return photos
