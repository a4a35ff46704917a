"""--split of evaluate.py and check_data.py: which part is looked at, and how that is told."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from backbone.flavour import Flavour
from configs.common import Common
from datasets.boxes.opening import open_detection, recognise_detection
from datasets.kinds import recognise
from datasets.labels.opening import open_labelled
from datasets.spec import Split
from datasets.types import ClassMap
from tasks.weights.card import Card
from tests.conftest import Tool
from tests.datasets.attribute_fakes import write_celeba
from tests.datasets.box_sets import coco, save_pictures, voc, yolo
from tests.datasets.label_fakes import save_photos, write_folders
from tests.datasets.place_fakes import photo
from tests.datasets.tar_fakes import jpeg, write_tar
from tests.datasets.tool_sets import KINDS, labelme
from tests.exports import Exports
from tests.tools.mistakes import expect
from tools.flows.run_folder import evaluation_folder
from tools.flows.told_files import card_of_parts, stand_ins, told_files

PARTS = ("train", "valid", "test")


def roboflow_coco(root: Path) -> Path:
    """Six pictures to train on, two in each other part."""
    whole = coco(root)
    shutil.move(root / "images", root / "train")
    shutil.rmtree(root / "annotations")
    for part, count in zip(PARTS, (6, 2, 2), strict=True):
        folder = root / part
        save_pictures(folder, [f"{part}{k}.png" for k in range(count)])
        images = [
            {**row, "file_name": f"{part}{k}.png"} for k, row in enumerate(whole["images"][:count])
        ]
        content = {**whole, "images": images, "annotations": whole["annotations"][:count]}
        (folder / "_annotations.coco.json").write_text(json.dumps(content))
    return root


def roboflow_yolo(root: Path) -> Path:
    for part, count in zip(PARTS, (6, 2, 2), strict=True):
        save_pictures(root / part / "images", [f"{k}.png" for k in range(count)])
        (root / part / "labels").mkdir()
        for k in range(count):
            (root / part / f"labels/{k}.txt").write_text(f"{k % 2} .3 .4 .3 .4\n")
    lines = ["train: ../train/images", "val: ../valid/images", "test: ../test/images"]
    (root / "data.yaml").write_text("\n".join([*lines, "names: [car, bus]"]))
    return root


def roboflow_voc(root: Path) -> Path:
    for part, count in zip(PARTS, (6, 2, 2), strict=True):
        voc(root / part, [f"{part}{k}" for k in range(count)])
    return root


def plain_yolo(root: Path) -> Path:
    roboflow_yolo(root)
    (root / "data.yaml").unlink()
    (root / "classes.txt").write_text("car\nbus\n")
    return root


def tables(root: Path) -> Path:
    head = "filename,width,height,class,xmin,ymin,xmax,ymax"
    for part, count in zip(PARTS, (6, 2, 2), strict=True):
        names = [f"{part}{k}.png" for k in range(count)]
        save_pictures(root / part, names)
        rows = [f"{name},64,48,{KINDS[k]},10,8,30,28" for k, name in enumerate(names)]
        (root / part / "_annotations.csv").write_text("\n".join([head, *rows, ""]))
    return root


def labelmes(root: Path) -> Path:
    for part in PARTS:
        labelme(root / part)
        for k in range(2 if part != "train" else 6, 6):
            (root / part / f"{k}.json").unlink()
            (root / part / f"{k}.png").unlink()
    return root


def box_shards(root: Path) -> Path:
    told = json.dumps({"annotations": [{"bbox": [4, 2, 12, 10], "category": "car"}]}).encode()
    for part, count in zip(PARTS, (6, 2, 2), strict=True):
        members = {f"{k}.jpg": jpeg(20 * k) for k in range(count)}
        write_tar(root / f"{part}-0.tar", members | {f"{k}.json": told for k in range(count)})
    return root


def lists_of_voc(root: Path) -> Path:
    voc(root / "Annotations", [str(k) for k in range(6)])
    (root / "JPEGImages").mkdir()
    for file in (root / "Annotations").glob("*.png"):
        shutil.move(file, root / "JPEGImages")
    lists = root / "ImageSets/Main"
    lists.mkdir(parents=True)
    for name, stems in (("train", "0123"), ("val", "4"), ("test", "5")):
        (lists / f"{name}.txt").write_text("\n".join(stems))
    return root


@pytest.mark.parametrize(
    ("fill", "counts"),
    [
        *((fill, (6, 2, 2)) for fill in (roboflow_coco, roboflow_yolo, roboflow_voc)),
        *((fill, (6, 2, 2)) for fill in (plain_yolo, tables, labelmes, box_shards)),
        (lists_of_voc, (4, 1, 1)),
    ],
)
def test_three_parts_of_boxes(
    tmp_path: Path, fill: Callable[[Path], Path], counts: tuple[int, ...]
) -> None:
    root = fill(tmp_path)
    data = [open_detection(root, split) for split in ("train", "val", "test")]
    assert tuple(map(len, data)) == counts
    assert all(len(part.boxes) == len(part) for part in data)
    assert not {*data[1].files.tolist()} & {*data[2].files.tolist()}
    assert {part.classes.names for part in data} == {data[0].classes.names}


def column(root: Path) -> Path:
    write_folders(root, {"x": 10})
    parts = ["train"] * 6 + ["valid"] * 2 + ["TEST"] * 2
    rows = [f"x/{k}.png,{'ab'[k % 2]},{part}" for k, part in enumerate(parts)]
    (root / "list.csv").write_text("\n".join(["path,label,split", *rows, ""]))
    return root


def lines_above(root: Path) -> Path:
    write_folders(root, {"train": 6, "validation": 2, "test": 2})
    rows = [
        json.dumps({"file_name": f"{part}/{k}.png", "label": "ab"[k % 2]})
        for part, count in (("train", 6), ("validation", 2), ("test", 2))
        for k in range(count)
    ]
    (root / "metadata.jsonl").write_text("\n".join(rows))
    return root


def lists(root: Path) -> Path:
    write_folders(root, {"x": 10})
    for name, numbers in (("train", range(6)), ("val", (6, 7)), ("test", (8, 9))):
        (root / f"{name}.txt").write_text("".join(f"x/{k}.png {k % 2}\n" for k in numbers))
    return root


def classes(root: Path) -> Path:
    counts = {"train": 3, "val": 1, "test": 1}
    return write_folders(root, {f"{p}/{c}": count for p, count in counts.items() for c in "ab"})


@pytest.mark.parametrize("fill", [column, lines_above, lists, classes])
def test_three_parts_of_labels(tmp_path: Path, fill: Callable[[Path], Path]) -> None:
    root = fill(tmp_path)
    assert recognise(root).parts == ("train", "val", "test")
    data = [open_labelled(root, split) for split in ("train", "val", "test")]
    assert [len(part) for part in data] == [6, 2, 2]
    assert all(part.counts.tolist() == [len(part) / 2] * 2 for part in data)


def test_a_part_to_test_on_spoils_nothing(tmp_path: Path) -> None:
    """It may have no labels, or not be there, or hold classes that nobody has learnt."""
    root = roboflow_yolo(tmp_path / "yolo")
    shutil.rmtree(root / "test")
    found = recognise_detection(root)
    assert found is not None
    assert tuple(found.claim.parts) == ("train", "val")
    root = classes(tmp_path / "classes")
    save_photos(root / "test/c", ["0.png"])
    assert len(open_labelled(root, "train")) == 6
    with pytest.raises(ValueError, match="class 'c' is not one of the set's"):
        open_labelled(root, "test")
    root = lines_above(tmp_path / "lines")
    (root / "metadata.jsonl").unlink()
    for part in ("train", "validation", "test"):
        name = "{}" if part == "test" else '{{"file_name": "{}.png", "label": "{}"}}'
        text = "\n".join(name.format(k, "ab"[k % 2]) for k in range(2))
        (root / part / "metadata.jsonl").write_text(text)
    assert recognise(root).parts == ("train", "val")


Fill = Callable[[Path], Path]


def stars(root: Path) -> Path:
    roboflow_coco(root)
    for part in PARTS:
        file = root / part / "_annotations.coco.json"
        file.write_text(file.read_text().replace('"car"', '"star"').replace('"bus"', '"ring"'))
    return root


def insects(root: Path) -> Path:
    classes(root)
    for part in ("train", "val", "test"):
        (root / part / "a").rename(root / part / "ant")
        (root / part / "b").rename(root / part / "bee")
    return root


def traits(root: Path) -> Path:
    return write_celeba(root, (0, 0, 0, 1, 2, 2))


def places(root: Path) -> Path:
    parts = ["train"] * 4 + ["val"] + ["test"] * 2
    rows = [f"{k}.jpg,{part},{k},{2 * k}" for k, part in enumerate(parts)]
    for k in range(len(parts)):
        file = photo(root / f"{k}.jpg")
        file.write_bytes(file.read_bytes() + bytes([k]))
    (root / "list.csv").write_text("\n".join(["IMG_ID,split,LAT,LON", *rows, ""]))
    return root


def people(root: Path) -> Path:
    return write_folders(root, {f"{p}/{who}{p}": 2 for p in PARTS for who in "abcd"})


@pytest.mark.slow
@pytest.mark.parametrize(
    ("kind", "fill", "count", "said"),
    [
        ("ssd", stars, 2, "scored"),
        ("classifier", insects, 2, "measured"),
        ("attributes", traits, 2, "measured"),
        ("places", places, 2, "part"),
        ("faces", people, 8, "measured"),
    ],
)
def test_the_part_to_test_on(
    tmp_path: Path, tool: Tool, exports: Exports, kind: str, fill: Fill, count: int, said: str
) -> None:
    root, weights = fill(tmp_path / "set"), exports.source(kind).file
    flags = ("--data", root, "--workers", 0)

    def measure(*more: object) -> tuple[str, dict[str, Any]]:
        out = tmp_path / f"out{len(list(tmp_path.iterdir()))}"
        status, text, err = tool("evaluate", weights, *flags, *more, "--out", out, "--json")
        assert status == 0, err
        return err, json.loads(text)

    err, told = measure("--split", "test")
    expected = f"the part 'test' of {root}"
    assert expected in err
    assert told["facts"][said] == expected
    assert f" {count} images" in told["facts"]["time"]
    err, told = measure()
    assert "--split" in told["facts"][said]
    status, text, err = tool(
        *("check_data", root, "--task", exports.source(kind).task, "--split", "test", "--json")
    )
    assert status == 0, text + err
    assert json.loads(text)["part"] == "test"
    shutil.rmtree(root)
    lone = write_folders(root, {f"{who}": 2 for who in "abcd"})
    if kind == "attributes":
        write_celeba(lone, None)
    if kind == "places":
        (lone / "list.csv").write_text("IMG_ID,LAT,LON\na/0.png,1,2\nb/0.png,3,4\n")
    if kind == "ssd":
        shutil.rmtree(lone)
        yolo(lone)
    answer = tool("evaluate", weights, *flags, "--split", "test", "--out", tmp_path / "none")
    expect(answer, f"{root}: ", "test", *(["train"] if kind != "faces" else ["--split val"]))


@pytest.mark.parametrize(
    ("fill", "val", "open_part"),
    [(insects, "val", open_labelled), (roboflow_yolo, "valid", open_detection)],
)
def test_what_stands_in_for_a_part_to_validate_on_is_named(
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    fill: Fill,
    val: str,
    open_part: Callable[[Path, Split], object],
) -> None:
    root = fill(tmp_path)
    card = Card("classification", {}, Flavour(), ClassMap.from_names(["a", "b"]))
    for stands_in in (False, True):
        with told_files(root) as files:
            open_part(root, "train")
            open_part(root, "val")
        notes = stand_ins(files)
        line = f"the part 'test' of {root}, which has none of its own to validate on"
        assert notes == ([("validated on", line)] if stands_in else [])
        assert (line in capsys.readouterr().err) == stands_in
        told = card_of_parts(card, files).trained_on
        assert told == ({"validated_on": "test"} if stands_in else {})
        if not stands_in:
            shutil.rmtree(root / val)
            if (root / "data.yaml").exists():
                text = (root / "data.yaml").read_text()
                (root / "data.yaml").write_text(text.replace("val: ../valid/images\n", ""))


def test_evaluations_of_other_parts_have_folders_of_their_own() -> None:
    names = [
        evaluation_folder(Common(), Path("runs/demo/model.safetensors"), Path("set"), split).name
        for split in (None, "val", "test")
    ]
    assert names == ["demo-set", "demo-set-val", "demo-set-test"]
