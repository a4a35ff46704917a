"""Folders as people have them: odd names, stray files, parts that are missing."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from datasets.boxes.checking import examine
from datasets.boxes.opening import open_detection
from tests.datasets.fakes import (
    GOOD_BOXES,
    coco_content,
    save_pictures,
    voc_xml,
    write_coco,
    write_yolo,
)

LINE = "0 .5 .5 .2 .2"


def coco_files(root: Path, *names: str) -> Path:
    """A COCO set of files with such names; the n-th has n images."""
    save_pictures(root / "images", [f"{k}.png" for k in range(9)])
    (root / "annotations").mkdir()
    for count, name in enumerate(names, start=1):
        content = coco_content([(10, 3, [4, 6, 20, 30])], images=count)
        (root / "annotations" / name).write_text(json.dumps(content))
    return root


@pytest.mark.parametrize(
    "names",
    [
        ("pascal_trainval2007.json", "pascal_test2007.json"),
        ("instances_train2017.json", "instances_val2017.json"),
        ("train.json", "valid.json"),
        ("my-training-set.json", "my-validation-set.json"),
    ],
)
def test_splits_go_by_words_of_the_file_name(tmp_path: Path, names: tuple[str, str]) -> None:
    root = coco_files(tmp_path / "train_data", *names)
    assert len(open_detection(root, "train")) == 1
    assert len(open_detection(root, "val")) == 2


def test_what_is_only_for_validation_is_not_parted(tmp_path: Path) -> None:
    root = coco_files(tmp_path, "nothing_captions.json", "a_panoptic.json", "instances_val.json")
    assert len(open_detection(root, "val")) == len(open_detection(root, "all")) == 3
    with pytest.raises(ValueError, match="holds nothing to train on"):
        open_detection(root, "train")


def test_pictures_of_one_name_in_many_folders_are_parted(tmp_path: Path) -> None:
    content = coco_content([], images=12)
    for k, row in enumerate(content["images"]):
        save_pictures(tmp_path / f"s{k}", ["rgb.png"])
        row["file_name"] = f"s{k}/rgb.png"
    (tmp_path / "boxes.json").write_text(json.dumps(content))
    sizes = [len(open_detection(tmp_path, split)) for split in ("train", "val")]
    assert sum(sizes) == 12
    assert min(sizes) > 0


@pytest.mark.parametrize("count", [2, 3, 5])
def test_both_sides_of_a_small_set_have_images(tmp_path: Path, count: int) -> None:
    write_yolo(tmp_path, {str(k): LINE for k in range(count)})
    file = tmp_path / "data.yaml"
    file.write_text(file.read_text().replace("val: images/train\n", ""))
    assert len(open_detection(tmp_path, "train")) >= 1
    assert len(open_detection(tmp_path, "val")) >= 1


def test_one_missing_picture_does_not_hide_the_folder(tmp_path: Path) -> None:
    boxes = [(10 + k, 3, [1, 1, 9, 9]) for k in range(12)]
    (write_coco(tmp_path, boxes, images=12) / "train2017" / "0.png").unlink()
    checkup = examine(open_detection(tmp_path, "train"))
    assert checkup.counts() == {"unusable image (dropped)": 1}
    assert checkup.data.left_out == 1


def test_stray_files_decide_nothing(tmp_path: Path) -> None:
    write_yolo(tmp_path, {"a": LINE})
    (tmp_path / "notes.json").write_text("{}")
    (tmp_path / "config.yaml").write_text("lr: 1")
    assert open_detection(tmp_path, "train").format == "yolo"
    pictures = tmp_path / "voc"
    save_pictures(pictures, ["0.png"])
    (pictures / "0.xml").write_text(voc_xml([("cat", (1, 1, 9, 9), False)]))
    (pictures / "dvc.yaml").write_text("stages: 1")
    assert open_detection(pictures, "all").format == "voc"


def test_yolo_folders_in_a_list_and_a_typo(tmp_path: Path) -> None:
    write_yolo(tmp_path, {"a": LINE})
    shutil.copytree(tmp_path / "images" / "train", tmp_path / "images" / "more")
    file = tmp_path / "data.yaml"
    text = file.read_text()
    file.write_text(text.replace("train: images/train", "train: [images/train, images/more]"))
    assert len(open_detection(tmp_path, "train")) == 2
    file.write_text(text.replace("train: images/train", "train: images/trian"))
    with pytest.raises(ValueError, match=r"data\.yaml: train: images/trian: no such folder"):
        open_detection(tmp_path, "val")


def test_coco_fields_that_others_leave_empty(tmp_path: Path) -> None:
    write_coco(tmp_path, GOOD_BOXES)
    file = tmp_path / "annotations" / "instances_train2017.json"
    content = json.loads(file.read_text())
    content["annotations"][0] |= {"area": None, "id": None}
    file.write_text(json.dumps(content))
    assert open_detection(tmp_path, "train").areas[0] == 600
    content["images"][0]["id"] = "im10"
    file.write_text(json.dumps(content))
    with pytest.raises(
        ValueError, match=r"train2017\.json: annotations\[0\]\.image_id: 10; an id"
    ):
        open_detection(tmp_path, "train")


def test_voc_in_other_alphabets(tmp_path: Path) -> None:
    save_pictures(tmp_path, ["x[1].png"])
    xml = voc_xml([("Käse &amp; Brot", (1, 1, 9, 9), False)])
    head = '<?xml version="1.0" encoding="ISO-8859-1"?>'
    (tmp_path / "x[1].xml").write_bytes((head + xml).encode("latin-1"))
    data = open_detection(tmp_path, "all")
    assert data.classes.names == ("Käse & Brot",)
    assert data.image(0).shape == (48, 64, 3)


def test_corners_in_place_of_sides_are_refused(tmp_path: Path) -> None:
    corners = [(10, 3, [30 + k, 20, 60, 45]) for k in range(8)]
    checkup = examine(open_detection(write_coco(tmp_path, corners), "train"))
    with pytest.raises(ValueError, match="are corners written where width and height belong"):
        checkup.raise_if_refused()


def test_normalised_voc_boxes_are_refused(tmp_path: Path) -> None:
    save_pictures(tmp_path, ["0.png"])
    (tmp_path / "0.xml").write_text(voc_xml([("cat", (0.1, 0.1, 0.5, 0.7), False)]))
    checkup = examine(open_detection(tmp_path, "all"))
    with pytest.raises(ValueError, match="box looks normalised: 1 of 1"):
        checkup.raise_if_refused()
    assert not np.isnan(checkup.data.boxes).any()
