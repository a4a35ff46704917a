"""Exports of labelling tools: LabelMe, CVAT, Label Studio and VIA."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from datasets.boxes.opening import open_detection
from datasets.boxes.tree import Hints
from datasets.errors import InputError
from tests.datasets.box_sets import BOX, NAMES, doctor, told
from tests.datasets.tool_sets import (
    EXPECTED,
    KINDS,
    PERCENT,
    TOOLS,
    cvat,
    label_studio,
    labelme,
    result,
    task,
    via,
    write_labelme,
)


def boxes_of(root: Path, split: Any = "all", hints: Hints | None = None) -> dict[str, list[Any]]:
    """Boxes by the name of their picture, each with its class."""
    data = open_detection(root, split, hints=hints)
    out: dict[str, list[Any]] = {}
    for k, file in enumerate(data.files.tolist()):
        target = data.target(k)
        labels = [data.classes.names[label - 1] for label in target["labels"].tolist()]
        rows = target["boxes"].round(2).tolist()
        out[Path(file).name] = list(zip(labels, rows, strict=True))
        assert data.image(k).shape == (48, 64, 3)
    return out


@pytest.mark.parametrize("name", TOOLS)
def test_boxes_are_read(tmp_path: Path, name: str) -> None:
    root = TOOLS[name](tmp_path)
    assert boxes_of(root) == EXPECTED
    checkup = doctor(root)
    assert checkup.summary["format"] == name.split("_")[0] if "via" in name else name
    assert "has " in checkup.summary["recognised_by"]
    assert not told(root)


@pytest.mark.parametrize("name", TOOLS)
def test_pictures_elsewhere(tmp_path: Path, name: str) -> None:
    root = TOOLS[name](tmp_path / "set")
    pictures = tmp_path / "elsewhere"
    pictures.mkdir()
    for file in sorted(root.rglob("*.png")):
        file.rename(pictures / file.name)
    assert boxes_of(root, hints=Hints(images=pictures)) == EXPECTED


@pytest.mark.parametrize("name", TOOLS)
def test_pictures_that_nothing_names_are_told(tmp_path: Path, name: str) -> None:
    root = TOOLS[name](tmp_path)
    (picture,) = root.rglob("0.png")
    picture.with_name("other.png").write_bytes(picture.read_bytes())
    ((kind, detail),) = told(root).items()
    assert kind.startswith("images without")
    assert detail == "1 (not used): other.png"


@pytest.mark.parametrize("name", TOOLS)
def test_damaged_files_are_named(tmp_path: Path, name: str) -> None:
    root = TOOLS[name](tmp_path)
    file = next(one for one in sorted(root.rglob("*")) if one.suffix in (".json", ".xml", ".csv"))
    good = file.read_text()
    file.write_text(good[: int(len(good) * 0.9)])
    with pytest.raises(InputError, match=file.name):
        open_detection(root, "all")


def test_labelmes_shapes(tmp_path: Path) -> None:
    root = labelme(tmp_path)
    square = [[10, 8], [30, 8], [20, 28]]
    shapes = [
        {"label": "car", "points": square, "shape_type": "polygon"},
        {"label": "car", "points": [[20, 18], [20, 24]], "shape_type": "circle"},
        {"label": "car", "points": [[20, 18]], "shape_type": "point"},
        {"label": "car", "points": square},
    ]
    write_labelme(root / "0.png", shapes, imageHeight=None, imagePath="..\\there\\0.png")
    assert [box for _, box in boxes_of(root)["0.png"]] == [BOX, [14, 12, 26, 24], BOX]
    found = told(root)
    assert found["shapes of kind polygon (kept)"] == "2 (as the boxes around them): 0.png, 0.png"
    assert found["shapes of kind point (dropped)"] == "1 (no areas): 0.png"
    write_labelme(
        root / "0.png", [{"label": "car", "points": [[1, 2], 3], "shape_type": "polygon"}]
    )
    with pytest.raises(InputError, match=r"0\.json: shapes\[0\]\.points: .*points of two numbers"):
        open_detection(root, "all")


@pytest.mark.slow
def test_labelme_in_parts(tmp_path: Path) -> None:
    for part in ("Train", "valid", "more"):
        labelme(tmp_path / part)
    write_labelme(tmp_path / "valid/0.png", [])
    assert boxes_of(tmp_path, "train") == EXPECTED
    assert boxes_of(tmp_path, "val") == {**EXPECTED, "0.png": []}
    assert told(tmp_path)["JSON files in no part (dropped)"].startswith("6 (beside folders")


def test_cvats_shapes(tmp_path: Path) -> None:
    root = cvat(tmp_path)
    file = root / "annotations.xml"
    good = file.read_text()
    old = good[good.index("<box") : good.index("</image>")]
    new = (
        '<polygon label="car" points="10.0,8.0;30.0,8.0;20.0,28.0"/>'
        '<ellipse label="bus" cx="20" cy="18" rx="10" ry="10" rotation="30"/>'
        '<mask label="car" rle="1" left="10" top="8" width="20" height="20"/>'
        '<box label="car" xtl="15" ytl="8" xbr="25" ybr="28" rotation="90"/>'
        '<points label="car" points="1,2"/><tag label="car"/>'
    )
    file.write_text(good.replace(old, new, 1))
    read = boxes_of(root)["0.png"]
    assert [kind for kind, _ in read] == ["car", "bus", "car", "car"]
    assert [box for _, box in read] == [BOX, BOX, BOX, [10, 13, 30, 23]]
    assert open_detection(root, "all").classes.names == ("car", "bus", "lorry")
    found = told(root)
    assert found["turned boxes (kept)"] == "1 (as the boxes around them): 0.png"
    assert found["elements <points> (dropped)"] == "1 (no areas): 0.png"
    assert found["elements <tag> (dropped)"] == "1 (no areas): 0.png"
    for wrong, message in (
        (new.replace('xtl="15"', 'xtl="x"'), r"image 0\.box 3\.xtl: 'x'; a number"),
        (new.replace("10.0,8.0", "10.0"), r"image 0\.polygon 0\.points: .*points x,y;x,y"),
        (new.replace('<tag label="car"/>', '<box label=""/>'), r"image 0\.box 5: no 'xtl'"),
    ):
        file.write_text(good.replace(old, wrong, 1))
        with pytest.raises(InputError, match=message):
            open_detection(root, "all")


def test_cvats_subsets_are_parts(tmp_path: Path) -> None:
    root = cvat(tmp_path)
    file = root / "annotations.xml"
    text = file.read_text()
    for k, subset in ((4, "Test"), (5, "Validation"), (3, "leftover")):
        text = text.replace(f'"{k}.png" subset="Train"', f'"{k}.png" subset="{subset}"')
    file.write_text(text)
    assert boxes_of(root, "train").keys() == {"0.png", "1.png", "2.png"}
    assert boxes_of(root, "val").keys() == {"5.png"}
    (found,) = told(root).items()
    assert found[0] == "images of another subset (dropped)"
    assert found[1] == "1 (the parts are Test, Train and Validation): 3.png"
    assert boxes_of(root, "test").keys() == {"4.png"}


def test_cvat_for_video_is_refused(tmp_path: Path) -> None:
    (tmp_path / "annotations.xml").write_text('<annotations><track id="0"/></annotations>')
    with pytest.raises(InputError, match="is CVAT's XML for video, which has no images; export"):
        open_detection(tmp_path, "all")


def test_label_studios_regions(tmp_path: Path) -> None:
    root = label_studio(tmp_path)
    turned = {**PERCENT, "x": 46.875, "rotation": 90}
    corners = [[15.625, 16.66666666], [46.875, 16.66666666], [31.25, 58.33333333]]
    tasks = json.loads((root / "project-1.json").read_text())
    tasks[0] = task(
        "/data/local-files/?d=images/0.png",
        [
            result("car", turned),
            result("bus", {"points": corners}, "polygonlabels"),
            {"type": "choices", "value": {"choices": ["sunny"]}},
        ],
    )
    tasks[0]["annotations"].append(tasks[0]["annotations"][0])
    tasks[1]["annotations"] = []
    tasks[2]["annotations"][0]["was_cancelled"] = True
    tasks[3]["annotations"][0]["result"] = []
    (root / "project-1.json").write_text(json.dumps(tasks))
    assert boxes_of(root) == {
        "0.png": [("car", BOX), ("bus", BOX)],
        "3.png": [],
        **{name: EXPECTED[name] for name in ("4.png", "5.png")},
    }
    assert told(root) == {
        "further annotations of a task (dropped)": "1 (the first is taken): 0.png",
        "results of type choices (dropped)": "1 (no areas): 0.png",
        "turned boxes (kept)": "1 (as the boxes around them): 0.png",
        "polygons (kept)": "1 (as the boxes around them): 0.png",
        "tasks without annotation (dropped)": "2 (not labelled yet): 1.png, 2.png",
    }


def test_label_studios_small_export(tmp_path: Path) -> None:
    root = label_studio(tmp_path)
    tasks = [
        {
            "id": k,
            "image": f"s3://bucket/{name}",
            "label": [
                {**PERCENT, "rectanglelabels": [kind], "original_width": 64, "original_height": 48}
            ],
        }
        for k, (name, kind) in enumerate(zip(NAMES, KINDS, strict=True))
    ]
    (root / "project-1.json").write_text(json.dumps(tasks))
    assert boxes_of(root) == EXPECTED


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("x", "left", r"\[3\]\.annotations\[0\]\.result\[0\]\.value\.x: 'left'; a number"),
        ("rectanglelabels", "car", r"value\.rectanglelabels: 'car'; a list of class names"),
        ("rotation", [1], r"value\.rotation: \[1\]; a number"),
    ],
)
def test_damaged_tasks(tmp_path: Path, field: str, value: Any, message: str) -> None:
    root = label_studio(tmp_path)
    tasks = json.loads((root / "project-1.json").read_text())
    tasks[3]["annotations"][0]["result"][0]["value"][field] = value
    (root / "project-1.json").write_text(json.dumps(tasks))
    with pytest.raises(InputError, match=message):
        open_detection(root, "all")


def change_via(root: Path, change: Callable[[dict[str, Any]], Any]) -> None:
    file = root / "via_project.json"
    project = json.loads(file.read_text())
    change(project["_via_img_metadata"]["0.png123"]["regions"][0])
    file.write_text(json.dumps(project))


@pytest.mark.parametrize(
    "shape",
    [
        {"name": "polygon", "all_points_x": [10, 30, 20], "all_points_y": [8, 8, 28]},
        {"name": "circle", "cx": 20, "cy": 18, "r": 10},
        {"name": "ellipse", "cx": 20, "cy": 18, "rx": 10, "ry": 10, "theta": 0.5},
    ],
)
def test_vias_shapes(tmp_path: Path, shape: dict[str, Any]) -> None:
    root = via(tmp_path)
    change_via(root, lambda region: region["shape_attributes"].clear())
    change_via(root, lambda region: region["shape_attributes"].update(shape))
    assert boxes_of(root) == EXPECTED
    kind = f"shapes of kind {shape['name']} (kept)"
    assert told(root) == {kind: "1 (as the boxes around them): 0.png"}


@pytest.mark.slow
def test_vias_class_is_an_attribute(tmp_path: Path) -> None:
    root = via(tmp_path)
    change_via(root, lambda region: region["region_attributes"].update({"note": "dark"}))
    with pytest.raises(InputError, match="the attributes kind, note; which is the class"):
        open_detection(root, "all")
    file = root / "via_project.json"
    file.write_text(file.read_text().replace('"kind"', '"Class"'))
    assert boxes_of(root) == EXPECTED
    assert told(root) == {"attributes of regions (dropped)": "1 (the class is 'Class'): note"}
    file.write_text(file.read_text().replace('{"Class": "car"}', "{}"))
    assert told(root)["regions without class (dropped)"].startswith("2 (no 'Class'): 2.png")
    root = via(tmp_path)
    file.write_text(file.read_text().replace('{"kind": "car"}', '{"kind": {"car": true}}'))
    assert boxes_of(root) == EXPECTED
    file.write_text(
        file.read_text().replace('{"kind": {"car": true}}', "{}").replace('{"kind": "bus"}', "{}")
    )
    assert open_detection(root, "all").classes.names == ("object",)
    assert told(root)["regions without attributes (kept)"].startswith("6 (of class 'object')")


def test_sizes_are_checked(tmp_path: Path) -> None:
    root = cvat(tmp_path)
    file = root / "annotations.xml"
    file.write_text(file.read_text().replace('width="64"', 'width="65"', 1))
    assert told(root)["unusable image (dropped)"] == "64x48 pixels, annotated as (65, 48)"
    np.testing.assert_equal(len(doctor(root).data), 5)
