"""Boxes written as COCO, VOC, YOLO and shards are the boxes that were read."""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image as PilImage

from datasets.boxes.checking import examine
from datasets.boxes.opening import open_detection, open_parts
from datasets.boxes.structure import DetectionData
from datasets.boxes.turning import turn_points, turned
from datasets.boxes.writing import TARGETS, write_boxes
from datasets.errors import InputError
from datasets.images import turn_upright
from datasets.kind import Written
from datasets.types import ClassMap
from tests.datasets.box_sets import save_pictures, yolo
from tests.datasets.converted import box_sets, clean, make_set, rows_of

CLASSES = ClassMap((1, 2, 3), ("cat", "dog", "no"))
class_lists = st.lists(clean, min_size=3, max_size=3, unique=True)


def write(
    target: str, parts: dict[str, DetectionData], folder: Path, *, link: bool = False
) -> tuple[Written, dict[str, DetectionData]]:
    written = write_boxes(TARGETS[target], parts, folder, link=link)
    return written, open_parts(folder)


def assert_same(ours: DetectionData, back: DetectionData, *, far: float, areas: bool) -> None:
    there, found = rows_of(ours), rows_of(back)
    assert found.keys() == there.keys()
    for name, rows in there.items():
        assert [row[:2] for row in found[name]] == [row[:2] for row in rows]
        for one, other in zip(rows, found[name], strict=True):
            np.testing.assert_allclose(one[3], other[3], rtol=0, atol=far)
            if areas:
                assert one[2] == pytest.approx(other[2])


@contextmanager
def made(rows: Any, classes: ClassMap = CLASSES, **fields: bool) -> Iterator[DetectionData]:
    """A set beside which there is room."""
    with tempfile.TemporaryDirectory() as name:
        yield make_set(Path(name) / "in", rows, classes, **fields)


@pytest.mark.slow
@settings(deadline=None, max_examples=25)
@given(rows=box_sets(), called=class_lists, upright=st.booleans())
def test_all_is_the_same_in_coco(rows: Any, called: list[str], upright: bool) -> None:
    classes = ClassMap((1, 7, 90), tuple(called))
    with made(rows, classes, upright=upright) as data:
        written, back = write("coco", {"train": data, "val": data}, data.root.parent / "out")
        assert back.keys() == {"train", "val"}
        ours = turned(data, upright=False)
        assert_same(ours, back["train"], far=1e-9, areas=True)
        assert back["train"].classes == classes
        assert back["train"].annotation_ids.tolist() == data.annotation_ids.tolist()
        assert written.notes == ()
        assert written.parts["val"] == {"images": len(rows), "boxes": len(data.boxes)}


@pytest.mark.slow
@settings(deadline=None, max_examples=25)
@given(rows=box_sets(), called=class_lists, upright=st.booleans())
def test_all_but_crowds_is_the_same_in_yolo(rows: Any, called: list[str], upright: bool) -> None:
    classes = ClassMap((0, 1, 2), tuple(called))
    with made(rows, classes, upright=upright) as data:
        written, back = write("yolo", {"train": data}, data.root.parent / "out")
        ours = turned(data, upright=True)
        ours = ours.select(np.ones(len(ours), np.bool_), ~ours.iscrowd)
        assert_same(ours, back["train"], far=1e-9, areas=False)
        assert back["train"].classes == classes
        crowds = int(data.iscrowd.sum())
        told = [note for note in written.notes if "crowd" in note]
        expected = f"train: YOLO has no crowd flag: {crowds} crowd boxes are left out"
        assert told == ([expected] if crowds else [])


@pytest.mark.slow
@settings(deadline=None, max_examples=25)
@given(rows=box_sets(), upright=st.booleans())
def test_voc_has_whole_pixels(rows: Any, upright: bool) -> None:
    with made(rows, upright=upright) as data:
        written, back = write("voc", {"train": data}, data.root.parent / "out")
        ours = turned(data, upright=False)
        assert_same(ours, back["train"], far=0.5, areas=False)
        rounded = (np.abs(ours.boxes - np.round(ours.boxes)) > 1e-5).any(axis=1).sum()
        told = [note for note in written.notes if "whole pixels" in note]
        assert bool(told) == bool(rounded)


@pytest.mark.slow
@settings(deadline=None, max_examples=20)
@given(rows=box_sets(crowds=False), target=st.sampled_from(sorted(TARGETS)))
def test_a_round_trip_through_every_format_ends_where_it_began(rows: Any, target: str) -> None:
    """COCO, another format, COCO again: what VOC rounded once stays so."""
    with made(rows) as data:
        root = data.root.parent
        _, first = write("coco", {"train": data}, root / "first")
        _, there = write(target, first, root / "there")
        _, again = write("coco", there, root / "again")
        far = 0.5 if target == "voc" else 1e-9
        assert_same(first["train"], again["train"], far=far, areas=target in ("coco", "shards"))
        _, once_more = write(target, again, root / "more")
        far = 0 if target == "voc" else 1e-9
        assert_same(there["train"], once_more["train"], far=far, areas=False)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_points_turn_as_pixels_do(orientation: int) -> None:
    picture = np.zeros((6, 9, 3), np.uint8)
    x, y = 7, 2
    picture[y, x] = 255
    upright = turn_upright(picture, orientation)
    points = np.array([[x + 0.5, y + 0.5]])
    turn_points(points, orientation, (9, 6))
    column, row = (points[0] - 0.5).astype(int)
    assert upright[row, column, 0] == 255
    assert upright.sum() == 255 * 3


def test_pictures_are_the_same_bytes_copied_or_linked(tmp_path: Path) -> None:
    data = make_set(tmp_path / "in", [[], []], CLASSES)
    for link in (False, True):
        _, back = write("yolo", {"train": data}, tmp_path / f"out{link}", link=link)
        for source, file in zip(data.files, back["train"].files, strict=True):
            assert Path(file).read_bytes() == Path(source).read_bytes()
            assert Path(file).samefile(source) == link


@pytest.mark.slow
@pytest.mark.parametrize("target", sorted(TARGETS))
def test_names_that_cannot_stay(tmp_path: Path, target: str) -> None:
    """Two of one stem in two folders, blanks, hidden, bytes that are no text, no suffix."""
    odd = ["a/0.jpg", "b/0.jpg", "b/0.png", "my pic.jpg", ".1.jpg", "ch\udce2.jpg", "7", "#2.jpg"]
    data = make_set(tmp_path / "in", [[((0, 0.5, 0, 0.5), 1, False)]] * len(odd), CLASSES)
    files = []
    for file, name in zip(data.files.tolist(), odd, strict=True):
        moved = tmp_path / "in" / name
        moved.parent.mkdir(exist_ok=True)
        files.append(str(Path(file).rename(moved)))
    both = replace(data, files=np.array(files, np.str_))
    written, back = write(target, {"train": both, "val": both}, tmp_path / "out")
    assert len(back["train"]) == len(back["val"]) == len(odd)
    assert any("get other names" in note for note in written.notes)
    for split in ("train", "val"):
        content = sorted(back[split].content(k) for k in range(len(odd)))
        assert content == sorted(Path(file).read_bytes() for file in files)


@pytest.mark.parametrize("target", sorted(TARGETS))
def test_what_cannot_be_held_is_told(tmp_path: Path, target: str) -> None:
    row = [((0, 0.5, 0, 0.5), 1, False)]
    data = make_set(tmp_path / "in", [row, row, row], ClassMap((3, 17, 18), ("zoo", "dog", "a")))
    boxes = data.boxes.copy()
    boxes[1] = np.nan
    Path(data.files[2]).unlink()
    written, _ = write(target, {"train": replace(data, boxes=boxes)}, tmp_path / "out")
    notes = "\n".join(written.notes)
    assert "1 images left out, whose file is missing" in notes
    assert "1 boxes left out, which are no numbers" in notes
    assert ("no areas: those of 1 outlines" in notes) == (target in ("voc", "yolo"))
    assert ("get other ids" in notes) == (target != "coco")
    assert ("lists no classes: 2 without a box" in notes) == (target == "voc")


def test_a_set_of_missing_pictures_is_refused(tmp_path: Path) -> None:
    data = make_set(tmp_path / "in", [[]], CLASSES)
    Path(data.files[0]).unlink()
    with pytest.raises(ValueError, match="no image of the part train is there"):
        write("coco", {"train": data}, tmp_path / "out")


def test_a_class_that_xml_cannot_hold(tmp_path: Path) -> None:
    classes = ClassMap((1, 2, 3), ("a\x00b", "dog", "a"))
    data = make_set(tmp_path / "in", [[((0, 0.5, 0, 0.5), 0, False)]], classes)
    with pytest.raises(ValueError, match=r"class 'a\\x00b' cannot be written as XML"):
        write("voc", {"train": data}, tmp_path / "out")


@pytest.mark.parametrize("target", sorted(TARGETS))
def test_odd_pictures_are_told_as_what_they_are(tmp_path: Path, target: str) -> None:
    """Not as rounded: one is damaged, and one of another size than is annotated."""
    row = [((0.25, 0.75, 0.25, 0.75), 1, False)]
    data = make_set(tmp_path / "in", [row] * 4, CLASSES)
    boxes = np.array([[4, 4, 16, 12]] * 4, np.float64)
    damaged, other, bare, _ = map(Path, data.files.tolist())
    damaged.write_bytes(damaged.read_bytes()[:50])
    bare.write_bytes(b"no picture")
    PilImage.new("RGB", (50, 40)).save(other)
    sizes = data.sizes.copy()
    sizes[2] = 0
    made = replace(data, boxes=boxes, sizes=sizes)
    written, back = write(target, {"train": made}, tmp_path / "out")
    notes = "\n".join(written.notes)
    assert "train: 1 images left out, which cannot be read, and nothing states" in notes
    assert "1 images are damaged or of no kind that is read" in notes
    assert str(damaged) in notes
    assert f"stay as annotated: {other} (50x40 pixels, annotated as (16, 24))" in notes
    assert "rounded" not in notes
    assert ("keep their place as shares of the image" in notes) == (target == "yolo")
    assert len(back["train"]) == 3
    kept = back["train"].boxes[[0, 2] if target != "yolo" else [2]]
    np.testing.assert_allclose(kept, boxes[: len(kept)], atol=1e-9)


def test_a_part_without_pictures_is_left_out_and_named(tmp_path: Path) -> None:
    root = yolo(tmp_path / "set", more="")
    (root / "test/images").mkdir(parents=True)
    with (root / "data.yaml").open("a") as file:
        file.write("test: test/images\n")
    (tmp_path / "out").mkdir()
    written = write_boxes(TARGETS["coco"], open_parts(root), tmp_path / "out", link=False)
    assert [*written.parts] == ["train"]
    assert f"test: left out, without images: there is none in {root}/test/images" in written.notes
    with pytest.raises(InputError, match=r"no images: .*there is none in"):
        examine(open_detection(root, "test")).raise_if_refused()
    (root / "test/labels").mkdir()
    save_pictures(root / "test/images", ["9.png"])
    (root / "test/labels/9.txt").write_text("7 .5 .5 .2 .2\n")
    with pytest.raises(InputError, match=r"test/labels/9.txt:1: class 7 is not among the listed"):
        open_parts(root)
