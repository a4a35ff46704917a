"""Shards with boxes: what counts as such, what is read of them, and what is refused."""

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from datasets.boxes.augmentation import DetectionTransform
from datasets.boxes.opening import open_detection, open_parts
from datasets.boxes.structure import DetectionData
from datasets.boxes.torch_set import DetectionSet
from datasets.boxes.tree import Hints
from datasets.boxes.writing import TARGETS, write_boxes
from datasets.errors import InputError
from datasets.kind import CheckOptions
from datasets.kinds import recognise
from datasets.ledger import ARCHIVES, traced
from datasets.shards.tar import open_shards
from tests.datasets.box_sets import coco, doctor, save_pictures, told, write
from tests.datasets.tar_fakes import jpeg, write_tar

BOX = [4.0, 2.0, 12.5, 10.0]  # x, y, width, height in pictures of 24 x 20.
CORNERS = [4.0, 2.0, 16.5, 12.0]
LINE = b"1 0.4270833333 0.35 0.5208333333 0.5\n"


def coco_like(kind: str | int = "cat", key: str = "category", **more: Any) -> dict[str, Any]:
    return {"annotations": [{"bbox": BOX, key: kind, **more}]}


def lists(kind: str | int = "cat") -> dict[str, Any]:
    return {"boxes": [CORNERS], "labels": [kind]}


def shard(file: Path, *told: dict[str, Any] | bytes, suffix: str = ".json") -> Path:
    """An archive of a picture with each, by numbers."""
    members = {}
    for k, one in enumerate(told):
        members[f"{k:04d}.jpg"] = jpeg(20 + 30 * k)
        text = one if isinstance(one, bytes) else json.dumps(one).encode()
        members[f"{k:04d}{suffix}"] = text
    return write_tar(file, members)


def is_right(data: DetectionData, names: tuple[str, ...], labels: list[int]) -> None:
    assert data.format == "shards"
    np.testing.assert_allclose(data.boxes, [CORNERS] * len(labels), atol=1e-6)
    assert data.sizes.tolist() == [[24, 20]] * len(data)
    assert (data.classes.names, data.labels.tolist()) == (names, labels)


@pytest.mark.parametrize("make", [coco_like, lists])
def test_names_in_the_samples(tmp_path: Path, make: Any) -> None:
    shard(tmp_path / "000000.tar", make("cat"), make("ant"))
    is_right(open_detection(tmp_path, "all"), ("ant", "cat"), [2, 1])


@pytest.mark.parametrize(
    "make",
    [coco_like, lists, lambda number: coco_like(number, "category_id")],
)
def test_numbers_count_the_listed_names(tmp_path: Path, make: Any) -> None:
    shard(tmp_path / "000000.tar", make(1), make(0))
    is_right(open_detection(tmp_path, "all"), ("0", "1"), [2, 1])
    (tmp_path / "classes.txt").write_text("dog\ncat\nemu\n")
    data = open_detection(tmp_path, "all")
    is_right(data, ("dog", "cat", "emu"), [2, 1])
    assert data.classes.ids == (0, 1, 2)


def test_lines_of_yolo(tmp_path: Path) -> None:
    shard(tmp_path / "train/0.tar", b"", LINE, b"0 .5 .5 1 1\n" + LINE, suffix=".txt")
    with pytest.raises(InputError, match=r"names the classes: add classes\.txt with a name"):
        open_detection(tmp_path, "train")
    (tmp_path / "classes.txt").write_text("dog\ncat\n")
    data = open_detection(tmp_path, "all")
    assert (data.upright, np.diff(data.offsets).tolist()) == (True, [0, 1, 2])
    np.testing.assert_allclose(data.boxes, [CORNERS, [0, 0, 24, 20], CORNERS], atol=1e-6)
    assert data.labels.tolist() == [2, 1, 2]


def test_all_that_a_sample_tells(tmp_path: Path) -> None:
    one = coco_like(iscrowd=1, area=33.5)
    shard(tmp_path / "0.tar", {**one, "width": 48, "height": 40}, {"annotations": []}, coco_like())
    data = open_detection(tmp_path, "all")
    assert data.iscrowd.tolist() == [True, False]
    assert data.areas.tolist() == [33.5, 125.0]
    assert data.sizes.tolist() == [[48, 40], [24, 20], [24, 20]]
    assert np.diff(data.offsets).tolist() == [1, 0, 1]


@pytest.mark.parametrize("names", [("train/0.tar", "val/0.tar"), ("a-train-0.tar", "a-val-0.tar")])
def test_parts(tmp_path: Path, names: tuple[str, str]) -> None:
    shard(tmp_path / names[0], coco_like("cat"), coco_like("dog"))
    shard(tmp_path / names[1], coco_like("emu"))
    parts = open_parts(tmp_path)
    assert {split: len(data) for split, data in parts.items()} == {"train": 2, "val": 1}
    for data in parts.values():  # Each knows the classes of both.
        assert data.classes.names == ("cat", "dog", "emu")
    assert recognise(tmp_path).parts == ("train", "val")
    is_right(open_detection(tmp_path, "val"), ("cat", "dog", "emu"), [3])
    assert len(open_detection(tmp_path / names[0], "all")) == 2


def test_patterns(tmp_path: Path) -> None:
    for k in range(4):
        shard(tmp_path / f"train-{k:06d}.tar", coco_like("cat"), coco_like("dog"))
    shard(tmp_path / "val-000000.tar", coco_like("cat"))
    path = tmp_path / "train-{000001..000003}.tar"
    data = open_detection(path, "train", whole=True)
    assert len(data) == 6
    assert {Path(file).parent.name for file in data.files} == {
        f"train-00000{k}.tar" for k in (1, 2, 3)
    }
    assert sum(len(open_detection(path, split)) for split in ("train", "val")) == 6
    assert list(open_parts(tmp_path / "val-{000000..000000}.tar")) == ["val"]
    found = recognise(path)
    assert (found.kind.name, found.parts) == ("boxes", ("train",))
    with traced() as trace:
        checkup = found.kind.examine(path, found.parts, CheckOptions())
    assert len(checkup.data) == 6
    (ledger,) = trace.account(path)
    assert (ledger.used[ARCHIVES], ledger.seen) == (3, 5)
    for task in (None, "detection"):
        with pytest.raises(InputError, match=r"train-000004.tar: the shard is missing \(1 of 3\)"):
            recognise(tmp_path / "train-{000002..000004}.tar", task)
    with pytest.raises(InputError, match=r"b.tar: no such file or folder"):
        recognise(tmp_path / "b.tar", "detection")


def test_a_pattern_of_labels_stays_such(tmp_path: Path) -> None:
    for k in range(2):
        write_tar(tmp_path / f"{k}.tar", {"0.jpg": jpeg(3), "0.cls": b"1"})
    assert recognise(tmp_path / "{0..1}.tar").kind.name == "labels"
    with pytest.raises(InputError, match="not recognised as a detection data set"):
        open_detection(tmp_path / "{0..1}.tar", "all")
    with pytest.raises(InputError, match=r"1}.tar: not recognised. A detection data set holds"):
        recognise(tmp_path / "{0..1}.tar", "detection")


def test_pictures_are_read_out_of_shards(tmp_path: Path) -> None:
    for k in range(3):
        shard(tmp_path / f"{k}.tar", *[coco_like()] * 4)
    parts = [open_detection(tmp_path, split) for split in ("train", "val")]
    assert sum(map(len, parts)) == 12
    for data in (*parts, open_detection(tmp_path, "all")):
        samples = DetectionSet(data, DetectionTransform(16, "none"))
        for index, file in enumerate(data.files.tolist()):
            member = Path(file).name
            value = 20 + 30 * int(member[:4])
            assert data.content(index) == jpeg(value)
            assert abs(int(data.image(index)[3, 3, 0]) - value) <= 3
            sample = samples[0, index]
            assert (sample.file, sample.size) == (file, (24, 20))
            assert sample.image.shape == (16, 16, 3)


def test_the_doctor(tmp_path: Path) -> None:
    members = {
        "a.jpg": jpeg(10),
        "a.json": json.dumps(coco_like()).encode(),
        "b.jpg": jpeg(10),
        "b.json": json.dumps(coco_like()).encode(),
        "lone.json": b"{}",
        "lone2.jpg": jpeg(9),
        **{f"{k}.jpg": jpeg(50 + 9 * k) for k in range(8)},
        **{f"{k}.json": json.dumps(coco_like()).encode() for k in range(8)},
        "broken.jpg": jpeg(33)[:-40],
        "broken.json": json.dumps(coco_like()).encode(),
    }
    write_tar(tmp_path / "train/0.tar", members)
    shard(tmp_path / "val/0.tar", coco_like())
    write_tar(tmp_path / "val/1.tar", {"c.jpg": jpeg(10), "c.json": members["a.json"]})
    found = recognise(tmp_path)
    for decode in (False, True):
        options = CheckOptions(decode=decode)
        checkup = found.kind.examine(tmp_path, found.parts, options)
        checkup.raise_if_refused()
        told = {f.kind: f for f in checkup.findings}
        assert len(checkup.data) == 10
        assert told["images without .json"].detail == "1 (in the shards): lone2.jpg"
        assert told[".json without image"].detail == "1 (in the shards): lone.json"
        assert told["copy of an image"].detail == f"of {tmp_path}/train/0.tar/a.jpg"
        assert told["copy in both splits"].detail == f"the same as {tmp_path}/val/1.tar/c.jpg"
        files = {f.file for f in checkup.findings if f.action == "dropped"}
        assert f"{tmp_path}/train/0.tar/broken.jpg" in files


def test_another_size_is_told(tmp_path: Path) -> None:
    shard(tmp_path / "0.tar", *[{**coco_like(), "width": 48, "height": 20}] * 2, coco_like())
    details = [f.detail for f in doctor(tmp_path).findings]
    assert details.count("24x20 pixels, annotated as (48, 20)") == 2


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (b'{"annotations": [', r"0001\.json: line 1, column 18: not valid JSON"),
        (b"\xff", r"0001\.json: not text in UTF-8"),
        (b"[]", r"0001\.json: .*an object with named fields is needed"),
        (b"{}", r"0001\.json: no 'boxes'; annotations with bbox and category, or a list of boxes"),
        (b'{"annotations": 3}', r"0001\.json: annotations: 3; a list is needed"),
        (b'{"annotations": [{"bbox": [1, 2, 3]}]}', r"annotations\[0\]\.bbox: .* four numbers x"),
        (b'{"annotations": [{"bbox": [1, 2, 3, 4]}]}', r"annotations\[0\]: no 'category'"),
        (b'{"boxes": [[1, 2, 3, 4]], "labels": []}', "labels: .* a list of 1 classes is needed"),
        (b'{"boxes": [[1, 2, 3]], "labels": [1]}', "object 0.boxes: .* four numbers x1"),
        (b'{"boxes": [[1, 2, 3, 4]], "labels": [2]}', "classes of classes.txt are 0 to 1"),
        (b'{"boxes": [[1, 2, 3, 4]], "labels": ["emu"]}', "'emu'; it is not among the names"),
    ],
)
def test_what_a_sample_lacks_is_told_with_its_place(
    tmp_path: Path, text: bytes, message: str
) -> None:
    (tmp_path / "classes.txt").write_text("dog\ncat\n")
    file = shard(tmp_path / "0.tar", coco_like(), text)
    with pytest.raises(InputError, match=message) as caught:
        open_detection(tmp_path, "all")
    assert str(caught.value).startswith(f"{file}: 0001.json: ")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (b"cat .5 .5 1 1", r"0001.txt:1: 'cat .5 .5 1 1' is not made of numbers"),
        (LINE + b"2 .5 .5 1 1", r"0001.txt:2: class 2 is not among the listed 0..1"),
        (b"\xff", r"0001.txt: not text in UTF-8"),
    ],
)
def test_lines_that_are_not_yolos(tmp_path: Path, text: bytes, message: str) -> None:
    (tmp_path / "classes.txt").write_text("dog\ncat\n")
    shard(tmp_path / "0.tar", LINE, text, suffix=".txt")
    with pytest.raises(InputError, match=message):
        open_detection(tmp_path, "all")


@pytest.mark.slow
def test_a_shard_that_is_cut_short(tmp_path: Path) -> None:
    file = shard(tmp_path / "0.tar", *[coco_like()] * 6)
    content = file.read_bytes()
    sample = 2 * 512 + 1024 + 512  # Headers, a picture, and its boxes, in blocks.
    for length in range(sample + 100, 6 * sample, 997):
        file.write_bytes(content[:length])
        with pytest.warns(UserWarning, match=r"0\.tar: damaged .* the rest of it is left out"):
            count = len(open_detection(tmp_path, "all"))
        assert length // sample <= count <= (length + 512) // sample
    file.write_bytes(b"no archive")
    with pytest.raises(InputError, match="not recognised as a detection"):
        open_detection(tmp_path, "all")


@pytest.mark.parametrize(
    "more",
    [
        {"0.cls": b"1", "0.json": json.dumps(coco_like()).encode()},
        {"0.json": b'{"label": 1, "boxes": [], "labels": []}'},
    ],
)
def test_shards_of_labels_stay_such(tmp_path: Path, more: dict[str, bytes]) -> None:
    write_tar(tmp_path / "0.tar", {"0.jpg": jpeg(3), **more})
    assert recognise(tmp_path).kind.name == "labels"
    with pytest.raises(InputError, match="boxes in shards are read for detection alone, from a"):
        open_detection(tmp_path, "all")


@pytest.mark.parametrize("told", [b'{"objects": {"bbox": []}}', b'{"caption": "a cat"}', b"[1]"])
def test_other_archives_are_none(tmp_path: Path, told: bytes) -> None:
    write_tar(tmp_path / "0.tar", {"0.jpg": jpeg(3), "0.json": told, "0.txt": b"a cat"})
    with pytest.raises(InputError, match="not recognised as a detection data set"):
        open_detection(tmp_path, "all")


def test_boxes_are_no_labels(tmp_path: Path) -> None:
    shard(tmp_path / "0.tar", coco_like())
    with pytest.raises(InputError, match=r"0.tar: 0000.json: boxes in shards are read for det"):
        open_shards(tmp_path)


def test_an_archive_beside_what_came_out_of_it(tmp_path: Path) -> None:
    write(tmp_path / "set", coco(tmp_path / "set"))
    file = shard(tmp_path / "set/download.tar", coco_like())
    assert open_detection(tmp_path / "set", "all").format == "coco"
    assert open_detection(tmp_path / "set", "all", hints=Hints("shards")).format == "shards"
    assert open_detection(file, "all").format == "shards"
    for name in ("ants", "bees"):
        save_pictures(tmp_path / "classes" / name, ["0.png"])
    shutil.copy(file, tmp_path / "classes")
    assert recognise(tmp_path / "classes").kind.name == "labels"
    with pytest.raises(InputError, match="images lie beside the shards, in ants/, bees/; move"):
        open_detection(tmp_path / "classes", "all")


@pytest.mark.parametrize("target", ["coco", "voc", "yolo", "shards"])
def test_written_as_any_format(tmp_path: Path, target: str) -> None:
    """Names that come twice, in two shards, and bytes that stay."""
    for k in range(2):
        shard(tmp_path / f"in/{k}.tar", coco_like("cat"), coco_like("dog", iscrowd=int(k == 0)))
    parts = open_parts(tmp_path / "in")
    write_boxes(TARGETS[target], parts, tmp_path / "out", link=True)
    (back,) = open_parts(tmp_path / "out").values()
    assert sorted(back.content(k) for k in range(4)) == sorted([jpeg(20), jpeg(50)] * 2)
    assert len(back.boxes) == (3 if target == "yolo" else 4)
    for k in range(4):
        kinds = [back.classes.names[label - 1] for label in back.target(k)["labels"]]
        assert kinds in ([["cat"]] if back.content(k) == jpeg(20) else [["dog"], []])


def test_written_shards_hold_a_sample_for_each(tmp_path: Path) -> None:
    write(tmp_path / "in", coco(tmp_path / "in"))
    write_boxes(TARGETS["shards"], open_parts(tmp_path / "in"), tmp_path / "out", link=False)
    assert (tmp_path / "out/classes.txt").read_text() == "car\nbus\n"
    assert told(tmp_path / "out") == {}
    (back,) = open_parts(tmp_path / "out").values()
    for k in range(6):
        name = Path(back.files[k]).name
        assert back.content(k) == (tmp_path / "in/images" / name).read_bytes()


def test_a_name_that_is_no_line(tmp_path: Path) -> None:
    content = coco(tmp_path / "in")
    content["categories"][1]["name"] = "b\nus"
    write(tmp_path / "in", content)
    with pytest.raises(InputError, match=r"class 'b\\nus' cannot be a line of a list; rename it"):
        write_boxes(TARGETS["shards"], open_parts(tmp_path / "in"), tmp_path / "o", link=False)


def test_the_ledger_has_the_shards_of_the_part_alone(tmp_path: Path) -> None:
    for part in ("train", "val"):
        shard(tmp_path / f"{part}-0.tar", coco_like())
    with traced() as trace:
        open_detection(tmp_path, "train")
    (ledger,) = trace.account(tmp_path)
    assert (ledger.used[ARCHIVES], ledger.lost) == (1, 1)
