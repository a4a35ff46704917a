"""Every format that is read, written as another and read again, holds the same."""

import json
import tarfile
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from datasets.boxes.opening import open_parts as open_boxes
from datasets.boxes.turning import turned
from datasets.boxes.writing import TARGETS as BOX_TARGETS
from datasets.boxes.writing import write_boxes
from datasets.kind import CheckOptions
from datasets.kinds import recognise
from datasets.labels.opening import READERS
from datasets.labels.structure import LabelledData
from datasets.labels.writing import TARGETS, open_parts, write_labels
from datasets.shards.writing import write_shards
from tests.datasets import fakes
from tests.datasets.converted import rows_of
from tests.datasets.label_fakes import (
    save_photos,
    write_dogs,
    write_folders,
    write_pets,
    write_tiny,
)
from tests.datasets.tar_fakes import jpeg, write_tar

NAMES = ["0.png", "1.png", "2.png"]


def _listed(file: str, text: str) -> Callable[[Path], Path]:
    def write(root: Path) -> Path:
        save_photos(root / "in", NAMES)
        (root / file).write_text(text)
        return root

    return write


def _shards(root: Path) -> Path:
    (data,) = open_parts(write_folders(root / "photos", {"cat": 2, "dog": 1})).values()
    return write_shards(data, root / "shards")


JSON = [{"file_name": f"in/{name}", "label": k % 2} for k, name in enumerate(NAMES)]
# A set of each format; Parquet has a test of its own, since few have what reads it.
LABELS: dict[str, Callable[[Path], Path]] = {
    "Stanford Dogs": write_dogs,
    "Oxford-IIIT Pets": write_pets,
    "Tiny ImageNet": write_tiny,
    "metadata.jsonl": _listed("metadata.jsonl", "\n".join(map(json.dumps, JSON))),
    "CSV list": _listed("labels.csv", "id,breed\n0,pug\n1,great dane\n2,pug\n"),
    "text list": _listed("train.txt", "in/0.png 4\nin/1.png 3\nin/2.png 4\n"),
    "folder per class": lambda root: write_folders(root, {"train/b": 2, "train/a": 1, "val/a": 1}),
    "webdataset shards": _shards,
}


def photos(data: LabelledData) -> Counter[tuple[bytes, str]]:
    """Content and class of each photo."""
    return Counter(
        (data.content(k)[0], data.classes.names[data.labels[k]]) for k in range(len(data))
    )


def test_there_is_a_set_of_every_format() -> None:
    assert {*LABELS, "Parquet"} == {*READERS, "webdataset shards"}


@pytest.mark.parametrize("target", sorted(TARGETS))
@pytest.mark.parametrize("name", LABELS)
def test_labels(tmp_path: Path, name: str, target: str) -> None:
    (tmp_path / "in").mkdir()
    path = LABELS[name](tmp_path / "in")
    found = recognise(path, "labels")
    parts = dict(found.kind.open_parts(path, CheckOptions()))
    (tmp_path / "out").mkdir()
    write_labels(TARGETS[target], parts, tmp_path / "out", link=False)
    back = open_parts(tmp_path / "out")
    assert back.keys() == parts.keys()
    for split, data in parts.items():
        assert photos(back[split]) == photos(data)
        assert back[split].classes.names == data.classes.names
    if target == "shards":
        with tarfile.open(tmp_path / "out/train/000000.tar") as tar:
            assert len(tar.getnames()) == 2 * len(parts["train"])
        assert back["train"].classes == parts["train"].classes


def _coco(root: Path) -> Path:
    return fakes.write_coco(root, fakes.GOOD_BOXES)


def _yolo(root: Path) -> Path:
    return fakes.write_yolo(root, {"a": "1 0.5 0.5 0.31 0.2\n0 .25 .5 .1 .1\n", "b": ""})


def _plain_yolo(root: Path) -> Path:
    fakes.save_pictures(root, ["a.jpg", "b.jpg"])
    (root / "a.txt").write_text("1 0.5 0.5 0.31 0.2\n")
    (root / "classes.txt").write_text("zebra\nant\n")
    return root


def _box_shards(root: Path) -> Path:
    rows = [{"bbox": [8, 4, 20.5, 9], "category": kind} for kind in ("zebra", "ant")]
    members = {
        "a.jpg": jpeg(9),
        "a.json": json.dumps({"annotations": [{**rows[0], "iscrowd": 1}, rows[1]]}).encode(),
        **{"b.jpg": jpeg(9), "b.json": b'{"annotations": []}'},
    }
    write_tar(root / "shard-0.tar", members)
    (root / "classes.txt").write_text("zebra\nant\n")
    return root


BOXES: dict[str, Callable[[Path], Path]] = {
    "COCO": _coco,
    "Pascal VOC": fakes.write_voc,
    "YOLO": _yolo,
    "YOLO without data.yaml": _plain_yolo,
    "webdataset shards": _box_shards,
}


@pytest.mark.parametrize("target", sorted(BOX_TARGETS))
@pytest.mark.parametrize("name", BOXES)
def test_boxes(tmp_path: Path, name: str, target: str) -> None:
    """To COCO and back to each format that is written: all but what that rounds or lacks."""
    path = BOXES[name](tmp_path / "in")
    found = recognise(path, "boxes")
    assert name in found.kind.formats
    parts = dict(found.kind.open_parts(path, CheckOptions()))
    write_boxes(BOX_TARGETS["coco"], parts, tmp_path / "coco", link=False)
    between = open_boxes(tmp_path / "coco")
    write_boxes(BOX_TARGETS[target], between, tmp_path / "out", link=False)
    back = open_boxes(tmp_path / "out")
    assert between.keys() == back.keys() == parts.keys()
    for split, data in parts.items():
        ours = rows_of(turned(data, upright=False))
        theirs, last = rows_of(between[split]), rows_of(back[split])
        # VOC has one folder for both parts, whose pictures have the same names here.
        last = {file.replace("_2", ""): rows for file, rows in last.items()}
        assert theirs.keys() == last.keys() == ours.keys()
        assert between[split].classes == data.classes
        for file, rows in ours.items():
            assert [row[:2] for row in theirs[file]] == [row[:2] for row in rows]
            kept = [row for row in rows if target != "yolo" or not row[1]]
            assert [row[:2] for row in last[file]] == [row[:2] for row in kept]
            for one, other in zip(rows, theirs[file], strict=True):
                assert other[2:] == (pytest.approx(one[2]), pytest.approx(one[3]))
            far = 0.5 if target == "voc" else 1e-9
            for one, other in zip(kept, last[file], strict=True):
                assert other[3] == pytest.approx(one[3], abs=far, rel=0)
