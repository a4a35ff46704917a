"""Face attributes: CelebA's and LFWA's files, their parts, and what the doctor finds."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import numpy as np
import pytest

from datasets.attributes.checking import examine_attributes
from datasets.attributes.opening import open_attributes
from datasets.attributes.structure import UNKNOWN, choose_attributes, read_photos
from datasets.types import ClassMap
from tests.datasets.attribute_fakes import (
    LFWA_LABELS,
    NAMES,
    SIGNS,
    write_celeba,
    write_lfwa,
    write_lfwa_hdf5,
)

WANTED = (np.array(SIGNS) > 0).astype(np.int8)


def test_celeba_by_its_own_parts(tmp_path: Path) -> None:
    found = open_attributes(write_celeba(tmp_path, people=(5, 5, 7, 8, 9, 9)))
    assert found.data.attributes.names == NAMES
    np.testing.assert_array_equal(found.data.values, WANTED)
    sizes = [len(found.part(part)) for part in ("train", "val", "test")]
    assert sizes == [4, 1, 1]
    train = found.part("train")
    assert train.people is not None
    assert train.people.tolist() == [5, 5, 7, 8]
    np.testing.assert_allclose(train.prevalence, WANTED[:4].mean(axis=0))
    assert found.part("test").image(0).mean() == pytest.approx(150, abs=1)
    assert len(train.photos) == 4
    assert train.photos.classes == train.attributes


def test_celeba_as_csv_in_the_folders_of_its_archives(tmp_path: Path) -> None:
    plain, other = write_celeba(tmp_path / "plain"), tmp_path / "csv"
    rows = (plain / "list_attr_celeba.txt").read_text().splitlines()[2:]
    head = ",".join(("image_id", *NAMES))
    (other / "Anno").mkdir(parents=True)
    lines = [",".join(row.split()) for row in rows]
    (other / "Anno" / "list_attr_celeba.csv").write_text("\n".join([head, *lines]))
    parts = [f"{row.split()[0]},{k // 2}" for k, row in enumerate(rows)]
    (other / "list_eval_partition.csv").write_text("\n".join(["image_id,partition", *parts]))
    (other / "img_align_celeba").mkdir()
    (plain / "img_align_celeba").rename(other / "img_align_celeba" / "img_align_celeba")
    found = open_attributes(other)
    np.testing.assert_array_equal(found.data.values, WANTED)
    assert found.parts.tolist() == [0, 0, 1, 1, 2, 2]
    assert found.data.image(3).mean() == pytest.approx(90, abs=1)


def test_people_are_never_parted(tmp_path: Path) -> None:
    root = write_celeba(tmp_path, parts=None, people=(1, 2, 1, 2, 1, 2))
    found = open_attributes(root)
    train, val = found.part("train"), found.part("val")
    assert {*train.people.tolist()} | {*val.people.tolist()} == {1, 2}
    assert not {*train.people.tolist()} & {*val.people.tolist()}
    assert not found.has("test")
    assert len(open_attributes(root, whole=True).part("train")) == 6


@pytest.mark.parametrize(
    ("file", "old", "new", "message"),
    [
        (
            "list_attr_celeba.txt",
            "000003.jpg  1  1 -1",
            "000003.jpg  1 -1",
            "line 5: 2 values for",
        ),
        ("list_attr_celeba.txt", "000003.jpg  1  1", "000003.jpg  1  x", "line 5: 'x' is neither"),
        ("list_attr_celeba.txt", "000003.jpg  1  1", "000003.jpg  1  0", "both -1 and 0"),
        ("list_attr_celeba.txt", "Smiling", "Eyeglasses", "'Eyeglasses' occurs twice"),
        ("list_eval_partition.txt", "000002.jpg 0\n", "", "the first is 000002.jpg"),
        ("list_eval_partition.txt", "000002.jpg 0", "000002.jpg 3", "part of 000002.jpg is none"),
        ("list_eval_partition.txt", "000002.jpg 0", "000002.jpg", "line 2: '000002.jpg'; a file"),
    ],
)
def test_damaged_lists_are_named(
    tmp_path: Path, file: str, old: str, new: str, message: str
) -> None:
    path = write_celeba(tmp_path) / file
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))
    with pytest.raises(ValueError, match=message) as caught:
        open_attributes(tmp_path)
    assert str(tmp_path) in str(caught.value)


def test_a_list_cut_short_is_told(tmp_path: Path) -> None:
    path = write_celeba(tmp_path) / "list_attr_celeba.txt"
    path.write_text(path.read_text().replace("6", "7", 1))
    with pytest.warns(UserWarning, match="says that it lists 7 images, but it lists 6"):
        open_attributes(tmp_path)


def test_what_is_not_recognised(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="no such folder"):
        open_attributes(tmp_path / "nowhere")
    with pytest.raises(ValueError, match=r"not recognised .*list_attr_celeba.*lfw_att_40"):
        open_attributes(tmp_path)
    (tmp_path / "list_attr_celeba.txt").write_text("0\nSmiling\n")
    with pytest.raises(ValueError, match="no folder of images"):
        open_attributes(tmp_path)


@pytest.mark.parametrize("write", [write_lfwa, write_lfwa_hdf5])
def test_lfwa_in_both_of_matlabs_formats(tmp_path: Path, write: object) -> None:
    assert callable(write)
    found = open_attributes(write(tmp_path))
    assert found.data.attributes.names == NAMES
    np.testing.assert_array_equal(found.data.values, LFWA_LABELS)
    assert len(found.part("test")) == 4
    train, val = found.part("train"), found.part("val")
    assert len(train) + len(val) == 12
    assert not {*train.people.tolist()} & {*val.people.tolist()}
    assert found.part("test").image(0).mean() == pytest.approx(120, abs=1)


def test_lfwa_without_h5py(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_lfwa_hdf5(tmp_path)
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: None)
    with pytest.raises(ValueError, match=r"format 7.3; to read it, pip install h5py"):
        open_attributes(tmp_path)


def test_lfwa_damaged(tmp_path: Path) -> None:
    write_lfwa(tmp_path)
    (tmp_path / "indices_train_test.mat").write_bytes(b"no matlab")
    with pytest.raises(ValueError, match="not a MATLAB file"):
        open_attributes(tmp_path)
    (tmp_path / "lfw").rename(tmp_path / "elsewhere")
    with pytest.raises(ValueError, match=r"no image Person_A/Person_A_0001\.jpg"):
        open_attributes(tmp_path)


def test_some_attributes_in_the_order_wanted(tmp_path: Path) -> None:
    data = open_attributes(write_celeba(tmp_path)).data
    some = choose_attributes(data, ("Wearing_Hat", "Eyeglasses"))
    assert some.attributes.names == ("Wearing_Hat", "Eyeglasses")
    np.testing.assert_array_equal(some.values, WANTED[:, [2, 0]])
    with pytest.raises(ValueError, match="no attribute 'Smilling'; the nearest is 'Smiling'"):
        choose_attributes(data, ("Smilling",))
    with pytest.raises(ValueError, match="occurs twice"):
        choose_attributes(data, ("Smiling", "Smiling"))


def test_photos_without_labels(tmp_path: Path) -> None:
    data = read_photos(write_celeba(tmp_path), ClassMap.from_names(list(NAMES), first=0))
    assert len(data) == 6
    assert (data.values == UNKNOWN).all()
    assert np.isnan(data.prevalence).all()
    checkup = examine_attributes(data)
    assert not checkup.findings
    (tmp_path / "empty").mkdir()
    with pytest.raises(ValueError, match="no images below"):
        read_photos(tmp_path / "empty", data.attributes)


def test_the_doctor(tmp_path: Path) -> None:
    root = write_celeba(tmp_path, people=(1, 2, 3, 4, 1, 6))
    photos = root / "img_align_celeba"
    (photos / "000002.jpg").write_bytes((photos / "000001.jpg").read_bytes())
    (photos / "000005.jpg").write_bytes((photos / "000003.jpg").read_bytes())
    found = open_attributes(root)
    checkup = examine_attributes(found.part("train"), found.part("val"))
    kinds = checkup.counts()
    assert kinds["copy with other attributes (kept)"] == 1
    assert kinds["copy in both splits (kept)"] == 1
    assert kinds["people in both splits (kept)"] == 1
    assert kinds["rare attribute (kept)"] == 3
    assert checkup.summary["prevalence"]["Eyeglasses"] == 0.5
    assert "Eyeglasses 50%" in checkup.describe()
    val = examine_attributes(found.part("val"))
    assert val.counts()["attribute that never varies (kept)"] == 3


def test_the_doctor_drops_and_refuses(tmp_path: Path) -> None:
    root = write_celeba(tmp_path, parts=(0,) * 5 + (1,))
    (root / "img_align_celeba" / "000002.jpg").write_bytes(b"\xff\xd8 cut")
    checkup = examine_attributes(open_attributes(root).part("train"))
    assert len(checkup.data) == 4
    assert checkup.data.left_out == 1
    checkup.raise_if_refused()
    (root / "img_align_celeba" / "000003.jpg").unlink()
    with pytest.raises(ValueError, match="2 of 5"):
        examine_attributes(open_attributes(root).part("train")).raise_if_refused()


def test_real_faces(real_data: Path) -> None:
    found = open_attributes(real_data / "faces_celeba_layout")
    assert [len(found.part(part)) for part in ("train", "val", "test")] == [1400, 200, 400]
    assert found.data.attributes.names == ("Male", "Young", "Child", "Senior")
    assert found.data.prevalence[0] == pytest.approx(0.5, abs=0.01)
    assert found.data.image(0).shape == (200, 200, 3)
    with pytest.warns(UserWarning, match="202599"):
        excerpt = open_attributes(real_data / "celeba10")
    assert len(excerpt.data.attributes) == 40
    assert excerpt.data.image(0).shape == (218, 178, 3)
