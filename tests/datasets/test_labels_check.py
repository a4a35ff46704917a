"""The label doctor names what is wrong, drops what cannot be read, refuses the rest."""

import shutil
from pathlib import Path

import pytest

from datasets.labels.checking import examine_labels
from datasets.labels.opening import open_labelled
from tests.datasets.label_fakes import write_folders


def test_good_data_is_left_alone(tmp_path: Path) -> None:
    root = write_folders(tmp_path, {"train/a": 4, "train/b": 6, "val/a": 1, "val/b": 1})
    train, val = open_labelled(root, "train"), open_labelled(root, "val")
    checkup = examine_labels(val, train)
    checkup.raise_if_refused()
    assert not checkup.findings
    assert len(checkup.data) == 2
    assert "nothing wrong was found" in checkup.describe()
    summary = examine_labels(train).summary
    assert summary["classes"] == {"a": 4, "b": 6}
    assert (summary["smallest_class"], summary["median_class"]) == (4, 5)


def test_unreadable_photos_are_dropped(tmp_path: Path) -> None:
    root = write_folders(tmp_path, {"a": 6, "b": 6})
    (root / "a/0.png").write_text("no image")
    (root / "b/5.png").write_bytes((root / "b/5.png").read_bytes()[:60])
    checkup = examine_labels(open_labelled(root, "all"))
    assert checkup.counts() == {"unusable image (dropped)": 2}
    assert checkup.data.counts.tolist() == [5, 5]
    assert checkup.data.left_out == checkup.summary["left_out"] == 2
    checkup.raise_if_refused()


def test_decoding_finds_more(tmp_path: Path) -> None:
    root = write_folders(tmp_path, {"a": 6, "b": 6})
    content = (root / "a/0.png").read_bytes()
    (root / "a/0.png").write_bytes(content[:200] + bytes(60) + content[260:])
    data = open_labelled(root, "all")
    assert not examine_labels(data).findings
    assert examine_labels(data, decode=True).counts() == {"unusable image (dropped)": 1}


def test_too_many_broken_photos_are_refused(tmp_path: Path) -> None:
    root = write_folders(tmp_path, {"a": 4, "b": 4})
    for k in range(2):
        (root / f"a/{k}.png").write_text("no image")
    with pytest.raises(ValueError, match=r"unreadable: 2 of 8; the first is .*a/0.png"):
        examine_labels(open_labelled(root, "all")).raise_if_refused()


def test_empty_classes_and_imbalance_are_told(tmp_path: Path) -> None:
    root = write_folders(tmp_path, {"a": 1, "b": 11, "c": 0})
    checkup = examine_labels(open_labelled(root, "all"))
    kinds = ("empty classes", "classes of one image", "imbalanced classes")
    assert checkup.counts() == {f"{kind} (kept)": 1 for kind in kinds}
    text = checkup.describe()
    assert "1 of 3 have a single image here: a" in text
    assert "1 of 3 have no image here: c" in text
    assert "'b' has 11 images, the smallest class 1" in text


def test_one_class_is_refused(tmp_path: Path) -> None:
    root = write_folders(tmp_path, {"a": 3})
    with pytest.raises(ValueError, match="one class only: a; a classifier needs two"):
        examine_labels(open_labelled(root, "all")).raise_if_refused()


def test_no_photos_are_refused(tmp_path: Path) -> None:
    root = write_folders(tmp_path, {"a": 1, "b": 1})
    data = open_labelled(root, "all")
    with pytest.raises(ValueError, match="no images: the set lists none"):
        examine_labels(data.select(data.labels < 0)).raise_if_refused()


def test_copies_are_named(tmp_path: Path) -> None:
    root = write_folders(tmp_path, {"train/a": 4, "train/b": 4, "val/a": 1, "val/b": 1})
    shutil.copy(root / "train/a/0.png", root / "train/a/1.png")
    shutil.copy(root / "train/a/2.png", root / "train/b/3.png")
    shutil.copy(root / "train/a/3.png", root / "val/a/0.png")
    train, val = open_labelled(root, "train"), open_labelled(root, "val")
    checkup = examine_labels(train)
    assert checkup.counts() == {"copy of an image (kept)": 1, "copy in two classes (kept)": 1}
    assert checkup.summary["copies"] == 2
    assert "the same image is a and b" in checkup.describe()
    across = examine_labels(val, train)
    assert across.counts() == {"copy in both splits (kept)": 1}
    assert across.summary["copies_in_other_split"] == 1
    (finding,) = across.findings
    assert finding.file.endswith("val/a/0.png")
    assert finding.detail.endswith("train/a/3.png")


@pytest.mark.slow
def test_real_sets_are_healthy(real_data: Path) -> None:
    for name in ("tiny-imagenet-16", "pets"):
        val = open_labelled(real_data / name, "val")
        checkup = examine_labels(val)
        checkup.raise_if_refused()
        assert len(checkup.data) == len(val)
