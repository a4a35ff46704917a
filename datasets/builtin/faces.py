"""Built-in faces in CelebA's own layout: images, attributes, parts, identities and landmarks."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from datasets.builtin.face_drawing import (
    ATTRIBUTES,
    attributes_of,
    choose_look,
    choose_person,
    draw_face,
)
from datasets.builtin.make_once import make_once
from datasets.errors import InputError
from datasets.images import save_image
from datasets.parallel import in_threads

STAMP = "faces.json"
IMAGES = "img_align_celeba"
ATTRIBUTE_LIST = "list_attr_celeba.txt"
PARTITION_LIST = "list_eval_partition.txt"
IDENTITY_LIST = "identity_CelebA.txt"
LANDMARK_LIST = "list_landmarks_align_celeba.txt"
_POINTS = ("lefteye", "righteye", "nose", "leftmouth", "rightmouth")
# Share of the identities that is held out, once for validation and once for testing.
_HELD_OUT = 0.15
_PERSON, _PHOTO, _ORDER = range(3)


def draw_faces(
    root: Path, *, num_identities: int = 400, per_identity: int = 6, size: int = 80, seed: int = 0
) -> Path:
    """Draw faces of people, unless this very data set already exists.

    As in CelebA, nobody is in two parts, and the images of a part are mixed.

    Args:
        root: Folder to fill: ``img_align_celeba/000001.jpg`` and the four lists.
        num_identities: Number of people, three or more, so that each part has at least one.
        per_identity: Number of images of each person.
        size: Width of the images in pixels; their height is 218 / 178 of it.
        seed: Seed; another seed gives other people.

    Raises:
        InputError: If ``root`` holds something else, or there are too few people.
    """
    if num_identities < 3:
        raise InputError(f"{num_identities} identities: three or more, one for each part")
    counts = {"num_identities": num_identities, "per_identity": per_identity}
    wanted = {"version": 1, **counts, "size": size, "seed": seed}

    def fill(folder: Path) -> None:
        owners, parts = _arrange(num_identities, per_identity, seed)
        images = folder / IMAGES
        images.mkdir()
        # An image is a function of its person and its number among that person's images.
        turns = np.zeros(num_identities, np.int64)
        keys = []
        for owner in owners.tolist():
            keys.append((owner, int(turns[owner])))
            turns[owner] += 1

        def draw(index: int) -> tuple[dict[str, bool], list[int]]:
            owner, number = keys[index]
            person = choose_person(np.random.default_rng((seed, _PERSON, owner)))
            rng = np.random.default_rng((seed, _PHOTO, owner, number))
            look = choose_look(rng, person)
            picture, points = draw_face(rng, person, look, size)
            save_image(images / _name(index), picture, quality=int(rng.integers(80, 96)))
            return attributes_of(person, look), np.round(points).astype(int).flatten().tolist()

        drawn = in_threads(draw, range(len(keys)), "drawing faces", unit="image", delay=0)
        _write_lists(folder, owners, parts, drawn)

    return make_once(root, STAMP, wanted, fill)


def _arrange(
    num_identities: int, per_identity: int, seed: int
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Identity (N,) and part (N,) of each image: 0 train, 1 validation, 2 test."""
    held = max(1, round(_HELD_OUT * num_identities))
    first = num_identities - 2 * held
    rng = np.random.default_rng((seed, _ORDER))
    owners = [
        rng.permutation(np.repeat(np.arange(start, end), per_identity))
        for start, end in ((0, first), (first, first + held), (first + held, num_identities))
    ]
    return np.concatenate(owners), np.repeat((0, 1, 2), [len(part) for part in owners])


def _name(index: int) -> str:
    return f"{index + 1:06d}.jpg"


def _write_lists(
    root: Path,
    owners: NDArray[np.int64],
    parts: NDArray[np.int64],
    drawn: Sequence[tuple[dict[str, bool], list[int]]],
) -> None:
    """Write the four lists, spaced as CelebA's are."""
    names = [_name(index) for index in range(len(owners))]
    signs = [" ".join(f"{1 if v else -1:2d}" for v in row.values()) for row, _ in drawn]
    points = [" ".join(f"{value:4d}" for value in row) for _, row in drawn]
    corners = " ".join(f"{name}_{axis}" for name in _POINTS for axis in "xy")
    lists: dict[str, tuple[list[str], Sequence[object]]] = {
        ATTRIBUTE_LIST: ([str(len(names)), " ".join(ATTRIBUTES)], signs),
        PARTITION_LIST: ([], parts.tolist()),
        IDENTITY_LIST: ([], (owners + 1).tolist()),
        LANDMARK_LIST: ([str(len(names)), corners], points),
    }
    for file, (head, values) in lists.items():
        rows = [f"{name} {value}" for name, value in zip(names, values, strict=True)]
        (root / file).write_text("\n".join([*head, *rows, ""]), encoding="utf-8")
