"""Small sets of boxes in every layout, drawn, and what to ask of them."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from datasets.boxes.structure import DetectionData
from datasets.errors import InputError
from datasets.findings import Examination
from datasets.images import save_image
from datasets.kind import CheckOptions
from datasets.kinds import recognise
from tests.datasets.fakes import voc_xml

BOX = [10.0, 8.0, 30.0, 28.0]
LINE = "0.3125 0.375 0.3125 0.4166666666666667"
NAMES = [f"{k}.png" for k in range(6)]


def save_pictures(folder: Path, names: list[str]) -> None:
    """Pictures of 64x48, none like another."""
    folder.mkdir(parents=True, exist_ok=True)
    for k, name in enumerate(names):
        save_image(folder / name, np.full((48, 64, 3), 20 + 10 * k, np.uint8))


def coco(root: Path, **fields: Any) -> dict[str, Any]:
    """Six pictures of 64x48 with a box each, in turn of a car and of a bus."""
    save_pictures(root / "images", NAMES)
    (root / "annotations").mkdir()
    return {
        "images": [
            {"id": k + 1, "file_name": name, "width": 64, "height": 48}
            for k, name in enumerate(NAMES)
        ],
        "annotations": [
            {
                "id": k + 1,
                "image_id": k + 1,
                "category_id": k % 2 + 1,
                "bbox": [10, 8, 20, 20],
                "area": 400,
                "iscrowd": 0,
                **fields,
            }
            for k in range(6)
        ],
        "categories": [{"id": 1, "name": "car"}, {"id": 2, "name": "bus"}],
    }


def write(root: Path, content: dict[str, Any], encoding: str = "utf-8") -> Path:
    file = root / "annotations" / "instances_all.json"
    file.write_text(json.dumps(content), encoding=encoding)
    return root


def yolo(root: Path, data: str | None = "names: {0: car, 1: bus}", more: str = "") -> Path:
    """The same as YOLO; each line with more numbers behind it."""
    save_pictures(root / "images", NAMES)
    (root / "labels").mkdir()
    for k in range(6):
        (root / f"labels/{k}.txt").write_text(f"{k % 2} {LINE}{more}\n")
    if data is not None:
        (root / "data.yaml").write_text(f"path: .\ntrain: images\n{data}\n", encoding="utf-8")
    return root


def voc(folder: Path, stems: list[str], name: str = "car") -> None:
    """Pictures and XML files side by side."""
    save_pictures(folder, [f"{stem}.png" for stem in stems])
    for stem in stems:
        (folder / f"{stem}.xml").write_text(voc_xml([(name, (11, 9, 30, 28), False)]))


def classes_of_pictures(root: Path) -> Path:
    for name in ("ants", "bees"):
        save_pictures(root / name, NAMES)
    return root


def is_right(data: DetectionData) -> None:
    np.testing.assert_allclose(data.boxes, [BOX] * 6)
    assert data.classes.names == ("car", "bus")
    assert data.labels.tolist() == [1, 2, 1, 2, 1, 2]


def doctor(path: Path) -> Examination[Any]:
    found = recognise(path)
    return found.kind.examine(path, found.parts, CheckOptions())


def told(path: Path) -> dict[str, str]:
    """What the doctor tells, by kind; but copies, as drawn pictures are."""
    findings = doctor(path).findings
    return {f"{f.kind} ({f.action})": f.detail for f in findings if "copy" not in f.kind}


def refused(path: Path, *parts: str) -> None:
    with pytest.raises(InputError) as caught:
        doctor(path).raise_if_refused()
    for part in parts:
        assert part in str(caught.value)
