"""Detection data as people really have them: read rightly, or refused by name."""

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from datasets.boxes.checking import examine
from datasets.boxes.coco import to_coco
from datasets.boxes.opening import open_detection
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


def refused(path: Path, *parts: str) -> None:
    with pytest.raises(InputError) as caught:
        doctor(path).raise_if_refused()
    for part in parts:
        assert part in str(caught.value)


# COCO.


def test_crowds_alone_teach_nothing(tmp_path: Path) -> None:
    write(tmp_path, coco(tmp_path, iscrowd=1))
    refused(tmp_path, "no boxes: none to learn from; all 6 are marked as crowd or difficult")


@pytest.mark.parametrize("flag", ["0", 0.0, False, None, "false"])
def test_flags_are_read_whatever_their_type(tmp_path: Path, flag: object) -> None:
    write(tmp_path, coco(tmp_path, iscrowd=flag))
    assert not open_detection(tmp_path, "all").iscrowd.any()


@pytest.mark.parametrize("of", [lambda k: 20240131093000000000 + k, lambda k: f"frame-{k}"])
def test_image_ids_are_any_number_or_text(tmp_path: Path, of: Any) -> None:
    content = coco(tmp_path)
    for k in range(6):
        content["images"][k]["id"] = content["annotations"][k]["image_id"] = of(k)
    data = open_detection(write(tmp_path, content), "all")
    is_right(data)
    assert data.own_ids == {k + 1: of(k) for k in range(6)}
    held = open_detection(tmp_path, "val")
    assert {held.own_ids[k] for k in held.image_ids.tolist()} <= {of(k) for k in range(6)}
    assert [row["id"] for row in to_coco(data)["images"]] == [1, 2, 3, 4, 5, 6]


def test_a_mark_in_front_of_json(tmp_path: Path) -> None:
    is_right(open_detection(write(tmp_path, coco(tmp_path), "utf-8-sig"), "all"))


def test_ids_of_two_types_are_the_same(tmp_path: Path) -> None:
    content = coco(tmp_path)
    for row in content["annotations"]:
        row["category_id"] = str(row["category_id"])
    is_right(open_detection(write(tmp_path, content), "all"))


def test_categories_named_by_text(tmp_path: Path) -> None:
    content = coco(tmp_path)
    content["categories"] = [{"id": "c", "name": "car"}, {"id": "b", "name": "bus"}]
    for row in content["annotations"]:
        row["category_id"] = "cb"[row["category_id"] - 1]
    is_right(open_detection(write(tmp_path, content), "all"))


@pytest.mark.parametrize("name", ["instances_all.json", "boxes.json"])
def test_json_cut_short_is_an_error_about_that_file(tmp_path: Path, name: str) -> None:
    """Whatever the folder would be without it."""
    file = write(tmp_path, coco(tmp_path)) / "annotations/instances_all.json"
    (tmp_path / "annotations" / name).write_bytes(file.read_bytes()[:900])
    if file.name != name:
        file.unlink()
    refused(tmp_path, f"{name}: line 1, column", "not valid JSON", "ends too early")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"images": None}, "images: null; a list is needed"),
        ({"images": {}}, "images: an object; a list is needed"),
        ({"annotations": [3]}, "annotations[0]: 3; an object with named fields is needed"),
        ({"categories": [{"id": 1, "name": 2}]}, "categories[0].name: 2; a text is needed"),
    ],
)
def test_lists_of_another_type_are_named(
    tmp_path: Path, change: dict[str, Any], message: str
) -> None:
    refused(write(tmp_path, coco(tmp_path) | change), "instances_all.json", message)


@pytest.mark.parametrize(
    ("part", "field", "value", "message"),
    [
        ("annotations", "area", "1481 px", "annotations[3].area: '1481 px'; a number is needed"),
        ("annotations", "bbox", [1, 2, None, 4], "annotations[3].bbox: [1, 2, None, 4]; four"),
        ("annotations", "bbox", "10 8 20 20", "annotations[3].bbox: '10 8 20 20'; four numbers"),
        ("annotations", "iscrowd", 7, "annotations[3].iscrowd: 7; 0 or 1 is needed"),
        ("annotations", "image_id", [1], "annotations[3].image_id: [1]; a whole number or a text"),
        ("images", "file_name", None, "images[3].file_name: null; a text is needed"),
        ("images", "file_name", "a\0b", "images[3].file_name: "),
        ("images", "file_name", "\ud800.png", "images[3].file_name: "),
        ("images", "width", "wide", "images[3].width: 'wide'; a whole number from 0"),
        ("images", "height", 10**30, "images[3].height: 1000"),
        ("images", "height", -4, "images[3].height: -4; a whole number from 0"),
    ],
)
def test_fields_of_another_type_are_named(
    tmp_path: Path, part: str, field: str, value: object, message: str
) -> None:
    content = coco(tmp_path)
    content[part][3][field] = value
    refused(write(tmp_path, content), "instances_all.json", message)


def test_roboflows_group_is_no_class(tmp_path: Path) -> None:
    content = coco(tmp_path)
    content["categories"] = [
        {"id": 0, "name": "car", "supercategory": "none"},
        {"id": 1, "name": "car", "supercategory": "car"},
        {"id": 2, "name": "bus", "supercategory": "car"},
    ]
    checkup = doctor(write(tmp_path, content))
    is_right(checkup.data)
    assert checkup.counts() == {"category 'car' left out (dropped)": 1}


@pytest.mark.parametrize("prefix", ["images\\", "C:\\Users\\anna\\set\\", "/home/anna/set/"])
def test_names_of_another_machine(tmp_path: Path, prefix: str) -> None:
    content = coco(tmp_path)
    for row in content["images"]:
        row["file_name"] = prefix + row["file_name"]
    checkup = doctor(write(tmp_path, content))
    is_right(checkup.data)
    assert not checkup.findings


def test_two_files_of_one_part_are_a_question(tmp_path: Path) -> None:
    content = json.dumps(coco(tmp_path))
    for name in ("boxes.json", "more.json"):
        (tmp_path / "annotations" / name).write_text(content)
    refused(tmp_path, "holds boxes.json and more.json", "name the file itself")


# YOLO.


def test_keypoints_are_told_by_their_shape(tmp_path: Path) -> None:
    pose = "names: {0: car, 1: bus}\nkpt_shape: [2, 2]"
    is_right(open_detection(yolo(tmp_path / "a", pose, " .25 .3 .4 .5"), "all"))
    pose = pose.replace("2]", "3]")
    refused(yolo(tmp_path / "b", pose, " .25 .3 .4"), "0.txt:1: 8 numbers", "kpt_shape")
    refused(yolo(tmp_path / "c", more=" .25 .3 2 .4 .5 2"), "0.txt:1: looks like keypoints")


def test_rotated_boxes_have_four_corners(tmp_path: Path) -> None:
    root = yolo(tmp_path)
    (root / "labels/0.txt").write_text("0 .5 .25 .75 .5 .5 .75 .25 .5\n")
    assert open_detection(root, "all").boxes[0].tolist() == [16, 12, 48, 36]


@pytest.mark.parametrize("number", ["16.5", "-0.4", "inf", "nan", "1e300"])
def test_class_numbers_are_not_cut(tmp_path: Path, number: str) -> None:
    root = yolo(tmp_path)
    (root / "labels/2.txt").write_text(f"{number} {LINE}\n")
    refused(root, f"2.txt:1: class {number} is not")


def test_names_are_text(tmp_path: Path) -> None:
    for k, names in enumerate(("[no, 02]", "{0: no, 1: 02}", "{no: 0, 02: 1}")):
        data = open_detection(yolo(tmp_path / str(k), f"names: {names}\nnc: 2"), "all")
        assert data.classes.names == ("no", "02")
    data = open_detection(yolo(tmp_path / "umlauts", "names: [Möwe, Grünfink]"), "all")
    assert data.classes.names == ("Möwe", "Grünfink")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("names: [car, bus]\nnc: 90", "nc: '90'; but 'names' holds 2"),
        ("names: [car, [bus]]", "names: ['car', ['bus']]; a list of class names is needed"),
        ("names: {car: a, bus: b}", "names: an object; a name for each class number"),
        ("names: [car, car]", "names: class name 'car' occurs twice"),
        ("a: &a [x]\nnames: [*a]", "line 4, column 9: not valid YAML (an alias stands for a list"),
        ("names: [car, bus]\nkpt_shape: 17", "kpt_shape: '17'; two numbers"),
    ],
)
def test_data_files_are_checked(tmp_path: Path, text: str, message: str) -> None:
    refused(yolo(tmp_path, text), "data.yaml", message)


def test_yolo_with_a_list_of_classes(tmp_path: Path) -> None:
    """LabelImg writes it among the labels, Label Studio above them."""
    for k, place in enumerate(("labels", ".")):
        root = yolo(tmp_path / str(k), None)
        (root / place / "classes.txt").write_text("car\nbus\n")
        is_right(open_detection(root, "all"))
    (root / "classes.txt").unlink()
    refused(root, "is a YOLO label file, but nothing names the classes: add classes.txt")


@pytest.mark.parametrize("layout", ["images/{}", "{}/images", "{}"])
def test_parts_of_yolo_without_a_data_file(tmp_path: Path, layout: str) -> None:
    for name in ("Train", "Valid"):
        pictures = tmp_path / layout.format(name)
        save_pictures(pictures, NAMES[:3])
        labels = Path(str(pictures).replace("images", "labels"))
        labels.mkdir(parents=True, exist_ok=True)
        for k in range(3):
            (labels / f"{k}.txt").write_text(f"1 {LINE}\n")
    (tmp_path / "classes.txt").write_text("car\nbus\n")
    assert recognise(tmp_path).parts == ("train", "val")
    assert open_detection(tmp_path, "val").labels.tolist() == [2, 2, 2]


def test_darknets_lists(tmp_path: Path) -> None:
    """Paths that begin with a folder which is only on the author's machine, as CVAT has them."""
    save_pictures(tmp_path / "obj_train_data", NAMES)
    for k in range(6):
        (tmp_path / f"obj_train_data/{k}.txt").write_text(f"{k % 2} {LINE}\n")
    lines = "".join(f"data/obj_train_data/{name}\n" for name in NAMES)
    (tmp_path / "train.txt").write_text(lines)
    (tmp_path / "obj.names").write_text("car\nbus\n")
    data = tmp_path / "obj.data"
    data.write_text("classes = 2\ntrain = data/train.txt\nnames = data/obj.names\nbackup = b/\n")
    is_right(open_detection(tmp_path, "all"))
    data.write_text("train = data/train.txt\nnames = data/gone.names\n")
    refused(tmp_path, "obj.data: names = data/gone.names: no such file")


def test_a_validation_part_that_is_the_training_part(tmp_path: Path) -> None:
    root = yolo(tmp_path, "val: images\nnames: [car, bus]")
    for k in range(6):
        shutil.copy(root / f"images/{k}.png", root / f"images/copy{k}.png")
    checkup = doctor(root)
    assert checkup.counts() == {
        "copy of an image (kept)": 6,
        "images without label file (kept)": 1,
        "the same files in both splits (kept)": 1,
    }
    told = checkup.describe()
    assert "6 of 12, taken for backgrounds" in told
    assert "12 of 12, so that figures on them say little about other pictures" in told
    assert "they have 0 and 1 boxes" in told


def test_copies_across_parts_are_told(tmp_path: Path) -> None:
    root = yolo(tmp_path, "val: valid/images\nnames: [car, bus]")
    (root / "valid/images").mkdir(parents=True)
    shutil.copy(root / "images/3.png", root / "valid/images/other.png")
    (finding,) = [f for f in doctor(root).findings if f.kind == "copy in both splits"]
    assert finding.file.endswith("3.png")
    assert finding.detail.endswith("other.png")


# Pascal VOC.


def test_listed_pictures_without_xml_are_told(tmp_path: Path) -> None:
    save_pictures(tmp_path / "JPEGImages", [f"p{k}.jpg" for k in range(8)])
    (tmp_path / "Annotations").mkdir()
    (tmp_path / "ImageSets/Main").mkdir(parents=True)
    for k in range(3, 8):
        xml = voc_xml([("car", (11, 9, 30, 28), False)])
        (tmp_path / f"Annotations/p{k}.xml").write_text(xml)
    lines = ("p0", "p1", "p2", "p3.jpg", "JPEGImages/p4.jpg", " p5 ")
    (tmp_path / "ImageSets/Main/train.txt").write_text("\n".join(lines))
    (tmp_path / "ImageSets/Main/val.txt").write_text("p6 1\np7 -1\n")
    checkup = doctor(tmp_path)
    assert [Path(file).stem for file in checkup.data.files] == ["p3", "p4", "p5"]
    assert checkup.data.boxes.tolist() == [BOX] * 3
    (finding,) = checkup.findings
    assert finding.kind == "listed images left out"
    assert finding.detail.startswith("3 of 6 (no XML file")
    assert finding.detail.endswith("p0, p1, p2")
    assert len(open_detection(tmp_path, "val")) == 2


@pytest.mark.parametrize("layout", ["{}", "images/{}"])
@pytest.mark.parametrize("names", [("train", "test"), ("Train", "VALID")])
def test_xml_beside_pictures_in_parts(tmp_path: Path, layout: str, names: tuple[str, str]) -> None:
    voc(tmp_path / layout.format(names[0]), ["a", "b"], "card")
    voc(tmp_path / layout.format(names[1]), ["c"], "coin")
    train, val = (open_detection(tmp_path, split) for split in ("train", "val"))
    assert train.boxes.tolist() == [BOX] * 2
    assert [Path(file).name for file in val.files] == ["c.png"]
    assert train.classes == val.classes
    assert train.classes.names == ("card", "coin")


def test_a_stray_click_is_no_box(tmp_path: Path) -> None:
    voc(tmp_path, [str(k) for k in range(6)])
    objects = [("car", (11, 9, 30, 28), False), ("car", (40, 30, 40, 30), False)]
    (tmp_path / "0.xml").write_text(voc_xml(objects))
    checkup = doctor(tmp_path)
    assert checkup.data.boxes.tolist() == [BOX] * 6
    (finding,) = checkup.findings
    assert (finding.kind, finding.action, finding.annotation) == ("stray click", "dropped", 2)
    assert finding.file.endswith("0.png")
    kept = examine(open_detection(tmp_path, "all"), mend_boxes=False)
    assert len(kept.data.boxes) == 7


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("<width>64", "<width>abc", "0.xml: <size> has <width> 'abc', which is no number"),
        ("<width>64", "<width>-3", "0.xml: <size> has <width> '-3', which is no size"),
        ("<width>64", "<width>inf", "0.xml: <size> has <width> 'inf', which is no size"),
        ("<annotation>", '<!DOCTYPE a [<!ENTITY b "c">]><annotation>', "declares the entity 'b'"),
        ("<object>", "<a>" * 100, "nested too deeply"),
        ("</object>", "", "0.xml: damaged XML (mismatched tag: line 1"),
    ],
)
def test_damaged_xml_is_named(tmp_path: Path, old: str, new: str, message: str) -> None:
    voc(tmp_path, ["0", "1"])
    file = tmp_path / "0.xml"
    file.write_text(file.read_text().replace(old, new))
    refused(tmp_path, message)


def test_xml_of_others_is_told(tmp_path: Path) -> None:
    voc(tmp_path, ["0", "1"])
    (tmp_path / "project.xml").write_text("<project><object><name>x</name></object></project>")
    (tmp_path / "old.xml").write_text("<project>")
    save_image(tmp_path / "bare.png", np.zeros((48, 64, 3), np.uint8))
    checkup = doctor(tmp_path)
    assert "x" not in checkup.data.classes.names
    assert len(checkup.data) == 2
    kinds = {finding.kind: finding.detail for finding in checkup.findings}
    assert kinds["XML files passed over"].endswith("old.xml, project.xml")
    assert kinds["images without XML file"].endswith("bare")


# What is no detection data.


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("dataset.xml", "<dataset><name>insects</name></dataset>"),
        ("damaged.xml", "<dataset>"),
        ("training_log.json", '{"lr": 0.01}'),
        ("train_config.json", '{"lr": 0.01'),
        ("notes.yaml", "names: not a list\n"),
        ("data.yaml", "stages: [a, b\n"),
    ],
)
def test_a_stray_file_decides_nothing(tmp_path: Path, name: str, text: str) -> None:
    """Neither in class folders nor beside another format."""
    classes = classes_of_pictures(tmp_path / "classes")
    (classes / name).write_text(text)
    assert recognise(classes).kind.name == "labels"
    assert doctor(classes).summary["classes"] == {"ants": 6, "bees": 6}
    if name != "data.yaml":
        boxes = yolo(tmp_path / "boxes")
        (boxes / name).write_text(text)
        assert open_detection(boxes, "all").format == "yolo"


def test_parts_are_no_classes_whatever_their_case(tmp_path: Path) -> None:
    for part, count in (("Train", 6), ("Test", 3)):
        for name in ("cat", "dog"):
            save_pictures(tmp_path / part / name, NAMES[:count])
    assert recognise(tmp_path).parts == ("train", "val")
    assert doctor(tmp_path).summary["classes"] == {"cat": 6, "dog": 6}


@pytest.mark.parametrize("names", [("images", "annotations"), ("Images", "LABELS"), ("train",)])
def test_folders_of_contents_are_no_classes(tmp_path: Path, names: tuple[str, ...]) -> None:
    for name in names:
        save_pictures(tmp_path / name, NAMES)
    refused(tmp_path, "not recognised")
