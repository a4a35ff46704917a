"""The data doctor as a tool, on face attributes, faces by identity, and places."""

import json
from pathlib import Path
from typing import Any

import pytest

from datasets.builtin.places import draw_places
from tests.conftest import Tool
from tests.datasets.attribute_fakes import write_celeba, write_lfwa
from tests.datasets.face_fakes import FOLDS, picture, write_pairs, write_people
from tests.datasets.label_fakes import save_photos
from tests.datasets.place_fakes import gps, photo, write_list
from tests.datasets.record_files import write_records
from tests.tools.mistakes import expect


def found(tool: Tool, *args: object, status: int = 0) -> dict[str, Any]:
    """The report, and the counts of its findings as ``counts``."""
    code, text, err = tool("check_data", *args, "--json")
    assert code == status, err
    report: dict[str, Any] = json.loads(text)
    kinds = [finding["kind"] for finding in report["findings"]]
    return {**report, "counts": {kind: kinds.count(kind) for kind in kinds}}


@pytest.mark.slow
def test_face_attributes(tool: Tool, tmp_path: Path) -> None:
    root = write_celeba(tmp_path / "c", people=(1, 2, 3, 4, 1, 6))
    photos = root / "img_align_celeba"
    (photos / "000006.jpg").write_bytes((photos / "000001.jpg").read_bytes())
    report = found(tool, root)
    assert (report["task"], report["images"]) == ("face_attributes", 4)
    assert report["prevalence"]["Eyeglasses"] == 0.5
    assert report["counts"]["people in both splits"] == 1
    assert report["counts"]["copy in both splits"] == 1, "the part to test on is another, too"
    whole = found(tool, root, "--split", "all")
    assert whole["images"] == 6
    assert whole["counts"]["copy with other attributes"] == 1
    val = found(tool, root, "--split", "val")
    assert val["counts"]["attribute that never varies"] == 3, "prevalence 0 or 1"
    expect(tool("check_data", root), "4 images of 4 people, format celeba", status=0)
    text = (root / "list_attr_celeba.txt").read_text()
    (root / "list_attr_celeba.txt").write_text(
        text.replace("000003.jpg  1  1", "000003.jpg  1  2")
    )
    expect(tool("check_data", root), "list_attr_celeba.txt: line 5: '2' is neither 1 nor -1")
    lfwa = found(tool, write_lfwa(tmp_path / "l"))
    assert (lfwa["format"], lfwa["images"]) == ("lfwa", 12)


def test_an_unparted_set_of_attributes_is_examined_whole(tool: Tool, tmp_path: Path) -> None:
    root = write_celeba(tmp_path, parts=None)
    (root / "img_align_celeba/000002.jpg").write_bytes(b"\xff\xd8 cut")
    report = found(tool, root)
    assert (report["images"], report["left_out"]) == (5, 1)
    assert report["counts"]["unusable image"] == 1
    assert found(tool, root, "--split", "val")["images"] < 5


@pytest.mark.slow
def test_faces_by_identity(tool: Tool, tmp_path: Path) -> None:
    root = write_people(tmp_path / "p", {**dict.fromkeys("ABCDEF", 3), "G": 1})
    assert found(tool, root)["task"] == "classification"
    report = found(tool, root, "--task", "face_embedding")
    assert (report["task"], report["people"]) == ("face_embedding", 7)
    assert report["counts"] == {"identities of one image": 1}
    write_pairs(root, "3 1", *FOLDS)
    report = found(tool, root)
    assert (report["task"], report["pairs"]["folds"]) == ("face_embedding", 3)
    (root / "E_Person/E_Person_0003.png").unlink()
    report = found(tool, root, status=2)
    assert report["refused"]
    assert report["counts"]["pair without its image"] == 1
    answer = tool("check_data", root)
    expect(answer, "refused: pair without its image", "pairs.txt: line 6: no E_Person_0003")


@pytest.mark.slow
def test_faces_in_archives_and_parts(tool: Tool, tmp_path: Path) -> None:
    write_records(tmp_path / "train.rec", [[picture(1), picture(2)], [picture(3), picture(1)]])
    expect(
        tool("check_data", tmp_path / "train.rec"),
        "4 faces of 2 people, format recordio",
        "copy in two identities",
        status=0,
    )
    root = tmp_path / "parted"
    write_people(root / "train", {"A": 2, "B": 2})
    write_people(root / "val", dict.fromkeys("BCDEF", 3), first=50)
    flags = ("--task", "face_embedding")
    assert found(tool, root, *flags)["people_in_both_splits"] == 1
    assert found(tool, root, *flags, "--split", "val")["people"] == 5


@pytest.mark.slow
def test_places(tool: Tool, tmp_path: Path) -> None:
    root = draw_places(tmp_path / "places", num_photos=30, num_authors=9, size=32)
    for path in (root, root / "places.csv"):
        report = found(tool, path)
        assert (report["task"], report["images"], report["authors"]) == ("geolocation", 30, 9)
        assert not report["findings"]
    parts = [found(tool, root, "--split", split)["images"] for split in ("train", "val")]
    assert sum(parts) == 30
    assert min(parts) > 0
    photo(tmp_path / "tagged/a.jpg", gps(10, 20))
    photo(tmp_path / "tagged/b.jpg")
    report = found(tool, tmp_path / "tagged")
    assert (report["task"], report["counts"]) == ("geolocation", {"no position": 1})


def test_places_that_are_refused(tool: Tool, tmp_path: Path) -> None:
    file = write_list(tmp_path, [f"{k}.jpg,x{k},{100 + k},{k}" for k in range(12)])
    expect(
        tool("check_data", file),
        "refused: no positions",
        "refused: latitude and longitude swapped",
        "12 of 12 positions are none, but would be the other way round",
    )


def test_parts_of_places(tool: Tool, tmp_path: Path) -> None:
    """By a column of the list: an author in both, and a photo to validate on that was copied."""
    rows = ["a.jpg,train,x,1,2", "b.jpg,train,y,3,4", "c.jpg,val,y,5,6"]
    (tmp_path / "list.csv").write_text("\n".join(["id,split,author,lat,lon", *rows]))
    for name in "abc":
        photo(tmp_path / f"{name}.jpg")  # All the same.
    report = found(tool, tmp_path)
    assert report["images"] == 2
    assert report["counts"] == {
        "copy at another place": 1,
        "copy in both splits": 2,
        "authors in both splits": 1,
    }
    assert found(tool, tmp_path, "--split", "val")["images"] == 1


def test_a_list_of_labels_may_tell_positions(tool: Tool, tmp_path: Path) -> None:
    save_photos(tmp_path, ["a.png", "b.png"])
    (tmp_path / "l.csv").write_text("path,label,lat,lon\na.png,cat,1,2\nb.png,dog,3,4\n")
    assert found(tool, tmp_path / "l.csv")["task"] == "classification"
    report = found(tool, tmp_path / "l.csv", "--task", "geolocation")
    assert (report["task"], report["images"]) == ("geolocation", 2)


@pytest.mark.parametrize(
    ("task", "needs"),
    [
        ("face_attributes", "One of face attributes holds img_align_celeba/ and"),
        ("face_embedding", "One of faces by identity is a folder of images per identity"),
        ("geolocation", "One of places is a list with the columns LAT, LON"),
    ],
)
def test_what_is_none_of_them(tool: Tool, tmp_path: Path, task: str, needs: str) -> None:
    file = tmp_path / "notes.txt"
    file.write_text("nothing")
    expect(tool("check_data", file, "--task", task), "notes.txt: not recognised.", needs)


def test_flags_of_others_are_refused(tool: Tool, tmp_path: Path) -> None:
    root = write_celeba(tmp_path)
    answer = tool("check_data", root, "--classes", "list.txt")
    expect(answer, f"--classes list.txt: {root} is examined for face_attributes")
    answer = tool("check_data", root, "--size", 320)
    expect(answer, f"--size 320: {root} is examined for face_attributes")
