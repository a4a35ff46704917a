"""Which format a folder of boxes is in: the strongest evidence wins, a tie is a question."""

import json
import shutil
from pathlib import Path
from typing import get_args

import pytest

from datasets.boxes.opening import FORMATS, open_detection, recognise_detection
from datasets.boxes.tree import Hints
from datasets.claims import Claim, Strength, nearest, strongest
from datasets.errors import InputError
from datasets.kinds import recognise
from datasets.spec import BoxFormat
from tests.datasets.box_sets import (
    NAMES,
    classes_of_pictures,
    coco,
    doctor,
    is_right,
    refused,
    save_pictures,
    voc,
    write,
    yolo,
)


def claim(name: str, strength: Strength, lacks: str = "") -> Claim:
    return Claim(format=name, strength=strength, evidence=f"{name}.txt is there", lacks=lacks)


def test_the_flag_knows_all_formats() -> None:
    assert set(get_args(BoxFormat)) == {one.name for one in FORMATS}


def test_claims_are_weighed() -> None:
    declared, described = (claim("a", Strength.DECLARED), claim("b", Strength.DESCRIBED))
    assert strongest(Path("x"), [described, declared]) is declared
    near = claim("c", Strength.NEAR, "but d.txt is not")
    assert strongest(Path("x"), [near]) is None
    assert nearest([near]) == "Nearest is c: c.txt is there, but d.txt is not."
    lacking = claim("d", Strength.DESCRIBED, "but e.txt is not")
    assert strongest(Path("x"), [lacking, described]) is described
    with pytest.raises(InputError, match=r"x: d\.txt is there, but e\.txt is not"):
        strongest(Path("x"), [lacking])
    with pytest.raises(InputError, match=r"a .*or e .*say which by --format a or --format e"):
        strongest(Path("x"), [declared, claim("e", Strength.DECLARED)])


def both(root: Path) -> Path:
    """COCO and YOLO over the same pictures."""
    content = coco(root)
    write(root, content)
    shutil.move(root / "annotations", root / "kept")
    shutil.rmtree(root / "images")
    yolo(root)
    shutil.move(root / "kept", root / "annotations")
    return root


def test_a_tie_is_a_question(tmp_path: Path) -> None:
    root = both(tmp_path)
    refused(root, "instances_all.json has COCO's", "data.yaml names", "--format coco or --format")
    for name in ("coco", "yolo"):
        data = open_detection(root, "all", hints=Hints(name))
        is_right(data)
        assert data.format == name


def test_a_damaged_claim_is_no_other_format(tmp_path: Path) -> None:
    root = both(tmp_path)
    (root / "data.yaml").unlink()
    (root / "classes.txt").write_text("car\nbus\n")
    data = open_detection(root, "all")
    assert data.format == "coco"
    assert data.evidence.endswith("has COCO's fields; less surely darknet (--format)")
    file = root / "annotations/instances_all.json"
    file.write_text(file.read_text()[:400])
    refused(root, "instances_all.json: line 1", "not valid JSON")


def test_a_format_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(
        InputError, match=r"not read as voc \(--format\)\. It should hold .*\(Pascal VOC\)"
    ):
        open_detection(yolo(tmp_path), "all", hints=Hints("voc"))


def test_the_doctor_tells_the_evidence(tmp_path: Path) -> None:
    checkup = doctor(yolo(tmp_path))
    assert "format yolo (data.yaml names classes and parts)" in checkup.describe()
    assert checkup.summary["recognised_by"] == "data.yaml names classes and parts"


def test_a_set_one_folder_below(tmp_path: Path) -> None:
    voc(tmp_path / "my set", ["0", "1"])
    (tmp_path / "README.txt").write_text("unpacked")
    (tmp_path / "__MACOSX").mkdir()
    assert "XML files of VOC in the folder, in my set/" in doctor(tmp_path).describe()
    (tmp_path / "empty").mkdir()
    assert len(open_detection(tmp_path, "all")) == 2
    save_pictures(tmp_path / "other", NAMES)
    assert recognise_detection(tmp_path) is None


def test_a_damaged_set_one_folder_below(tmp_path: Path) -> None:
    yolo(tmp_path / "set", "names: [car, car]")
    refused(tmp_path, "set/data.yaml: names: class name 'car' occurs twice")
    classes = tmp_path / "classes"
    for name in ("a", "b"):
        save_pictures(classes / name, NAMES)
    (classes / "a/data.yaml").write_text("train: .\nnames: [car, car]")
    assert recognise_detection(classes) is None


def test_two_sets_below_are_a_question(tmp_path: Path) -> None:
    for name in ("a", "b"):
        voc(tmp_path / name, ["0", "1"])
    with pytest.raises(InputError, match="There are sets of boxes in a and b: name one of them"):
        open_detection(tmp_path, "all")


def test_the_nearest_format_is_told(tmp_path: Path) -> None:
    save_pictures(tmp_path / "yolo/images", NAMES)
    (tmp_path / "yolo/labels").mkdir()
    voc(tmp_path / "voc", ["0"])
    (tmp_path / "voc/0.png").unlink()
    (tmp_path / "voc/xml").mkdir()
    (tmp_path / "voc/0.xml").rename(tmp_path / "voc/xml/0.xml")
    for name, told in (
        ("yolo", "Nearest is yolo: there are images/ and labels/, but no labels/.*cx cy w h"),
        ("voc", "Nearest is voc: xml/0.xml is VOC's XML, but no folder of images"),
    ):
        with pytest.raises(InputError, match=told):
            open_detection(tmp_path / name, "all")
        refused(tmp_path / name, "not recognised. Nearest is")


def test_xml_and_pictures_in_folders_of_any_name(tmp_path: Path) -> None:
    """They belong together where there is one of each, and names of files agree."""
    voc(tmp_path, ["0", "1"])
    for folder, suffix in (("annots", "xml"), ("photos", "png")):
        (tmp_path / folder).mkdir()
        for k in "01":
            (tmp_path / f"{k}.{suffix}").rename(tmp_path / f"{folder}/{k}.{suffix}")
    data = open_detection(tmp_path, "all")
    assert data.evidence == "XML files of VOC in annots"
    assert data.image(1).shape == (48, 64, 3)
    (tmp_path / "photos").rename(tmp_path.parent / "away")
    hints = Hints(images=tmp_path.parent / "away")
    assert len(open_detection(tmp_path, "all", hints=hints)) == 2
    for folder in ("logos", "more"):  # Of other names; and then several folders of pictures.
        save_pictures(tmp_path / folder, ["a.png"])
        refused(tmp_path, "no folder of images belongs to it")
    save_pictures(tmp_path / "photos", ["0.png"])
    refused(tmp_path, "no folder of images belongs to it")


def test_pictures_elsewhere(tmp_path: Path) -> None:
    """Each format with its pictures moved away."""
    hints = Hints(images=tmp_path / "elsewhere")
    write(tmp_path / "coco", coco(tmp_path / "coco"))
    yolo(tmp_path / "yolo")
    yolo(tmp_path / "darknet", None)
    (tmp_path / "darknet/classes.txt").write_text("car\nbus\n")
    for name in ("coco", "yolo", "darknet"):
        shutil.rmtree(tmp_path / "elsewhere", ignore_errors=True)
        shutil.move(tmp_path / name / "images", tmp_path / "elsewhere")
        data = open_detection(tmp_path / name, "all", hints=hints)
        is_right(data)
        assert data.image(5).shape == (48, 64, 3)
    (tmp_path / "voc/Annotations").mkdir(parents=True)
    voc(tmp_path / "both", ["0", "1"])
    for k in "01":
        (tmp_path / f"both/{k}.xml").rename(tmp_path / f"voc/Annotations/{k}.xml")
    assert open_detection(tmp_path / "voc", "all", hints=hints).image(1).shape == (48, 64, 3)
    with pytest.raises(InputError, match=r"--images .*gone: no such folder"):
        open_detection(tmp_path / "voc", "all", hints=Hints(images=tmp_path / "gone"))


def test_parts_of_yolo_elsewhere(tmp_path: Path) -> None:
    root, away = tmp_path / "set", tmp_path / "away"
    for part in ("train", "val"):
        save_pictures(away / part, NAMES)
        (root / "labels" / part).mkdir(parents=True)
        for k in range(6):
            (root / f"labels/{part}/{k}.txt").write_text(f"{int(part == 'val')} .5 .5 .5 .5\n")
    (root / "data.yaml").write_text("train: images/train\nval: images/val\nnames: [car, bus]\n")
    for label, part in enumerate(("train", "val"), start=1):
        data = open_detection(root, part, hints=Hints(images=away))
        assert data.labels.tolist() == [label] * 6
        assert {Path(file).parent.name for file in data.files} == {part}


def test_a_name_that_fits_several_pictures(tmp_path: Path) -> None:
    content = coco(tmp_path)
    for row in content["images"]:
        row["file_name"] = "C:\\set\\a\\" + row["file_name"]
    write(tmp_path, content)
    for folder in ("a", "b/a"):
        (tmp_path / "images" / folder).mkdir(parents=True)
        shutil.copy(tmp_path / "images/0.png", tmp_path / "images" / folder)
    refused(tmp_path, "0.png' fits 2 files below", "a/0.png, b/a/0.png")
    shutil.rmtree(tmp_path / "images/b")
    data = open_detection(tmp_path, "all")
    assert [Path(file).parent.name for file in data.files[:2]] == ["a", "images"]


def test_keypoints_have_boxes(tmp_path: Path) -> None:
    content = coco(tmp_path, keypoints=[0, 0, 0], num_keypoints=0)
    file = tmp_path / "annotations/person_keypoints_train2017.json"
    file.write_text(json.dumps(content))
    is_right(open_detection(tmp_path, "all"))
    content["annotations"] = []
    (tmp_path / "annotations/instances_train2017.json").write_text(json.dumps(content))
    assert len(open_detection(tmp_path, "all").boxes) == 0


def test_pictures_of_the_other_part_are_not_taken(tmp_path: Path) -> None:
    """Names are often the same in both parts; a lost folder must not be replaced by the other."""
    content = json.dumps(coco(tmp_path))
    for part in ("train", "val"):
        (tmp_path / f"annotations/instances_{part}.json").write_text(content)
    (tmp_path / "images").rename(tmp_path / "val")
    assert Path(open_detection(tmp_path, "val").files[0]).exists()
    assert not Path(open_detection(tmp_path, "train").files[0]).exists()
    data = open_detection(tmp_path, "train", hints=Hints(images=tmp_path / "val"))
    assert Path(data.files[0]).exists()


def some_labelme(root: Path, described: int) -> Path:
    """Two classes of three pictures, some with LabelMe's file beside them."""
    classes_of_pictures(root)
    for file in sorted(root.glob("*/*.png"))[:described]:
        shapes = [{"label": "car", "points": [[10, 8], [30, 28]], "shape_type": "rectangle"}]
        told = {"shapes": shapes, "imagePath": file.name, "imageHeight": 48, "imageWidth": 64}
        file.with_suffix(".json").write_text(json.dumps(told))
    return root


def test_few_described_pictures_in_folders_of_classes_are_a_question(tmp_path: Path) -> None:
    root = some_labelme(tmp_path / "few", 2)
    words = r"could be boxes \(.*describe 2 of \d+ images\) or labels; say which by --task dete"
    with pytest.raises(InputError, match=words):
        recognise(root)
    assert recognise(root, "labels").kind.name == "labels"
    assert recognise(root, "boxes").kind.name == "boxes"
    assert recognise(some_labelme(tmp_path / "most", 9)).kind.name == "boxes"


def test_several_lists_to_test_on_are_named_when_one_is_asked_for(tmp_path: Path) -> None:
    save_pictures(tmp_path, NAMES)
    rows = "filename,xmin,ymin,xmax,ymax,class\n0.png,10,8,30,28,car\n"
    for name in ("train", "val", "test_day", "test_night"):
        (tmp_path / f"{name}.csv").write_text(rows)
    assert len(open_detection(tmp_path, "val")) == 1
    with pytest.raises(InputError, match=r"holds test_day.csv and test_night.csv, of which any m"):
        open_detection(tmp_path, "test")
