"""Small data sets in the real formats, written to a folder."""

import json
from pathlib import Path
from typing import Any

import numpy as np

from datasets.images import save_image

Box = tuple[float, float, float, float]


def save_pictures(folder: Path, names: list[str], width: int = 64, height: int = 48) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for k, name in enumerate(names):
        save_image(folder / name, np.full((height, width, 3), 40 * k % 200 + 20, np.uint8))


def coco_content(boxes: list[tuple[int, int, Any]], images: int = 2) -> dict[str, Any]:
    """Boxes as (image id, category id, [x, y, w, h]); categories 3 (cat) and 7 (dog)."""
    return {
        "images": [
            {"id": 10 + i, "file_name": f"{i}.png", "width": 64, "height": 48}
            for i in range(images)
        ],
        "annotations": [
            {
                "id": 100 + k,
                "image_id": image,
                "category_id": category,
                "bbox": box,
                "iscrowd": 0,
                "area": 1.0,
            }
            for k, (image, category, box) in enumerate(boxes)
        ],
        "categories": [{"id": 7, "name": "dog"}, {"id": 3, "name": "cat"}],
    }


def write_coco(root: Path, boxes: list[tuple[int, int, Any]], images: int = 2) -> Path:
    """A set whose training and validation part are alike."""
    for split in ("train2017", "val2017"):
        save_pictures(root / split, [f"{i}.png" for i in range(images)])
        file = root / "annotations" / f"instances_{split}.json"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(json.dumps(coco_content(boxes, images)))
    return root


GOOD_BOXES = [(10, 3, [4, 6, 20, 30]), (10, 7, [30.5, 2, 10, 12]), (11, 7, [0, 0, 64, 48])]


def voc_xml(objects: list[tuple[str, Box, bool]], width: int = 64, height: int = 48) -> str:
    things = "".join(
        f"<object><name>{name}</name><difficult>{int(hard)}</difficult><bndbox>"
        f"<xmin>{x1}</xmin><ymin>{y1}</ymin><xmax>{x2}</xmax><ymax>{y2}</ymax></bndbox></object>"
        for name, (x1, y1, x2, y2), hard in objects
    )
    size = f"<size><width>{width}</width><height>{height}</height></size>"
    return f"<annotation>{size}{things}</annotation>"


def write_voc(root: Path) -> Path:
    """VOC 2007 with two training pictures, one of them empty, and one to test on."""
    base = root / "VOCdevkit" / "VOC2007"
    save_pictures(base / "JPEGImages", ["a.jpg", "b.jpg", "c.jpg"])
    for folder in ("Annotations", "ImageSets/Main"):
        (base / folder).mkdir(parents=True)
    contents: dict[str, list[tuple[str, Box, bool]]] = {
        "a": [("dog", (5, 7, 24, 36), False), ("cat", (1, 1, 64, 48), True)],
        "b": [],
        "c": [("person", (10, 10, 20, 20), False)],
    }
    for stem, objects in contents.items():
        (base / "Annotations" / f"{stem}.xml").write_text(voc_xml(objects))
    (base / "ImageSets/Main/trainval.txt").write_text("a\nb\n")
    (base / "ImageSets/Main/test.txt").write_text("c\n")
    return root


def write_yolo(root: Path, lines: dict[str, str], names: str = "[cat, dog]") -> Path:
    """Training images with their label lines; validation is the same folder."""
    save_pictures(root / "images" / "train", [f"{stem}.png" for stem in lines])
    labels = root / "labels" / "train"
    labels.mkdir(parents=True, exist_ok=True)
    for stem, text in lines.items():
        if text:
            (labels / f"{stem}.txt").write_text(text)
    (root / "data.yaml").write_text(
        f"path: .\ntrain: images/train\nval: images/train\nnames: {names}\n"
    )
    return root
