"""Tables of boxes: with a header in any order, without one, and Open Images'."""

from pathlib import Path

import pytest

from datasets.boxes.opening import open_detection
from datasets.boxes.tree import Hints
from datasets.errors import InputError
from tests.datasets.box_sets import BOX, NAMES, doctor, is_right, refused, save_pictures, told
from tests.datasets.tool_sets import HEADER, lines, open_images, table


def is_right_by_name(path: Path) -> None:
    """Classes are sorted: bus, car."""
    data = open_detection(path, "all")
    assert data.boxes.tolist() == [BOX] * 6
    assert data.classes.names == ("bus", "car")
    assert data.labels.tolist() == [2, 1] * 3
    assert data.image(5).shape == (48, 64, 3)


@pytest.mark.parametrize(
    ("header", "row"),
    [
        (HEADER, "{name},64,48,{kind},10,8,30,28"),
        ("Class;YMax;XMax;YMin;XMin;Image", "{kind};28;30;8;10;{name}"),
        ("x1, y1, x2, y2, label, path, note", "10,8,30,28,{kind},images/{name},old"),
        ("", "images\\{name},10,8,30,28,{kind}"),
        ("", "/home/anna/set/{name},10.0,8.0,30.0,28.0,{kind}"),
    ],
)
def test_columns_in_any_order(tmp_path: Path, header: str, row: str) -> None:
    root = table(tmp_path, header, row)
    is_right_by_name(root)
    is_right_by_name(root / "boxes.csv")
    assert doctor(root).summary["recognised_by"] == "boxes.csv has a box in each line"


@pytest.mark.parametrize("names", ["train_labels.csv test_labels.csv", "train valid"])
def test_parts(tmp_path: Path, names: str) -> None:
    """As TensorFlow's tutorials and Roboflow call them."""
    train, val = (
        tmp_path / (name if name.endswith("csv") else f"{name}/_annotations.csv")
        for name in names.split()
    )
    for file, chosen in ((train, NAMES[:4]), (val, NAMES[4:])):
        pictures = tmp_path / "images" if file.parent == tmp_path else file.parent
        save_pictures(pictures, chosen)
        file.write_text(f"{HEADER}\n{lines(chosen)}")
    assert len(open_detection(tmp_path, "train")) == 4
    data = open_detection(tmp_path, "val")
    assert [Path(file).name for file in data.files] == NAMES[4:]
    assert data.labels.tolist() == [2, 1]


@pytest.mark.slow
def test_pictures_without_boxes(tmp_path: Path) -> None:
    root = table(tmp_path, "", "{name},10,8,30,28,{kind}")
    save_pictures(root / "images", ["empty.png", "unnamed.png"])
    file = root / "boxes.csv"
    file.write_text(f"empty.png,,,,,\n{file.read_text()}0.png,1,2,3,4,car\n")
    (root / "classes.csv").write_text("car,0\nbus,1\nlorry,2\n")
    checkup = doctor(root)
    assert checkup.data.classes.names == ("car", "bus", "lorry")
    assert [len(checkup.data.target(k)["boxes"]) for k in range(7)] == [0, 2, 1, 1, 1, 1, 1]
    assert told(root) == {
        "images without a line in a table (dropped)": "1 (not used): unnamed.png"
    }
    (root / "classes.csv").write_text("car,0\n")
    refused(root, "classes.csv: does not list 'bus'")
    (root / "classes.csv").write_text("car,0\nbus,x\n")
    refused(root, "classes.csv: line 2: a name and a whole number")
    (root / "classes.csv").write_text("car,0\nbus,0\n")
    refused(root, "classes.csv: line 2: 'bus' or its number stands before")


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("2.png,64,48,car,10", "2.png,64,48,car,ten", "line 4: xmin: 'ten'; a number is needed"),
        ("2.png,64,48,car,10", "2.png,64,48,car,", "line 4: no 'xmin'; a number is needed"),
        ("2.png,64,48,car", "2.png,64,48,", "line 4: no 'class'; a text is needed"),
        ("2.png,64,48,car", "2.png,64,48,car,car", "line 4: 9 fields, but there are 8 columns"),
        ("2.png,64", "1.png,65", "line 4: width: '65'; a line before says 64x48"),
        ("2.png,64", '2.png,"64', "line 4: cannot be split into fields"),
        ("2.png,64", "2.png,-64", "line 4: width: '-64'; a whole number from 0"),
        (HEADER, HEADER.replace("xmax", "far"), "Nearest is csv: boxes.csv has some columns"),
    ],
)
def test_damaged_tables(tmp_path: Path, old: str, new: str, message: str) -> None:
    root = table(tmp_path)
    text = (root / "boxes.csv").read_text()
    assert old in text
    (root / "boxes.csv").write_text(text.replace(old, new))
    with pytest.raises(InputError) as caught:
        open_detection(root, "all")
    assert message in str(caught.value)


def test_tables_of_something_else(tmp_path: Path) -> None:
    save_pictures(tmp_path, NAMES)
    rows = "".join(f"{name},{k % 2}\n" for k, name in enumerate(NAMES))
    (tmp_path / "labels.csv").write_text(f"path,label\n{rows}")
    assert doctor(tmp_path).summary["format"] == "csv"
    assert doctor(tmp_path).summary["classes"] == {"0": 3, "1": 3}


def test_two_pictures_of_one_name(tmp_path: Path) -> None:
    root = table(tmp_path / "set", HEADER, "x/{name},64,48,{kind},10,8,30,28")
    for folder in ("a", "b"):
        save_pictures(root / folder, NAMES)
    (root / "images").rename(root / "c")
    refused(root, "line 2: 'x/0.png' fits 3 files", "a/0.png, b/0.png, c/0.png", "--images")
    hints = Hints(images=root / "b")
    data = open_detection(root, "all", hints=hints)
    assert {Path(file).parent.name for file in data.files} == {"b"}


@pytest.mark.slow
def test_open_images(tmp_path: Path) -> None:
    root = open_images(tmp_path)
    data = open_detection(root, "val")
    assert data.classes.names == ("Bus", "Car")
    assert data.labels.tolist() == [2, 2, 1]
    assert data.iscrowd.tolist() == [False, True, False]
    assert data.boxes.round(3).tolist() == [BOX, [0, 0, 64, 48], BOX]
    checkup = doctor(root)
    assert len(checkup.data) == 4
    assert checkup.summary["crowds"] == 1
    assert told(root) == {
        "images that are not here (dropped)": "1 (of the table's): 0123456789abcdef"
    }


def test_open_images_without_names_or_pictures(tmp_path: Path) -> None:
    root = open_images(tmp_path)
    (root / "class-descriptions-boxable.csv").unlink()
    checkup = doctor(root)
    assert checkup.data.classes.names == ("/m/00", "/m/01")
    assert "2 (no class-descriptions table has it): /m/00, /m/01" in checkup.describe()
    for name in NAMES[:4]:
        (root / f"train/{name}").unlink()
    refused(root, "train-annotations-bbox.csv: none of its 5 images is below", "--images")


def test_damaged_open_images(tmp_path: Path) -> None:
    root = open_images(tmp_path)
    file = root / "train-annotations-bbox.csv"
    good = file.read_text()
    for old, new, message in (
        ("1,xclick,/m/01,1,.15625", "1,xclick,/m/01,1,left", "line 3: xmin: 'left'; a number"),
        ("1,xclick,/m/01,1", "1,xclick,,1", "line 3: no 'labelname'; a text is needed"),
        ("1,xclick,/m/01,1", ",xclick,/m/01,1", "line 3: no ImageID"),
    ):
        file.write_text(good.replace(old, new))
        refused(root, "train-annotations-bbox.csv", message)
    (root / "class-descriptions-boxable.csv").write_text("/m/00\n")
    file.write_text(good)
    refused(root, "class-descriptions-boxable.csv: line 1: an id and a name")


def test_names_are_those_of_the_given_classes(tmp_path: Path) -> None:
    root = table(tmp_path, "", "{name},10,8,30,28,{kind}")
    (root / "classes.csv").write_text("car,0\nbus,1\n")
    is_right(open_detection(root, "all"))
