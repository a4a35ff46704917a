"""Inputs behind public bug reports, beside the real samples: each has its right answer.

Remakes of them that are drawn, and their siblings, are in the other tests of this folder.
"""

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from datasets.boxes.opening import open_detection
from datasets.errors import InputError
from datasets.identities.opening import open_faces
from datasets.kinds import recognise
from datasets.labels.opening import open_labelled
from datasets.positions.opening import open_places
from datasets.shards.tar import open_shards
from tests.datasets.box_sets import doctor, refused, told
from tests.skips import NO_SAMPLES

Find = Callable[[str], Path]


@pytest.fixture
def wild(request: pytest.FixtureRequest, tmp_path: Path) -> Find:
    """A copy of a folder, for some readers write beside what they read."""

    def find(name: str) -> Path:
        samples: Path = request.getfixturevalue("real_data")
        source = samples.parent / "wild" / name
        if not source.exists():
            pytest.skip(NO_SAMPLES)
        copy = tmp_path / source.name
        (shutil.copytree if source.is_dir() else shutil.copy)(source, copy)
        return copy

    return find


@pytest.mark.parametrize(
    "name",
    [
        "01b-crowd-string",
        "02-huge-image-id",
        "03-json-bom",
        "03c-string-ids",
        "04-yolo-pose",
        "05-names-flipped",
        "13-xmp-turned",
        "17-roboflow-twin",
    ],
)
def test_boxes_as_they_are(wild: Find, name: str) -> None:
    data = open_detection(wild(f"data/{name}"), "all")
    np.testing.assert_allclose(data.boxes, [[10, 8, 30, 28]] * 6, atol=1e-4)
    assert data.classes.names == ("car", "bus")
    assert data.labels.tolist() == [1, 2] * 3
    for k in range(6):
        assert data.image(k).shape[1::-1] == tuple(data.sizes[k])


def test_class_names_in_utf8(wild: Find) -> None:
    data = open_detection(wild("data/06-locale"), "all")
    assert data.classes.names == ("M\u00f6we", "Gr\u00fcnfink")


@pytest.mark.parametrize(
    ("name", "parts"),
    [
        ("01-crowd-only", ("no boxes", "all 6 are marked as crowd")),
        ("03b-json-cut", ("instances_all.json", "column 1000", "ends too early")),
        ("14-geo-same-name", ("no positions",)),
    ],
)
def test_what_is_refused_says_where(wild: Find, name: str, parts: tuple[str, ...]) -> None:
    refused(wild(f"data/{name}"), *parts)


def test_listed_pictures_without_xml(wild: Find) -> None:
    root = wild("data/07-voc-negatives")
    assert open_detection(root, "train").classes.names == ("car",)
    (detail,) = (text for kind, text in told(root).items() if kind.startswith("listed"))
    assert detail.startswith("3 of 6")
    assert detail.endswith("p0, p1, p2")


@pytest.mark.parametrize(
    ("name", "classes", "count"),
    [
        ("10-capital-split", ("cat", "dog"), 16),
        ("11-jfif", ("cat", "dog"), 16),
        ("19-macosx", ("cat", "dog"), 12),
        ("b10-stray-xml", ("ants", "bees"), 10),
        ("b12-evaluate-a-fifth/test", ("a", "b"), 20),
        ("b13-stray-json-cls", ("ants", "bees"), 10),
        ("b13-stray-yaml", ("ants", "bees"), 10),
    ],
)
def test_classes(wild: Find, name: str, classes: tuple[str, ...], count: int) -> None:
    root = wild(f"data/{name}")
    assert recognise(root).kind.name == "labels"
    data = open_labelled(root, "train", whole=True)
    assert (data.classes.names, len(data)) == (classes, count)


@pytest.mark.parametrize(
    ("name", "count", "lost"),
    [("12b-shard-no-label", 6, {"images without a label": 2}), ("12c-shard-appledouble", 8, {})],
)
def test_shards(wild: Find, name: str, count: int, lost: dict[str, int]) -> None:
    data = open_shards(wild(f"data/{name}"))
    assert (len(data), len(data.classes), data.passed_over) == (count, 2, lost)


def test_photos_as_listed(wild: Find) -> None:
    root = wild("data/14c-geo-copy-below")
    found = open_places(root, "all").files.tolist()
    assert found == [str(root / f"{k}.jpg") for k in range(8)]
    with pytest.raises(InputError, match=r"8 several images fit.*photos/0\.jpg, thumbs/0\.jpg"):
        open_places(wild("data/14-geo-same-name"), "all")


def test_xml_beside_pictures_in_parts(wild: Find) -> None:
    root = wild("data/b05-voc-train-test")
    assert [len(open_detection(root, part)) for part in ("train", "test")] == [6, 3]


@pytest.mark.parametrize(
    ("name", "count"),
    [("b05-yolo-no-yaml", 6), ("b11-yolo-val-is-train", 6), ("b13-stray-json", 6)],
)
def test_yolo(wild: Find, name: str, count: int) -> None:
    root = wild(f"data/{name}")
    data = open_detection(root, "train", whole=True)
    assert (data.classes.names, len(data.boxes)) == (("duck",), count)


def test_copies_without_labels_and_one_part_twice(wild: Find) -> None:
    for name in ("b11-yolo-val-is-train", "b13-stray-json"):
        counts = doctor(wild(f"data/{name}")).counts()
        assert counts["the same files in both splits (kept)"] == 1
        assert counts["copy of an image (kept)"] == 6
        assert counts["images without label file (kept)"] == 1


def test_people_in_folders(wild: Find) -> None:
    assert open_faces(wild("data/b08-gallery-names/people"), "train", whole=True).counts.size == 2


def test_a_stray_click(wild: Find) -> None:
    root = wild("data/b09-voc-click")
    assert told(root)["stray click (dropped)"].startswith("x1 y1 x2 y2 = 503, 336, 504, 337")
    assert len(doctor(root).data.boxes) == len(open_detection(root, "all").boxes) - 1


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("voc", r"Annotations/a\.xml: <size> has <width> 'abc'"),
        ("yolo", r"labels/a\.txt:1: class inf"),
        ("coco", r"instances_train2017\.json: images\[0\]\.file_name: null"),
        ("yaml", r"data\.yaml: line 2, column 10: .* alias"),
        ("a.tar", r"a\.tar: a\.cls: 999999999999"),
        ("memo.bin", r"memo\.bin: not a verification set: .*byte 3"),
    ],
)
def test_faults(wild: Find, name: str, said: str) -> None:
    root = wild(f"faults/{name}")
    with pytest.raises(InputError, match=said):
        doctor(root)


def test_faults_beside_others(wild: Find) -> None:
    """A list without its photos, an index without end, and counts that cannot be the shard's."""
    with pytest.raises(InputError, match=r"lfw_att_40\.mat: not a MATLAB file that can be read"):
        doctor(wild("faults/lfw_att_40.mat").parent)
    wild("faults/train.idx")
    with pytest.raises(InputError, match=r"train\.rec: record 1 .*the index ends at 2"):
        doctor(wild("faults/train.rec"))
    wild("faults/shards.count.json")
    with pytest.raises(InputError, match="labels are numbers below 100000"):
        open_shards(wild("faults/a.tar"))
