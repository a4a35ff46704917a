"""Small sets of boxes as labelling tools and benchmarks write them, drawn."""

import csv
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.datasets.box_sets import BOX, NAMES, save_pictures
from tests.datasets.tar_fakes import jpeg, write_tar

KINDS = ["car", "bus"] * 3
EXPECTED = {name: [(kind, BOX)] for name, kind in zip(NAMES, KINDS, strict=True)}


def labelme(root: Path) -> Path:
    save_pictures(root, NAMES)
    for name, kind in zip(NAMES, KINDS, strict=True):
        shape = {"label": kind, "points": [[30, 8], [10, 28]], "shape_type": "rectangle"}
        write_labelme(root / name, [shape])
    return root


def write_labelme(picture: Path, shapes: list[Any], **more: Any) -> None:
    content = {
        "version": "5.0.1",
        "flags": {},
        "shapes": shapes,
        "imagePath": picture.name,
        "imageData": None,
        "imageHeight": 48,
        "imageWidth": 64,
        **more,
    }
    picture.with_suffix(".json").write_text(json.dumps(content))


def cvat(root: Path) -> Path:
    save_pictures(root / "images", NAMES)
    box = (
        '<box label="{}" source="manual" occluded="1" xtl="10.0" ytl="8.0" xbr="30.0" ybr="28.0"/>'
    )
    images = [
        f'<image id="{k}" name="{name}" subset="Train" width="64" height="48">'
        f"{box.format(kind)}</image>"
        for k, (name, kind) in enumerate(zip(NAMES, KINDS, strict=True))
    ]
    labels = "".join(f"<label><name>{name}</name></label>" for name in ("car", "bus", "lorry"))
    meta = f"<meta><task><labels>{labels}</labels></task></meta>"
    text = f"<annotations><version>1.1</version>{meta}{''.join(images)}</annotations>"
    (root / "annotations.xml").write_text(f'<?xml version="1.0" encoding="utf-8"?>\n{text}')
    return root


PERCENT = {"x": 15.625, "y": 16.666666666, "width": 31.25, "height": 41.66666666, "rotation": 0}


def result(kind: str, value: dict[str, Any], type: str = "rectanglelabels") -> dict[str, Any]:
    sides = {"original_width": 64, "original_height": 48}
    return {"type": type, "to_name": "image", "value": {**value, type: [kind]}, **sides}


def task(name: str, results: list[Any], **more: Any) -> dict[str, Any]:
    annotation = {"id": 1, "was_cancelled": False, "result": results, **more}
    return {"id": 1, "annotations": [annotation], "data": {"image": name}}


def label_studio(root: Path) -> Path:
    save_pictures(root / "images", NAMES)
    tasks = [
        task(f"/data/upload/1/0a1b2c3d-{name}", [result(kind, PERCENT)])
        for name, kind in zip(NAMES, KINDS, strict=True)
    ]
    (root / "project-1.json").write_text(json.dumps(tasks))
    return root


RECT = {"name": "rect", "x": 10, "y": 8, "width": 20, "height": 20}


def via_content() -> dict[str, Any]:
    return {
        f"{name}123": {
            "filename": name,
            "size": 123,
            "regions": [{"shape_attributes": RECT, "region_attributes": {"kind": kind}}],
            "file_attributes": {},
        }
        for name, kind in zip(NAMES, KINDS, strict=True)
    }


def via(root: Path) -> Path:
    save_pictures(root / "images", NAMES)
    project = {"_via_settings": {}, "_via_img_metadata": via_content(), "_via_attributes": {}}
    (root / "via_project.json").write_text(json.dumps(project))
    return root


def via_regions(root: Path) -> Path:
    """As version 1 exports regions: numbered by keys."""
    save_pictures(root, NAMES)
    content = via_content()
    for row in content.values():
        row["regions"] = {str(k): one for k, one in enumerate(row["regions"])}
    (root / "via_region_data.json").write_text(json.dumps(content))
    return root


def via_csv(root: Path) -> Path:
    save_pictures(root, NAMES)
    header = "filename,file_size,file_attributes,region_count,region_id,"
    header += "region_shape_attributes,region_attributes"
    with (root / "via_export_csv.csv").open("w", newline="") as file:
        writer = csv.writer(file, quoting=csv.QUOTE_MINIMAL)
        writer.writerow(header.split(","))
        for name, kind in zip(NAMES, KINDS, strict=True):
            texts = (json.dumps(RECT), json.dumps({"kind": kind}))
            writer.writerow([name, 123, "{}", 1, 0, *texts])
    return root


HEADER = "filename,width,height,class,xmin,ymin,xmax,ymax"


def lines(names: list[str], row: str = "{name},64,48,{kind},10,8,30,28") -> str:
    rows = [row.format(name=name, kind=KINDS[k % 2]) for k, name in enumerate(names)]
    return "\n".join(rows) + "\n"


def table(root: Path, header: str = HEADER, row: str = "{name},64,48,{kind},10,8,30,28") -> Path:
    save_pictures(root / "images", NAMES)
    head = f"{header}\n" if header else ""
    (root / "boxes.csv").write_text(head + lines(NAMES, row))
    return root


OPEN_IMAGES = "ImageID,Source,LabelName,Confidence,XMin,XMax,YMin,YMax,IsOccluded,IsGroupOf"


def open_images(root: Path) -> Path:
    for part, chosen in (("train", NAMES[:4]), ("validation", NAMES[4:])):
        save_pictures(root / part, chosen)
        box = ".15625,.46875,.16666666666666666,.58333333333"
        rows = [f"{n[0]},xclick,/m/0{k % 2},1,{box},0,0" for k, n in enumerate(chosen)]
        rows += [
            "0123456789abcdef,xclick,/m/09,1,0,1,0,1,0,0",
            f"{chosen[0][0]},x,/m/00,1,0,1,0,1,0,1",
        ]
        (root / f"{part}-annotations-bbox.csv").write_text("\n".join([OPEN_IMAGES, *rows]))
    (root / "class-descriptions-boxable.csv").write_text("/m/00,Car\n/m/01,Bus\n/m/09,Lorry\n")
    return root


ROW = "{} 0.00 0 -1.57 10.00 8.00 30.00 28.00 1.5 1.6 3.7 1.0 1.5 8.4 -1.56"


def kitti(root: Path) -> Path:
    save_pictures(root / "training/image_2", NAMES)
    (root / "training/label_2").mkdir(parents=True)
    for k, name in enumerate(NAMES):
        row = ROW.format("Bus" if k % 2 else "Car")
        (root / "training/label_2" / name.replace("png", "txt")).write_text(f"{row}\n")
    return root


def hugging_face(
    root: Path, key: str = "categories", kinds: tuple[Any, Any] = ("car", "bus")
) -> Path:
    save_pictures(root / "train", NAMES)
    lines = [
        {"file_name": name, "objects": {"bbox": [[10, 8, 20, 20]], key: [kinds[k % 2]]}}
        for k, name in enumerate(NAMES)
    ]
    (root / "train/metadata.jsonl").write_text("\n".join(map(json.dumps, lines)) + "\n")
    return root


def box_shards(root: Path) -> Path:
    told = json.dumps({"annotations": [{"bbox": [4, 2, 12, 10], "category": "car"}]}).encode()
    for part, numbers in (("train", range(3)), ("val", range(3, 5))):
        members = {f"{k}.jpg": jpeg(40 * k) for k in numbers}
        write_tar(root / f"{part}-0.tar", members | {f"{k}.json": told for k in numbers})
    (root / "classes.txt").write_text("car\nbus\n")
    return root


TOOLS: dict[str, Callable[[Path], Path]] = {
    "labelme": labelme,
    "cvat": cvat,
    "label_studio": label_studio,
    "via": via,
    "via_regions": via_regions,
    "via_csv": via_csv,
}
OTHERS: dict[str, Callable[[Path], Path]] = {
    "csv": table,
    "open_images": open_images,
    "kitti": kitti,
    "hugging_face": hugging_face,
}
