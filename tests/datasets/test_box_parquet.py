"""Boxes in Parquet files: what counts as such, what is read of them, and what is refused."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from datasets.boxes.augmentation import DetectionTransform
from datasets.boxes.hf_objects import FIELDS
from datasets.boxes.opening import open_detection, open_parts
from datasets.boxes.parquet import ParquetBoxes
from datasets.boxes.structure import DetectionData
from datasets.boxes.torch_set import DetectionSet
from datasets.boxes.writing import TARGETS, write_boxes
from datasets.errors import InputError
from datasets.kind import CheckOptions
from datasets.kinds import recognise
from datasets.ledger import ARCHIVES, traced
from datasets.parquet_files import leaves_of, read_columns
from tests.datasets.box_sets import doctor, refused, told
from tests.datasets.parquet_fakes import (
    BOX,
    CORNERS,
    NAMES,
    box_parquet,
    box_table,
    described,
    objects,
    pictures,
    save_table,
)
from tests.datasets.tar_fakes import jpeg

pytest.importorskip("pyarrow")


def is_right(data: DetectionData, count: int) -> None:
    assert data.format == "parquet"
    np.testing.assert_allclose(data.boxes, [CORNERS] * count)
    assert data.sizes.tolist() == [[24, 20]] * count
    assert (data.classes.names, data.classes.ids) == (tuple(NAMES), (0, 1))
    assert data.labels.tolist() == [1 + k % 2 for k in range(count)]


def test_the_parts_of_a_set(tmp_path: Path) -> None:
    parts = open_parts(box_parquet(tmp_path))
    assert {split: len(data) for split, data in parts.items()} == {"train": 6, "val": 3}
    val = parts["val"]
    is_right(val, 3)
    assert (val.image_ids.tolist(), val.areas.tolist()) == ([106, 107, 108], [60.0] * 3)
    assert Path(val.files[0]).name == "06.jpg"
    assert val.content(1) == jpeg(10 + 9 * 7)
    samples = DetectionSet(parts["train"], DetectionTransform(16, "none"))
    for index in range(6):
        assert abs(int(parts["train"].image(index)[3, 3, 0]) - 10 - 9 * index) <= 3
        assert samples[0, index].image.shape == (16, 16, 3)
    found = recognise(tmp_path)
    assert (found.kind.name, found.parts) == ("boxes", ("train", "val"))
    with traced() as trace:
        checkup = found.kind.examine(tmp_path, found.parts, CheckOptions(decode=True))
    assert not checkup.findings
    about = "\n".join(checkup.about)
    assert "train-00000-of-00002.parquet has columns image and objects" in about
    (ledger,) = trace.account(tmp_path)
    assert (ledger.used[ARCHIVES], ledger.seen) == (3, 3)


@pytest.mark.parametrize("folder", ["", "train", "data", "default/train", "cppe"])
def test_where_the_files_lie(tmp_path: Path, folder: str) -> None:
    box_table(tmp_path / folder / "0000.parquet")
    is_right(open_detection(tmp_path, "all"), 6)


def test_a_list_of_objects(tmp_path: Path) -> None:
    rows = [[{"bbox": BOX, "category": k % 2, "iscrowd": k == 0}] for k in range(3)]
    file = box_table(tmp_path / "a.parquet", 3, objects=[*rows[:2], []])
    data = open_detection(file, "all")
    assert (np.diff(data.offsets).tolist(), data.iscrowd.tolist()) == ([1, 1, 0], [True, False])
    assert data.labels.tolist() == [1, 2]


@pytest.mark.parametrize("key", ["categories", "label", "category_id"])
def test_names_of_the_classes(tmp_path: Path, key: str) -> None:
    columns = {"image": pictures(4), "objects": objects(4, key=key)}
    file = save_table(tmp_path / "a.parquet", columns, features=described(key))
    is_right(open_detection(file, "all"), 4)
    save_table(file, columns)
    assert open_detection(file, "all").classes.names == ("0", "1")
    (tmp_path / "classes.txt").write_text("car\nbus\n")
    is_right(open_detection(file, "all"), 4)
    (tmp_path / "classes.txt").write_text("car\n")
    refused(file, f"a.parquet: row 1: objects.object 0.{key}: 1; the listed classes are 0 to 0")


def test_columns_of_boxes_and_of_names(tmp_path: Path) -> None:
    columns = {
        "img": [jpeg(k) for k in (9, 99)],
        "boxes": [[BOX], [BOX]],
        "labels": [["a"], ["b"]],
    }
    data = open_detection(save_table(tmp_path / "train.parquet", columns), "all")
    assert (data.classes.names, data.labels.tolist()) == (("a", "b"), [1, 2])
    assert data.boxes.tolist() == [CORNERS] * 2
    assert [Path(file).name for file in data.files] == ["000000.jpg", "000001.jpg"]
    assert data.sizes.tolist() == [[24, 20]] * 2


def test_corners_are_told_from_sides(tmp_path: Path) -> None:
    low, high = [2.0, 2.0, 8.0, 9.0], [14.0, 11.0, 20.0, 18.0]
    rows = [{"bbox": [low, high], "category": [0, 1]}] * 3
    box_table(tmp_path / "train.parquet", 3, objects=rows)
    data = open_detection(tmp_path, "all")
    assert data.boxes.tolist() == [low, high] * 3
    why = "1 (as x y width height 3 of 6 would leave their image): "
    assert told(tmp_path) == {"boxes read as corners x1 y1 x2 y2 (kept)": f"{why}{tmp_path}"}
    box_table(tmp_path / "train.parquet", 3, objects=rows, bbox_type=["xywh"] * 3)
    assert open_detection(tmp_path, "all").boxes[1].tolist() == [14, 11, 34, 29]
    box_table(tmp_path / "train.parquet", 3, bbox_type=["pascal_voc"] * 3)
    assert open_detection(tmp_path, "all").boxes[0].tolist() == BOX
    box_table(tmp_path / "train.parquet", 3, bbox_type=["yolo"] * 3)
    refused(tmp_path, "train.parquet: row 0: bbox_type: 'yolo'; boxes are read as xywh or coco")


def test_the_form_is_the_same_in_both_parts(tmp_path: Path) -> None:
    """Boxes of one part alone may fit either form."""
    corners = [{"bbox": [[2.0, 2.0, 6.0, 7.0]], "category": [0]}] * 3
    far = [{"bbox": [[14.0, 11.0, 20.0, 18.0]], "category": [0]}] * 3
    box_table(tmp_path / "train.parquet", 3, objects=far)
    box_table(tmp_path / "val.parquet", 3, start=3, objects=corners)
    assert open_detection(tmp_path, "val").boxes[0].tolist() == [2, 2, 6, 7]


def change(value: Any, key: str, row: int = 1) -> list[Any]:
    rows = objects(3)
    rows[row] = {**rows[row], key: value}
    return rows


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        (change(None, "bbox"), r"row 1: objects.bbox: null; a list of boxes"),
        (change([None], "bbox"), r"row 1: objects.object 0.bbox: null; four numbers"),
        (
            change([[1.0, 2.0, None, 4.0]], "bbox"),
            r"row 1: objects.object 0.bbox: \[1.0, 2.0, Non",
        ),
        (change([[1.0, 2.0, 3.0]], "bbox"), r"row 1: objects.object 0.bbox: .* four numbers"),
        (change([0, 1], "category"), r"row 1: objects.category: .* a list of 1 classes is needed"),
        (change([None], "category"), r"row 1: objects.object 0.category: null; a whole number or"),
        (change([7], "category"), r"row 1: .*: 7; the listed classes are 0 to 1"),
        (change([-1], "category"), r"row 1: .*: -1; the listed classes are 0 to 1"),
        (
            [{"bbox": [BOX]}, {"bbox": []}, {"bbox": [BOX]}],
            r"row 0: objects: no 'categories'; a list of 1 classes is needed",
        ),
    ],
)
def test_damaged_rows_are_named(tmp_path: Path, rows: list[Any], message: str) -> None:
    file = box_table(tmp_path / "train.parquet", 3, objects=rows)
    with pytest.raises(InputError, match=message) as caught:
        open_detection(tmp_path, "all")
    assert str(caught.value).startswith(f"{file}: ")


def test_what_the_doctor_finds(tmp_path: Path) -> None:
    images = pictures(9)
    images[2] = {"bytes": None, "path": "02.jpg"}
    images[4] = {"bytes": images[5]["bytes"], "path": "04.jpg"}
    images[7] = {"bytes": images[7]["bytes"][:-40], "path": "07.jpg"}
    box_table(tmp_path / "train.parquet", 9, image=images, objects=[*objects(8), None])
    checkup = doctor(tmp_path)
    found = {(f.kind, Path(f.file).name) for f in checkup.findings}
    assert found >= {
        ("rows without objects", tmp_path.name),
        ("unusable image", "02.jpg"),
        ("unusable image", "07.jpg"),
        ("copy of an image", "05.jpg"),
    }
    assert len(checkup.data) == 6
    why = {Path(f.file).name: f.detail for f in checkup.findings if f.action == "dropped"}
    assert (
        why["02.jpg"]
        == "holds no image, only {'bytes': None, 'path': '02.jpg'}; leave the row out"
    )


@pytest.mark.parametrize("target", TARGETS)
def test_written_as_any_format(tmp_path: Path, target: str) -> None:
    parts = open_parts(box_parquet(tmp_path / "in"))
    write_boxes(TARGETS[target], parts, tmp_path / "out", link=True)
    back = open_parts(tmp_path / "out")
    assert {split: len(data) for split, data in back.items()} == {"train": 6, "val": 3}
    contents = {back["val"].content(k) for k in range(3)}
    assert contents == {jpeg(10 + 9 * k) for k in (6, 7, 8)}
    for data in back.values():
        np.testing.assert_allclose(data.boxes, [CORNERS] * len(data), atol=1e-6)
        assert set(data.classes.names) >= set(NAMES)


@pytest.mark.parametrize("kind", ["struct", "no bytes", "text"])
def test_pictures_beside_the_table(tmp_path: Path, kind: str) -> None:
    """Written without their bytes, as for a table that lies in the folder of its pictures."""
    import pyarrow as pa

    names = [f"shots/{k}.jpg" for k in range(3)]
    paths: Any = [{"bytes": None, "path": name} for name in names] if kind != "text" else names
    if kind == "struct":
        paths = pa.array(paths, pa.struct([("bytes", pa.binary()), ("path", pa.string())]))
    file = box_table(tmp_path / "train.parquet", 3, image=paths, width=None, height=None)
    with pytest.raises(InputError, match=r"row 0: image has the path of an image, not the imag"):
        open_detection(file, "all")
    (tmp_path / "shots").mkdir()
    for k, name in enumerate(names):
        (tmp_path / name).write_bytes(jpeg(20 * k))
    data = open_detection(tmp_path, "all")
    is_right(data, 3)
    assert data.in_files
    assert not isinstance(data, ParquetBoxes)
    with traced() as trace:
        doctor(tmp_path)
    (ledger,) = trace.account(tmp_path)
    assert ledger.lost == 0


def test_other_tables_are_none(tmp_path: Path) -> None:
    box_table(tmp_path / "boxes/train.parquet")
    save_table(tmp_path / "table/a.parquet", {"x": [1, 2], "bbox": [[BOX], [BOX]]})
    save_table(tmp_path / "label/train.parquet", {"image": pictures(2), "label": [0, 1]})
    for name in ("table", "label"):
        with pytest.raises(InputError, match="not recognised as a detection data set"):
            open_detection(tmp_path / name, "all")
    assert recognise(tmp_path / "label").kind.name == "labels"
    with pytest.raises(InputError, match=r"holds boxes, which are no labels: detection reads"):
        recognise(tmp_path / "boxes", "labels")
    (tmp_path / "boxes/train.parquet").write_bytes(b"PAR1 and no more")
    with pytest.raises(InputError, match=r"train.parquet: not a Parquet file that can be read"):
        open_detection(tmp_path / "boxes", "all")


def test_a_table_without_rows(tmp_path: Path) -> None:
    box_table(tmp_path / "train-0.parquet", 0)
    box_table(tmp_path / "train-1.parquet", 3)
    is_right(open_detection(tmp_path, "all"), 3)


def test_tables_that_differ(tmp_path: Path) -> None:
    box_table(tmp_path / "train-0.parquet", 3)
    file = box_table(tmp_path / "train-1.parquet", 3, height=None)
    with pytest.raises(InputError, match=f"{file}: no column 'height', which other tables of"):
        open_detection(tmp_path, "all")


@pytest.mark.parametrize("is_list", [True, False])
def test_outlines_are_not_read(tmp_path: Path, is_list: bool) -> None:
    outline = [[float(k) for k in range(50)]]
    lists = [{"segmentation": [outline], "bbox": [BOX], "category": [k % 2]} for k in range(4)]
    rows: list[Any] = lists
    if is_list:
        one = {"segmentation": outline, "bbox": BOX}
        rows = [[{**one, "category": k % 2}] for k in range(4)]
    file = box_table(tmp_path / "train.parquet", 4, objects=rows)
    read = read_columns(file, leaves_of(file, "objects", FIELDS))["objects"][0]
    assert set(read[0] if is_list else read) == {"bbox", "category"}
    is_right(open_detection(tmp_path, "all"), 4)
