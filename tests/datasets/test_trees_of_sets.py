"""Folders above the set, or with more than one of them, and files that only look like one."""

import json
import shutil
from pathlib import Path

import pytest

from datasets.boxes.opening import open_detection
from datasets.errors import InputError
from datasets.kinds import recognise
from datasets.labels.opening import open_labelled
from datasets.part_names import named_after_parts
from tests.datasets.box_sets import (
    BOX,
    NAMES,
    coco,
    doctor,
    is_right,
    refused,
    save_pictures,
    told,
    voc,
    write,
    yolo,
)
from tests.datasets.fakes import voc_xml
from tests.datasets.label_fakes import save_photos, write_folders
from tests.datasets.tool_sets import cvat, labelme, via, write_labelme


def roboflow(root: Path) -> Path:
    """COCO beside its pictures, in a folder that is a part."""
    content = coco(root)
    shutil.move(root / "images", root / "train")
    shutil.rmtree(root / "annotations")
    (root / "train/_annotations.coco.json").write_text(json.dumps(content))
    return root


def test_several_coco_sets_are_a_question(tmp_path: Path) -> None:
    """The one whose folders are named as parts is not taken for all there is."""
    anna, ben = tmp_path / "by/anna", tmp_path / "ben"
    for folder in (anna, ben):
        folder.mkdir(parents=True)
    roboflow(anna)
    (ben / "all.json").write_text((anna / "train/_annotations.coco.json").read_text())
    refused(tmp_path, "holds sets with COCO's fields in ben, by/anna; name the one")
    is_right(open_detection(anna, "all"))
    (ben / "all.json").unlink()
    is_right(open_detection(tmp_path, "all"))


def test_a_set_beside_deeper_ones_is_meant(tmp_path: Path) -> None:
    is_right(open_detection(roboflow(tmp_path), "all"))
    (tmp_path / "old").mkdir()
    shutil.copy(tmp_path / "train/_annotations.coco.json", tmp_path / "old/mine.json")
    is_right(open_detection(tmp_path, "all"))


def test_other_xml_beside_classes_is_passed_over(tmp_path: Path) -> None:
    """An element of that name is not VOC's; a comment in front of VOC's is no element."""
    write_folders(tmp_path, {"cubism": 3, "realism": 3})
    save_photos(tmp_path, ["cover.png"])
    text = "<paintings><painting><annotation x='1'/></painting></paintings></xml>"
    (tmp_path / "annotations.xml").write_text(text)
    found = doctor(tmp_path)
    found.raise_if_refused()
    assert found.summary["classes"] == {"cubism": 3, "realism": 3}


def test_boxes_of_pictures_that_are_not_there_are_not_clipped(tmp_path: Path) -> None:
    root = via(tmp_path)
    (root / "images" / NAMES[0]).unlink()
    assert [*told(root)] == ["unusable image (dropped)"]


def test_labelme_files_with_their_own_name_in_them(tmp_path: Path) -> None:
    root = labelme(tmp_path)
    for file in root.glob("*.json"):
        content = json.loads(file.read_text())
        file.write_text(json.dumps({**content, "imagePath": file.name}))
    (root / "0").mkdir()
    assert [Path(file).name for file in open_detection(root, "all").files] == NAMES
    assert not told(root)


def test_a_box_without_class_is_named(tmp_path: Path) -> None:
    file = cvat(tmp_path) / "annotations.xml"
    file.write_text(file.read_text().replace('<box label="bus"', '<box label=""', 1))
    refused(tmp_path, f"images/{NAMES[1]}: an empty text is no name of a class; name the class")


def test_parts_under_other_names_are_no_classes(tmp_path: Path) -> None:
    write_folders(tmp_path, {"WIDER_train/a": 2, "WIDER_val/a": 2, "split": 0})
    refused(tmp_path, "WIDER_train and WIDER_val are parts by their names", "call them train")


@pytest.mark.parametrize(
    ("names", "found"),
    [
        (["seg_test", "seg_train", "seg_pred"], ["seg_test", "seg_train"]),
        (["train2017", "val2017"], ["train2017", "val2017"]),
        (["train", "test_tube", "bus"], []),
        (["trains", "tests"], []),
        (["a_val", "a_test"], []),
    ],
)
def test_names_that_differ_in_the_part_alone(names: list[str], found: list[str]) -> None:
    assert named_after_parts(names) == found


def test_folders_within_classes_may_be_the_classes(tmp_path: Path) -> None:
    write_folders(tmp_path, {"set/mask": 3, "set/none": 3, "more/mask": 3})
    (detail,) = (f.detail for f in doctor(tmp_path).findings if "several" in f.kind)
    assert detail == (
        f"1 of 2, such as {tmp_path}/set: mask, none; if those are the classes, "
        "name the folder that holds them"
    )
    assert not told(tmp_path / "set")


def test_a_list_means_the_picture_in_the_folder_of_its_class(tmp_path: Path) -> None:
    write_folders(tmp_path, {"train/mask": 2, "train/none": 2})
    lines = ["filename,class", "0.png,mask", "1.png,mask", "0.png,none", "1.png,none"]
    (tmp_path / "train.csv").write_text("\n".join(lines))
    data = open_labelled(tmp_path, "all")
    inside = [str(Path(file).relative_to(tmp_path / "train")) for file in data.files]
    assert inside == ["mask/0.png", "mask/1.png", "none/0.png", "none/1.png"]


def test_boxes_with_the_class_in_front_are_no_labels(tmp_path: Path) -> None:
    save_pictures(tmp_path / "images", NAMES)
    box = ",".join(f"{value:g}" for value in BOX)
    (tmp_path / "train.txt").write_text("\n".join(f"{name},car,{box}" for name in NAMES))
    refused(tmp_path, "not recognised")


def test_a_column_of_emotions(tmp_path: Path) -> None:
    save_photos(tmp_path / "images", ["0.png", "1.png"])
    (tmp_path / "legend.csv").write_text("user.id,image,emotion\n6,0.png,fear\n6,1.png,anger\n")
    assert open_labelled(tmp_path, "all").classes.names == ("anger", "fear")


def test_classes_alike_but_for_case_are_told(tmp_path: Path) -> None:
    write_folders(tmp_path, {"Fear": 3, "fear": 3, "anger": 3})
    assert told(tmp_path) == {
        "classes alike but for case (kept)": "Fear and fear; if they are the same, "
        "write them alike"
    }


def test_flags_of_labelme_are_told(tmp_path: Path) -> None:
    root = labelme(tmp_path)
    file = root / "0.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), "flags": {"cat": True}}))
    assert told(root) == {
        "flags (dropped)": "1 (classes of whole images are not read here): 0.png"
    }


def test_a_photo_that_a_list_repeats_is_no_copy(tmp_path: Path) -> None:
    save_photos(tmp_path, ["0.png", "1.png"])
    lines = ["path,label", "0.png,fear", "1.png,anger", "1.png,fear"]
    (tmp_path / "list.csv").write_text("\n".join(lines))
    (finding,) = (f for f in doctor(tmp_path).findings if f.kind != "classes of one image")
    assert (finding.kind, finding.detail) == ("image listed twice", "2 times, as anger and fear")


@pytest.mark.slow
def test_sets_are_no_classes(tmp_path: Path) -> None:
    """Folders of which each is a set, in whatever format; a stray file makes none of a class."""
    makers = (
        lambda root: voc(root, ["0", "1", "2"]),
        lambda root: write_folders(root, {"train/pug": 2, "val/pug": 1}),
        lambda root: write(root, coco(root)),
        yolo,
        labelme,
        list_of_classes,
    )
    for k, make in enumerate(makers):
        root = tmp_path / str(k)
        write_folders(root, {"dogs/pug": 2, "dogs/collie": 2})
        make(root / "cats")
        said = "cats/ .* is a set of its own, and no class; name one that is meant, or .*: dogs"
        with pytest.raises(InputError, match=said):
            open_labelled(root, "train")
        shutil.rmtree(root / "dogs")
        shutil.copytree(root / "cats", root / "birds")
        with pytest.raises(InputError, match=r"birds.* and .*cats"):
            open_labelled(root, "train")
        if make is not labelme:  # Whose files tell of boxes wherever they lie.
            with pytest.raises(InputError, match=r"birds.* and .*cats"):
                recognise(root)
    shutil.rmtree(tmp_path / "0/birds")
    write_folders(tmp_path / "0", {"dogs/pug": 2})
    with pytest.raises(InputError, match="There is a set of boxes in cats: name it"):
        open_detection(tmp_path / "0", "train")


def list_of_classes(root: Path) -> Path:
    write_folders(root, {"images": 4})
    rows = [f"images/{k}.png,{'ab'[k % 2]}" for k in range(4)]
    (root / "labels.csv").write_text("\n".join(["path,label", *rows, ""]))
    return root


def test_stray_files_leave_classes_as_they_are(tmp_path: Path) -> None:
    root = write_folders(tmp_path, {"ant": 4, "bee": 4})
    write_labelme(root / "ant/0.png", [])
    (root / "bee/1.xml").write_text(voc_xml([("bee", (1, 1, 9, 9), False)]))
    (root / "bee/notes.txt").write_text("two of them are wasps\n")
    (root / "bee/list.csv").write_text("path,label\n0.png,bee\n")
    assert len(open_labelled(root, "train", whole=True)) == 8
