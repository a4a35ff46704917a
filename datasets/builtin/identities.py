"""Built-in faces as identity data: a folder per person, pairs of unseen people, five points."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from datasets.builtin.faces import (
    IDENTITY_LIST,
    IMAGES,
    LANDMARK_LIST,
    PARTITION_LIST,
    draw_faces,
)
from datasets.builtin.make_once import make_once
from datasets.errors import InputError
from datasets.identities.lfw import PAIRS_NAME

STAMP, POINTS_NAME = "identities.json", "points.csv"
NUM_FOLDS = 10
_PARTS = ("train", "val", "val")  # Of CelebA's three.


def draw_identities(
    root: Path,
    *,
    num_identities: int = 240,
    per_identity: int = 10,
    num_pairs: int = 50,
    size: int = 96,
    seed: int = 0,
) -> Path:
    """Draw the faces of :mod:`datasets.builtin.faces` by person, unless they already exist.

    Args:
        root: Folder to fill: ``train/p0001/p0001_0001.jpg``, ``val/p0169/...`` (about 30 % of the
            people), ``val/pairs.txt`` as in LFW, each fold with its own people, and ``points.csv``
            with the five points of each image.
        num_identities: Number of people; at least 67, two for each fold.
        per_identity: Number of images of each person.
        num_pairs: Number of pairs of the same person, and of pairs of two people, in each of ten
            folds.
        size: Width of the images in pixels.
        seed: Seed of the people.

    Raises:
        InputError: If ``root`` holds something else, or there are too few people or images.
    """
    counts = {"num_identities": num_identities, "per_identity": per_identity}
    wanted = {"version": 1, **counts, "num_pairs": num_pairs, "size": size, "seed": seed}

    def fill(folder: Path) -> None:
        with TemporaryDirectory(prefix=".drawn.", dir=folder) as drawn:
            celeba = Path(drawn) / "celeba"
            draw_faces(celeba, **counts, size=size, seed=seed)
            owners = _move(celeba, folder)
        lines = _pairs(owners, per_identity, num_pairs, np.random.default_rng(seed))
        (folder / "val" / PAIRS_NAME).write_text("\n".join(lines) + "\n", encoding="utf-8")

    return make_once(root, STAMP, wanted, fill)


def _move(celeba: Path, folder: Path) -> list[str]:
    """Move the images into folders of people; returns the people of ``val``."""
    owners = dict(_rows(celeba / IDENTITY_LIST, skip=0))
    parts = dict(_rows(celeba / PARTITION_LIST, skip=0))
    points = dict(_rows(celeba / LANDMARK_LIST, skip=2))
    seen: dict[str, int] = {}
    lines, unseen = [], set()
    for photo, owner in owners.items():
        name, part = f"p{int(owner):04d}", _PARTS[int(parts[photo])]
        seen[name] = seen.get(name, 0) + 1
        place = Path(part) / name / f"{name}_{seen[name]:04d}.jpg"
        (folder / place).parent.mkdir(parents=True, exist_ok=True)
        (celeba / IMAGES / photo).rename(folder / place)
        lines.append(",".join((place.as_posix(), *points[photo].split())))
        if part == "val":
            unseen.add(name)
    (folder / POINTS_NAME).write_text("\n".join(lines) + "\n", encoding="utf-8")
    return sorted(unseen)


def _rows(file: Path, skip: int) -> list[tuple[str, str]]:
    """Image and the rest of each line."""
    lines = file.read_text(encoding="utf-8").splitlines()[skip:]
    return [(line.split()[0], line.split(maxsplit=1)[1]) for line in lines]


def _pairs(people: list[str], photos: int, count: int, rng: np.random.Generator) -> list[str]:
    """Lines of ``pairs.txt``: in each fold pairs of one person, then of two, none twice."""
    lines = [f"{NUM_FOLDS}\t{count}"]
    for group in np.array_split(rng.permutation(people), NUM_FOLDS):
        same = [
            (str(who), a, b) for who in group for a in range(1, photos + 1) for b in range(1, a)
        ]
        other = [
            (str(one), a, str(two), b)
            for k, one in enumerate(group)
            for two in group[:k]
            for a in range(1, photos + 1)
            for b in range(1, photos + 1)
        ]
        for rows in (same, other):
            if len(rows) < count:
                raise InputError(
                    f"{len(people)} unseen people with {photos} images give no {count} pairs of "
                    f"each kind in {NUM_FOLDS} folds: draw more people or images"
                )
            chosen = rng.choice(len(rows), count, replace=False)
            lines += ["\t".join(map(str, rows[k])) for k in chosen.tolist()]
    return lines
