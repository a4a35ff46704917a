"""Classification sets: recognised, read, parted, and wrong ones named."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image as PilImage
from scipy.io import savemat  # type: ignore[import-untyped]

from datasets.images import read_image, read_orientation, turn_upright
from datasets.labels.opening import open_labelled, read_wanted
from datasets.labels.structure import (
    LabelledData,
    choose_classes,
    cut_to_boxes,
    hold_out,
    name_classes,
)
from datasets.types import ClassMap
from tests.datasets.label_fakes import (
    save_photos,
    write_dogs,
    write_folders,
    write_pets,
    write_tiny,
)


def names(data: LabelledData) -> list[str]:
    return [Path(file).name for file in data.files]


def labels(data: LabelledData) -> list[str]:
    return [data.classes.names[k] for k in data.labels]


@pytest.mark.parametrize("val", ["val", "valid", "validation", "test"])
def test_folders_with_splits(tmp_path: Path, val: str) -> None:
    root = write_folders(tmp_path, {"train/cat": 2, "train/ant": 1, f"{val}/cat": 1, ".x/y": 1})
    train, held = open_labelled(root, "train"), open_labelled(root, "val")
    assert (train.format, train.classes) == ("folders", ClassMap((0, 1), ("ant", "cat")))
    assert train.labels.tolist() == [0, 1, 1]
    assert train.counts.tolist() == [1, 2]
    assert labels(held) == ["cat"]  # Fewer classes to validate on: the columns stay.
    assert held.classes == train.classes
    assert train.image(0).shape == (20, 24, 3)


def test_test_part_gives_way_to_val(tmp_path: Path) -> None:
    root = write_folders(tmp_path, {"train/a": 1, "val/a": 1, "test/a": 3})
    assert len(open_labelled(root, "val")) == 1


def test_imagenet_columns_are_those_of_the_list(tmp_path: Path) -> None:
    root = write_folders(tmp_path, {"val/n00000003": 2, "val/n00000001": 1})
    rows = "n00000001 crane\nn00000002 tench, Tinca\nn00000003 crane\n"
    (root / "synsets.txt").write_text(rows)
    data = open_labelled(root, "val")
    assert data.classes.ids == (1, 2, 3)
    assert data.classes.names == ("crane (n00000001)", "tench", "crane (n00000003)")
    assert data.counts.tolist() == [1, 0, 2]
    with pytest.raises(ValueError, match="holds nothing to train on"):
        open_labelled(root, "train")
    (root / "synsets.txt").write_text(rows[:16])
    with pytest.raises(ValueError, match=r"'n00000003' is not in synsets\.txt; the nearest is"):
        open_labelled(root, "val")


def test_numbers_as_folders_keep_their_value(tmp_path: Path) -> None:
    data = open_labelled(write_folders(tmp_path, {"1": 1, "10": 1, "2": 1}), "all")
    assert data.classes == ClassMap((1, 10, 2), ("1", "10", "2"))
    assert choose_classes(data, ["2", "10"]).classes.names == ("2", "10")


def test_tiny_imagenet(tmp_path: Path) -> None:
    train, val = (open_labelled(write_tiny(tmp_path / s), s) for s in ("train", "val"))
    assert train.format == "tiny_imagenet"
    assert train.classes == ClassMap((2, 1), ("goldfish", "crane"))
    assert train.counts.tolist() == [3, 3]
    assert names(val) == ["val_0.JPEG", "val_1.JPEG"]
    assert val.labels.tolist() == [0, 1]
    (tmp_path / "val/val/val_annotations.txt").write_text("val_0.JPEG\tn00000007\n")
    with pytest.raises(ValueError, match=r"val_annotations.txt: class 'n00000007' .* nearest"):
        open_labelled(tmp_path / "val", "val")


def test_stanford_dogs(tmp_path: Path) -> None:
    root = write_dogs(tmp_path)
    train, val = open_labelled(root, "train"), open_labelled(root, "val")
    assert train.format == "stanford_dogs"
    assert train.classes == ClassMap((2085620, 2085782), ("Chihuahua", "Japanese_spaniel"))
    assert train.labels.tolist() == [0, 0, 1]
    assert train.boxes is not None
    assert val.boxes is not None
    # The union of two; VOC counts from 1.
    assert train.boxes[:2].tolist() == [[2, 1, 20, 12], [0, 0, 24, 20]]
    assert np.isnan(val.boxes).all()
    assert train.select(train.labels == 1).boxes.tolist() == [[1, 1, 9, 9]]


def test_stanford_dogs_without_lists(tmp_path: Path) -> None:
    root = write_dogs(tmp_path)
    for file in root.glob("*.mat"):
        file.unlink()
    assert len(open_labelled(root, "all")) == 4
    assert len(open_labelled(root, "val")) == 2  # One of each breed.


@pytest.mark.parametrize("content", ["none", "other"])
def test_a_broken_list_of_dogs_is_named(tmp_path: Path, content: str) -> None:
    file = write_dogs(tmp_path) / "train_list.mat"
    if content == "none":
        file.write_bytes(b"no matlab" * 40)
    else:
        savemat(file, {"labels": [1]})
    with pytest.raises(ValueError, match=r"train_list.mat: (not a MATLAB|no 'file_list')"):
        open_labelled(tmp_path, "train")


def test_pets(tmp_path: Path) -> None:
    root = write_pets(tmp_path)
    train, val = open_labelled(root, "train"), open_labelled(root, "val")
    assert train.format == "pets"
    assert train.classes == val.classes == ClassMap((6, 29), ("Bengal", "pug"))
    assert train.labels.tolist() == [1, 0]
    assert names(val) == ["pug_8.jpg"]
    (root / "annotations/test.txt").write_text("pug_8 29 2\n")
    with pytest.raises(ValueError, match=r"test.txt: line 1: 'pug_8 29 2'"):
        open_labelled(root, "val")
    (root / "annotations/test.txt").write_text("pug_8 28 2 20\n")
    with pytest.raises(ValueError, match="pug_8 has class 28, but others 29"):
        open_labelled(root, "val")


@pytest.mark.parametrize("sign", [",", ";", "\t"])
def test_csv(tmp_path: Path, sign: str) -> None:
    rows = ["path,label,split", "a/0.png,ten,train", "a/1.png,two,train", "a/2.png,ten,valid", ""]
    file = tmp_path / "list.csv"
    file.write_text("\n".join(rows).replace(",", sign), encoding="utf-8-sig")
    for path in (file, tmp_path):
        train, val = open_labelled(path, "train"), open_labelled(path, "val")
        assert (train.format, train.classes.names) == ("csv", ("ten", "two"))
        assert labels(train) == ["ten", "two"]
        assert val.files.tolist() == [str(tmp_path / "a/2.png")]


def test_csv_files_per_split_and_numbers(tmp_path: Path) -> None:
    (tmp_path / "train.csv").write_text('file,class\n"a, b.png",10\nc.png,9\n')
    (tmp_path / "val.csv").write_text("file,class\nd.png,9\n")
    (tmp_path / "notes.csv").write_text("date,weather\n1,2\n")
    train, val = open_labelled(tmp_path, "train"), open_labelled(tmp_path, "val")
    assert train.classes == ClassMap((9, 10), ("9", "10"))
    assert names(train) == ["a, b.png", "c.png"]
    assert val.labels.tolist() == [0]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("name,weight\nx,1\n", r"list.csv: the first line must name the columns, path and label"),
        ("path,label\na.png,\n", r"list.csv: line 2: 2 fields, and number 2 is empty"),
        ("path,label\na.png\n", r"list.csv: line 2: 1 fields, and number 2 is empty"),
        ("path,label,split\na,b,trian\n", r"line 2: split 'trian'; the nearest is 'train'"),
        ("path,label,split\na,cat,train\nb,cot,val\n", r"'cot' is not one .* nearest is 'cat'"),
    ],
)
def test_broken_csv_is_named(tmp_path: Path, text: str, message: str) -> None:
    file = tmp_path / "list.csv"
    file.write_text(text)
    with pytest.raises(ValueError, match=message):
        open_labelled(file, "val")


def test_a_class_of_validation_alone_is_an_error(tmp_path: Path) -> None:
    root = write_folders(tmp_path, {"train/cat": 2, "train/dog": 1, "val/cats": 1})
    with pytest.raises(ValueError, match=r"class folder 'cats' is not in train/; the nearest is "):
        open_labelled(root, "train")


def test_what_is_no_set_is_told_so(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="no such file or folder"):
        open_labelled(tmp_path / "nothing", "train")
    save_photos(tmp_path, ["0.png"])
    with pytest.raises(ValueError, match="not recognised as a classification data set"):
        open_labelled(tmp_path, "train")
    root = write_folders(tmp_path / "two", {"train/cat": 2, "val/cat": 1})
    with pytest.raises(ValueError, match="holds train and val; choose one"):
        open_labelled(root, "all")


def fake_set(counts: dict[str, int]) -> LabelledData:
    files = [f"/set/{name}/{k}.jpg" for name, count in counts.items() for k in range(count)]
    keys = np.repeat(np.arange(len(counts)), list(counts.values()))
    return LabelledData("folders", Path("/set"), np.array(files), keys, name_classes(list(counts)))


@pytest.mark.slow
@given(st.dictionaries(st.text("abc", min_size=1), st.integers(0, 40), min_size=1, max_size=6))
def test_holding_out_parts_each_class_and_is_stable(counts: dict[str, int]) -> None:
    data = fake_set(counts)
    if max(counts.values()) < 2:
        with pytest.raises(ValueError, match="no class has two images"):
            hold_out(data, "val")
        return
    train, val = hold_out(data, "train"), hold_out(data, "val")
    assert sorted([*train.files, *val.files]) == sorted(data.files)
    for whole, ours, theirs in zip(data.counts, train.counts, val.counts, strict=True):
        assert ours + theirs == whole
        assert (ours > 0) == (whole > 0)
        assert (theirs > 0) == (whole > 1)
    rng = np.random.default_rng(0)
    order = rng.permutation(len(data))
    mixed = LabelledData(
        data.format, data.root, data.files[order], data.labels[order], data.classes
    )
    assert set(hold_out(mixed, "val").files) == set(val.files)


def test_about_a_fifth_is_held_out() -> None:
    counts = hold_out(fake_set({"a": 1000, "b": 1000}), "val").counts
    assert ((counts > 160) & (counts < 240)).all()


def test_one_more_photo_moves_no_other() -> None:
    """Nor does one whose name stands in another folder already."""
    files = [f"/set/{name}/{name}{k}.jpg" for name in "ab" for k in range(100)]
    labels, classes = np.repeat([0, 1], 100), name_classes(["a", "b"])
    before = LabelledData("folders", Path("/set"), np.array(files), labels, classes)
    more = np.array([*files, "/set/b/a0.jpg"])
    after = replace(before, files=more, labels=np.append(labels, 1))
    held = set(hold_out(after, "val").files) - {"/set/b/a0.jpg"}
    assert held == set(hold_out(before, "val").files)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_boxes_are_of_the_stored_pixels(tmp_path: Path, orientation: int) -> None:
    """A photo that EXIF turns is cut first, and then turned."""
    stored = np.zeros((40, 60, 3), np.uint8)
    stored[4:20, 6:22] = (0, 250, 0)
    stored[4:12, 6:22] = (250, 0, 0)
    file, exif = tmp_path / "photo.jpg", PilImage.Exif()
    exif[0x0112] = orientation
    PilImage.fromarray(stored).save(file, quality=100, subsampling=0, exif=exif)
    pixels = read_image(file, upright=False)
    upright = read_image(file, upright=True)
    assert np.array_equal(turn_upright(pixels, read_orientation(file)), upright)
    box = np.array([[6.0, 4.0, 22.0, 20.0]])
    labels = np.zeros(1, np.int64)
    whole = LabelledData(
        "x", tmp_path, np.array([str(file)]), labels, name_classes(["a"]), boxes=box
    )
    cut = cut_to_boxes(whole, margin=0).image(0)
    assert cut.shape == (16, 16, 3)
    assert cut.max(axis=2).min() > 200, "something beside the box is in it"
    half = {1: cut[:7], 2: cut[:7], 3: cut[9:], 4: cut[9:]}
    half |= {5: cut[:, :7], 6: cut[:, 9:], 7: cut[:, 9:], 8: cut[:, :7]}
    assert half[orientation][..., 0].min() > 200, "it is not turned"


def test_a_name_goes_before_an_id() -> None:
    """Folders 1, 2 and cat get the ids 0 to 2: 1 is a name here and an id there."""
    data = fake_set({"1": 2, "2": 2, "cat": 2})
    assert data.classes.ids == (0, 1, 2)
    with pytest.raises(ValueError, match=r"'1' is the name of one class \(id 0\) and the id of"):
        choose_classes(data, ["cat", "1"])
    assert choose_classes(data, ["cat", "0"]).classes.names == ("cat", "1")
    assert choose_classes(fake_set({"7": 1, "3": 1}), ["3", "7"]).classes.names == ("3", "7")


def test_chosen_classes_come_in_the_order_wanted(tmp_path: Path) -> None:
    data = open_labelled(write_dogs(tmp_path), "train")
    chosen = choose_classes(data, ["Japanese_spaniel", "n02085620"])
    assert chosen.classes == ClassMap((2085782, 2085620), ("Japanese_spaniel", "Chihuahua"))
    assert chosen.labels.tolist() == [1, 1, 0]
    only = choose_classes(data, ["2085782"])
    assert (names(only), only.labels.tolist()) == (["n02085782_2.jpg"], [0])
    assert only.boxes is not None
    assert only.boxes.tolist() == [[1, 1, 9, 9]]


@pytest.mark.parametrize(
    ("wanted", "message"),
    [
        (["Chihuaua"], "no class has the id or name 'Chihuaua'; the nearest is 'Chihuahua'"),
        (["n00000001"], "'n00000001'; they are Chihuahua, Japanese_spaniel"),
        (["Chihuahua", "n02085620"], "'n02085620' is wanted twice"),
        ([], "list of wanted classes is empty"),
    ],
)
def test_classes_that_cannot_be_chosen(tmp_path: Path, wanted: list[str], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        choose_classes(open_labelled(write_dogs(tmp_path), "train"), wanted)


def test_a_list_of_classes(tmp_path: Path) -> None:
    file = tmp_path / "some.txt"
    file.write_text("n02085620  # the first\n\n# none\nJapanese_spaniel\n")
    assert read_wanted(file) == ["n02085620", "Japanese_spaniel"]
    with pytest.raises(ValueError, match="no such file"):
        read_wanted(tmp_path / "other.txt")


@pytest.mark.parametrize(
    ("name", "split", "expected"),
    [
        ("tiny-imagenet-16", "train", ("tiny_imagenet", 8000, 16)),
        ("tiny-imagenet-16", "val", ("tiny_imagenet", 800, 16)),
        ("imagenet", "val", ("folders", 500, 1000)),
        ("pets", "train", ("pets", 300, 3)),
        ("pets", "val", ("pets", 298, 3)),
    ],
)
def test_real_sets(real_data: Path, name: str, split: Any, expected: tuple[Any, ...]) -> None:
    data = open_labelled(real_data / name, split)
    assert (data.format, len(data), len(data.classes)) == expected
    assert all(data.image(k).ndim == 3 for k in range(0, len(data), 97))


def test_subsets_of_tiny_imagenet(real_data: Path) -> None:
    root = real_data / "tiny-imagenet-16"
    data = open_labelled(root, "train")
    for file, count in (("ten_classes.txt", 10), ("dog_classes.txt", 6)):
        chosen = choose_classes(data, read_wanted(root / file))
        assert len(chosen.classes) == count
        assert chosen.counts.tolist() == [500] * count
    assert "Chihuahua" in chosen.classes.names


def test_a_set_that_is_kept_whole(tmp_path: Path) -> None:
    """With another set to evaluate on, none of it is held out; its own parts stay parts."""
    lone = write_folders(tmp_path / "lone", {"a": 5, "b": 5})
    assert len(open_labelled(lone, "train")) == 8
    for split in ("train", "val"):
        assert len(open_labelled(lone, split, whole=True)) == 10
    parted = write_folders(tmp_path / "parted", {"train/a": 4, "train/b": 3, "val/a": 2})
    assert len(open_labelled(parted, "train", whole=True)) == 7
    assert len(open_labelled(parted, "val", whole=True)) == 2
