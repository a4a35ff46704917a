"""Face embeddings for the service: two images compared, or a gallery searched."""

from __future__ import annotations

import threading
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np

from configs.serve import Serve
from datasets.errors import InputError
from datasets.identities.alignment import PointDetector, align_face
from datasets.images import Image, find_images, read_image
from tasks.application import Column, Reply
from tasks.face_embedding.alignment import refuse_other_alignment
from tasks.face_embedding.answer import Vector, nearest, person_and_photo
from tasks.face_embedding.draw import draw_neighbours
from tasks.face_embedding.use import TASK
from tasks.predictor import Model
from tools import cli
from tools.flows.answerer import Answerer, Refusal

_SAME = "Same person"
_NEAREST = 5
_ALIGNED = 112
_NO_FACE = 422


def compare_faces(model: Model, config: Serve, device: str) -> Answerer:
    """Compare two images, or search the gallery.

    Args:
        model: Model to use.
        config: Flags of the service.
        device: Device to compute on.

    Raises:
        InputError: If faces are aligned differently than in training, or the gallery shows none.
    """
    card = model.card
    refuse_other_alignment(card, model.path, config.standing, "the page")
    align = _aligner(config.detector, max(card.flavour.input.size, _ALIGNED))
    predictor, threshold = model.predictor(device), model.answers.threshold
    plain = predictor.answers.to_json

    def look(images: list[Image]) -> list[Vector]:
        return predictor([align(image) for image in images])

    if config.gallery is None:
        return Answerer(look, partial(_tell_pair, threshold=threshold), plain)
    photos, vectors = _read_gallery(config.gallery, look)
    tell = partial(
        _tell_nearest, folder=config.gallery, photos=photos, gallery=vectors, threshold=threshold
    )
    return Answerer(look, tell, plain)


def _aligner(model: Path | None, side: int) -> Callable[[Image], Image]:
    """A function that aligns a face for the network; without a detector it changes nothing."""
    if model is None:
        return lambda image: image
    detector, one_at_a_time = PointDetector(model), threading.Lock()

    def align(image: Image) -> Image:
        with one_at_a_time:  # OpenCV's detector keeps the size of its image.
            points = detector(image)
        if points is None:
            raise Refusal(_NO_FACE, "no face was found in the image")
        return align_face(image, points, side)

    return align


def _read_gallery(
    folder: Path, look: Callable[[list[Image]], list[Vector]]
) -> tuple[list[Path], Vector]:
    """The images of a folder that show a face, and their embeddings (M, D)."""
    from datasets.packed_pictures import Photo
    from tools.flows.pictures import read_or_reason

    photos: list[Path] = []
    vectors: list[Vector] = []
    for path in find_images(folder):
        image = read_or_reason(Photo(path))
        try:
            if isinstance(image, str):
                raise Refusal(_NO_FACE, image)
            vectors += look([image])
            photos.append(path)
        except Refusal as error:
            cli.say(f"warning: --gallery: {person_and_photo(path, folder)} is left out: {error}")
    if not photos:
        raise InputError(f"--gallery {folder}: no face there")
    return photos, np.stack(vectors)


def _verdict(distance: float, threshold: float | None) -> str:
    if threshold is None:
        return "Not known"
    return _SAME if distance <= threshold else "Another person"


def _meaning(threshold: float | None) -> str:
    if threshold is None:
        return "no threshold was measured for this network (train_embed.py does, on pairs)"
    return f"up to {threshold:.2f} counts as one person"


def _tell_pair(images: list[Image], found: list[Vector], *, threshold: float | None) -> Reply:
    distance = float(np.clip(2 - 2 * found[0] @ found[1], 0, 4))
    verdict = _verdict(distance, threshold)
    return Reply(
        draw_neighbours(images[0], [(images[1], verdict, distance)], threshold),
        verdict,
        f"at a distance of {distance:.2f}; {_meaning(threshold)}",
        (Column("measure"), Column("value", "number")),
        [
            ("squared distance, 0 to 4", distance),
            ("cosine similarity, -1 to 1", 1 - distance / 2),
            *([] if threshold is None else [("threshold of the distance", threshold)]),
        ],
    )


def _tell_nearest(
    images: list[Image],
    found: list[Vector],
    *,
    folder: Path,
    photos: list[Path],
    gallery: Vector,
    threshold: float | None,
) -> Reply:
    row = nearest(np.stack(found[:1]), gallery, _NEAREST)[0]
    names = [person_and_photo(photos[k], folder) for k, _ in row]
    neighbours = [
        (read_image(photos[k], upright=True), name, distance)
        for (k, distance), name in zip(row, names, strict=True)
    ]
    told = [_verdict(distance, threshold) for _, distance in row]
    same = [name for name, verdict in zip(names, told, strict=True) if verdict == _SAME]
    return Reply(
        draw_neighbours(images[0], neighbours, threshold),
        ", ".join(same) or ("Nobody" if threshold is not None else "Not known"),
        f"of {len(photos)} images; {_meaning(threshold)}",
        (Column("photo"), Column("squared distance", "number"), Column("verdict")),
        [
            (name, distance, verdict)
            for name, (_, distance), verdict in zip(names, row, told, strict=True)
        ],
    )


# The answerer by the name of its application.
COMPARING = TASK, compare_faces
