"""Random sets of boxes, and what reading them back must give."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from hypothesis import strategies as st
from PIL import Image as PilImage

from datasets.boxes.structure import DetectionData
from datasets.types import ClassMap

SIZES = ((24, 16), (16, 24), (20, 20))
side = st.floats(0, 1, allow_nan=False, width=32, allow_subnormal=False)
names = st.text(st.characters(codec="utf-8", categories=["L", "N", "P", "Zs"]), min_size=1)
clean = names.map(str.strip).filter(lambda name: bool(name) and name.isprintable())
box = st.tuples(side, side, side, side)


@st.composite
def box_sets(draw: st.DrawFn, *, crowds: bool = True) -> list[list[tuple[Any, ...]]]:
    """Per picture: (corners as shares of its sides, class, crowd) of its boxes."""
    one = st.tuples(box, st.integers(0, 2), st.booleans() if crowds else st.just(False))
    return draw(st.lists(st.lists(one, max_size=4), min_size=1, max_size=4))


def make_set(
    root: Path, rows: list[list[tuple[Any, ...]]], classes: ClassMap, *, upright: bool = False
) -> DetectionData:
    """A set in memory, with its pictures on disk, each of another size and orientation."""
    root.mkdir(parents=True, exist_ok=True)
    files, sizes, boxes, labels, crowd = [], [], [], [], []
    for k, row in enumerate(rows):
        size = SIZES[k % len(SIZES)]
        orientation = 1 + k % 8
        file, exif = root / f"{k}.jpg", PilImage.Exif()
        exif[0x0112] = orientation
        PilImage.new("RGB", size, (30 * k, 9, 9)).save(file, exif=exif)
        width, height = size[::-1] if upright and orientation > 4 else size
        files.append(str(file))
        sizes.append((width, height))
        for (a, b, c, d), label, is_crowd in row:
            xs, ys = sorted((a * width, b * width)), sorted((c * height, d * height))
            boxes.append((xs[0], ys[0], max(xs[1], xs[0] + 1), max(ys[1], ys[0] + 1)))
            labels.append(label + 1)
            crowd.append(is_crowd)
    flat = np.array(boxes, np.float64).reshape(-1, 4)
    return DetectionData(
        format="made",
        root=root,
        files=np.array(files, np.str_),
        image_ids=np.arange(1, len(files) + 1),
        sizes=np.array(sizes, np.int64).reshape(-1, 2),
        offsets=np.cumsum([0, *(len(row) for row in rows)]).astype(np.int64),
        boxes=flat,
        labels=np.array(labels, np.int64),
        iscrowd=np.array(crowd, np.bool_),
        areas=np.prod(flat[:, 2:] - flat[:, :2], axis=1) * 0.5,
        annotation_ids=np.arange(1, len(flat) + 1) * 10,
        classes=classes,
        upright=upright,
    )


def rows_of(data: DetectionData) -> dict[str, list[tuple[Any, ...]]]:
    """(class, crowd, area, x1 y1 x2 y2) of each box, by the picture's name."""
    called = [data.classes.names[k - 1] for k in data.labels]
    flat = list(
        zip(called, data.iscrowd.tolist(), data.areas.tolist(), data.boxes.tolist(), strict=True)
    )
    spans = zip(data.offsets[:-1], data.offsets[1:], strict=True)
    return {
        Path(file).name: flat[low:high]
        for file, (low, high) in zip(data.files.tolist(), spans, strict=True)
    }
