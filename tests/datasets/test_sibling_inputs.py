"""Inputs like those that people have sent, each with its right answer."""

import gzip
import shutil
from pathlib import Path

import pytest

from datasets.boxes.opening import open_detection
from datasets.boxes.tree import count_described
from datasets.errors import InputError
from datasets.kinds import recognise
from datasets.labels.opening import open_labelled
from datasets.shards.tar import members
from tests.datasets.box_sets import coco, save_pictures, told, write, yolo
from tests.datasets.label_fakes import write_folders
from tests.datasets.tar_fakes import jpeg, write_tar


def test_a_set_below_folders_that_hold_one_folder_each(tmp_path: Path) -> None:
    (tmp_path / "set").mkdir()
    yolo(tmp_path / "set/set")
    (tmp_path / "__MACOSX").mkdir()
    data = open_detection(tmp_path, "all")
    assert (len(data), data.format) == (6, "yolo")
    assert data.evidence.endswith(", in set/set/")
    assert recognise(tmp_path).kind.name == "boxes"


def test_label_files_in_capitals(tmp_path: Path) -> None:
    for file in (yolo(tmp_path) / "labels").iterdir():
        file.rename(file.with_suffix(".TXT"))
    assert len(open_detection(tmp_path, "all").boxes) == 6


def test_a_confidence_behind_each_box(tmp_path: Path) -> None:
    yolo(tmp_path, more=" 0.93")
    with pytest.raises(InputError, match=r"0.txt:1: 6 numbers; .* a confidence behind the box"):
        open_detection(tmp_path, "all")


@pytest.mark.parametrize(("one", "other"), [("cat", "cat "), ("caf\u00e9", "cafe\u0301")])
def test_classes_that_look_alike(tmp_path: Path, one: str, other: str) -> None:
    counts = told(write_folders(tmp_path, {one: 3, other: 3, "dog": 3}))
    (detail,) = (text for kind, text in counts.items() if kind.startswith("classes that look"))
    assert ascii(one) in detail
    assert ascii(other) in detail


def test_a_list_in_utf16_is_no_stray_file(tmp_path: Path) -> None:
    write_folders(tmp_path, {"a": 3, "b": 3})
    rows = "image\tlabel\na/0.png\tx\nb/0.png\ty\n"
    (tmp_path / "labels.csv").write_text(rows, encoding="utf-16")
    with pytest.raises(InputError, match=r"labels.csv: not text in UTF-8"):
        open_labelled(tmp_path, "all")


def test_compressed_files_are_to_be_unpacked(tmp_path: Path) -> None:
    file = tmp_path / "set/annotations/instances_all.json"
    content = coco(tmp_path / "set")
    write(tmp_path / "set", content)
    file.with_suffix(".json.gz").write_bytes(gzip.compress(file.read_bytes()))
    file.unlink()
    for read in (recognise, lambda path: open_detection(path, "all")):
        with pytest.raises(InputError, match=r"instances_all.json.gz: archives are not read: unp"):
            read(tmp_path / "set")
    shard = write_tar(tmp_path / "0.tar", {"0.jpg": jpeg(9), "0.cls": b"1"})
    shard.write_bytes(gzip.compress(shard.read_bytes()))
    with pytest.warns(UserWarning, match="it is compressed: unpack it by gzip -d"):
        assert [*members(shard)] == []


def test_a_wrong_suffix_does_not_matter(tmp_path: Path) -> None:
    save_pictures(tmp_path / "a", ["0.png", "1.png"])
    shutil.copytree(tmp_path / "a", tmp_path / "b")
    (tmp_path / "a/0.png").rename(tmp_path / "a/0.jpg")
    data = open_labelled(tmp_path, "all")
    assert [data.image(k).shape for k in range(4)] == [(48, 64, 3)] * 4


def test_a_picture_is_described_once(tmp_path: Path) -> None:
    for number in range(4):
        (tmp_path / f"{number}.jpg").touch()
    for suffix in (".xml", ".txt"):
        (tmp_path / f"0{suffix}").touch()
    assert count_described(tmp_path) == (1, 4)
