"""Drawn faces whose file names tell an age, as UTKFace's do: a folder of a kind of its own."""

from __future__ import annotations

import re
from pathlib import Path

import cv2
import numpy as np

from datasets.findings import Examination, Finding, drop_unreadable, refuse_broken
from datasets.images import find_images
from datasets.kind import CheckOptions, DataKind
from datasets.labels.structure import LabelledData
from datasets.splitting import held_out, path_shares
from datasets.types import ClassMap
from tests.age.spec import TASK

# Age, gender, ethnicity and time.
_NAME = re.compile(r"(\d{1,3})_[01]_[0-4]_\d+")
_ONE = ClassMap((0,), ("face",))
STAMP = "drawn.txt"


def draw_ages(root: Path, *, seed: int = 0, count: int = 60, size: int = 64) -> Path:
    """Heads that lose their colour with the years."""
    if (root / STAMP).exists():
        return root
    root.mkdir(parents=True)
    rng = np.random.default_rng(seed)
    for number in range(count):
        age = int(rng.integers(1, 100))
        image = rng.integers(0, 60, (size, size, 3), dtype=np.uint8)
        middle = (size // 2 + int(rng.integers(-4, 5)), size // 2)
        cv2.circle(image, middle, size // 3, (2 * age + 40,) * 3, -1)
        cv2.imwrite(str(root / f"{age}_0_1_{number:08d}.png"), image)
    (root / STAMP).write_text("drawn", encoding="utf-8")
    return root


def open_ages(path: Path) -> LabelledData:
    """All photos of a folder whose names tell an age; the label is the age."""
    told = [(file, found) for file in find_images(path) if (found := _NAME.match(file.name))]
    return LabelledData(
        format="ages",
        root=path,
        files=np.array([str(file) for file, _ in told], dtype=np.str_),
        labels=np.array([int(found[1]) for _, found in told], dtype=np.int64),
        classes=_ONE,
    )


def open_part(path: Path, part: str) -> LabelledData:
    """A fifth of the photos, by their names, is for validation."""
    data = open_ages(path)
    if part == "all":
        return data
    val = held_out(path_shares(data.files.tolist(), path))
    return data.select(val if part == "val" else ~val)


def _find_parts(path: Path, *, named: bool) -> tuple[str, ...] | None:
    del named
    return ("train",) if path.is_dir() and len(open_ages(path)) else None


def _examine(
    path: Path, parts: tuple[str, ...], options: CheckOptions
) -> Examination[LabelledData]:
    options.choose(parts)
    data, findings = open_ages(path), list[Finding]()
    good = drop_unreadable(data, findings, decode=options.decode)
    refuse_broken(path, good, findings)
    kept = data.select(good)
    summary = {"images": len(kept), "oldest": int(kept.labels.max())}
    about = (f"{len(kept)} images, ages to {kept.labels.max()}",)
    return Examination(data=kept, findings=tuple(findings), summary=summary, about=about)


AGES = DataKind(
    name="ages",
    task=TASK,
    layouts="One of ages holds images such as 25_0_1_20170116.jpg.",
    find_parts=_find_parts,
    examine=_examine,
)
