"""Detection data as people really have them: read rightly, or refused by name."""

import shutil
from pathlib import Path

import numpy as np
import pytest

from datasets.boxes.checking import examine
from datasets.boxes.opening import open_detection
from datasets.images import save_image
from datasets.kinds import recognise
from tests.datasets.box_sets import (
    BOX,
    LINE,
    NAMES,
    classes_of_pictures,
    doctor,
    is_right,
    refused,
    save_pictures,
    voc,
    yolo,
)
from tests.datasets.fakes import voc_xml


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


@pytest.mark.parametrize(
    ("line", "valid"),
    [
        ("data/obj_train_data/{}", "data/valid.txt"),
        ("obj_train_data/{}", "valid.txt"),
        ("./obj_train_data/{}", "./valid.txt"),
        ("/content/darknet/data/obj_train_data/{}", "/content/darknet/data/valid.txt"),
        ("C:\\darknet\\obj_train_data\\{}", "C:\\darknet\\valid.txt"),
        ("../set/obj_train_data/{}", "../set/valid.txt"),
    ],
)
def test_darknets_paths(tmp_path: Path, line: str, valid: str) -> None:
    """Relative to the file, to the folder above, or of another machine."""
    root = tmp_path / "set"
    save_pictures(root / "obj_train_data", NAMES)
    for k in range(6):
        (root / f"obj_train_data/{k}.txt").write_text(f"{k % 2} {LINE}\n")
    for name, chosen in (("train", NAMES[:4]), ("valid", NAMES[4:])):
        text = "\r\n".join(line.format(one) for one in chosen)
        (root / f"{name}.txt").write_text(text)
    (root / "obj.names").write_text("car\nbus\n")
    data = f"classes = 2\ntrain = {valid.replace('valid', 'train')}\nvalid = {valid}\n"
    (root / "obj.data").write_text(f"{data}names = {valid.replace('valid.txt', 'obj.names')}\n")
    for path in (root, root / "obj.data", tmp_path):
        assert len(open_detection(path, "train").boxes) == 4
        val = open_detection(path, "val")
        assert [Path(file).name for file in val.files] == NAMES[4:]
        assert val.boxes.round(6).tolist() == [BOX] * 2


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
    assert "12 of 12, so that figures on them say little about other images" in told
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
@pytest.mark.parametrize(
    "names", [("train", "test"), ("Train", "VALID"), ("training", "Validation"), ("TRAIN", "Test")]
)
def test_xml_beside_pictures_in_parts(tmp_path: Path, layout: str, names: tuple[str, str]) -> None:
    voc(tmp_path / layout.format(names[0]), ["a", "b"], "card")
    voc(tmp_path / layout.format(names[1]), ["c"], "coin")
    train, val = (open_detection(tmp_path, split) for split in ("train", "val"))
    assert train.boxes.tolist() == [BOX] * 2
    assert [Path(file).name for file in val.files] == ["c.png"]
    assert train.classes == val.classes
    assert train.classes.names == ("card", "coin")


@pytest.mark.parametrize(
    ("xmls", "images"),
    [
        ("annotations", "JPEGImages"),
        ("Annotation", "Images"),
        ("xml", "imgs"),
        ("labels", "images"),
        ("annotations/{}", "images/{}"),
        ("{}/annotations", "{}/images"),
        ("Annotations/{}", "JPEGImages"),
    ],
)
def test_xml_in_a_folder_of_its_own(tmp_path: Path, xmls: str, images: str) -> None:
    for part in ("train", "val") if "{}" in xmls else ("train",):
        names = [f"{part}0", f"{part}1"]
        voc(tmp_path / images.format(part), names)
        (tmp_path / xmls.format(part)).mkdir(parents=True, exist_ok=True)
        for name in names:
            file = tmp_path / images.format(part) / f"{name}.xml"
            file.rename(tmp_path / xmls.format(part) / f"{name}.xml")
    data = open_detection(tmp_path, "train" if "{}" in xmls else "all")
    assert data.boxes.tolist() == [BOX] * 2
    assert data.image(1).shape == (48, 64, 3)
    assert [Path(file).name for file in data.files] == ["train0.png", "train1.png"]


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
    assert recognise(tmp_path).parts == ("train", "test")
    assert doctor(tmp_path).summary["classes"] == {"cat": 6, "dog": 6}


@pytest.mark.parametrize("names", [("images", "annotations"), ("Images", "LABELS"), ("train",)])
def test_folders_of_contents_are_no_classes(tmp_path: Path, names: tuple[str, ...]) -> None:
    for name in names:
        save_pictures(tmp_path / name, NAMES)
    refused(tmp_path, "not recognised")
