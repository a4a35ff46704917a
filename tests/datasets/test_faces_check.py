"""The doctor of faces: pairs without photos, people with one, copies, damage in archives."""

import pickle
from pathlib import Path

import pytest

from datasets.findings import Examination
from datasets.identities.checking import examine_faces, open_examined
from datasets.identities.opening import find_face_parts, open_faces
from datasets.identities.structure import FaceData
from tests.datasets.face_fakes import FOLDS, picture, write_pairs, write_people
from tests.datasets.record_files import write_records


@pytest.fixture
def people(tmp_path: Path) -> Path:
    """Six people with three photos each."""
    return write_people(tmp_path / "people", dict.fromkeys("ABCDEF", 3))


def examine(path: Path, decode: bool = False) -> Examination[FaceData]:
    return open_examined(path, "all", None, decode=decode)


def test_sound_faces(people: Path) -> None:
    checkup = examine(people)
    assert not checkup.findings
    assert checkup.summary["people"] == 6
    assert "18 faces of 6 people, format identities, alignment none" in checkup.describe()
    write_pairs(people, "3 1", *FOLDS)
    checkup = examine(people)
    assert not checkup.findings
    assert checkup.summary["pairs"] == {"same": 3, "different": 3, "folds": 3}
    assert len(checkup.data) == 18, "images of no pair are examined too"
    assert "3 pairs of one person and 3 of two, in 3 folds" in checkup.describe()
    assert len(open_examined(people, "val", None, decode=False).data) == 11


def test_each_missing_photo_of_a_pair_is_named(people: Path) -> None:
    write_pairs(people, "3 1", *FOLDS)
    for name in ("B_Person/B_Person_0003", "E_Person/E_Person_0001"):
        (people / f"{name}.png").unlink()
    checkup = examine(people)
    lost = [f for f in checkup.findings if f.kind == "pair without its image"]
    assert [(f.action, f.file.rpartition(": ")[2], f.detail) for f in lost] == [
        ("refused", "line 3", "no B_Person_0003"),
        ("refused", "line 6", "no E_Person_0001"),
    ]
    assert checkup.data.pairs is None


def test_a_pair_with_a_damaged_photo_is_refused(people: Path) -> None:
    write_pairs(people, "3 1", *FOLDS)
    (people / "C_Person/C_Person_0002.png").write_text("no image")
    checkup = examine(people)
    kinds = {f.kind: f for f in checkup.findings}
    assert kinds["unusable image"].action == "dropped"
    refused = kinds["pairs need an unusable image"]
    assert refused.action == "refused"
    assert refused.file.endswith("C_Person_0002.png")
    assert refused.detail.startswith("1 of 6 pairs")


def test_pairs_that_say_nothing_or_two_things(people: Path) -> None:
    """By content: a copy under another name is the same photo."""
    lines = (*FOLDS[:2], "A_Person 2 1", "A_Person 1 B_Person 3", "E_Person 1 2", *FOLDS[5:])
    write_pairs(people, "3 1", *lines)
    copy = people / "E_Person/E_Person_0002.png"
    copy.write_bytes((people / "E_Person/E_Person_0001.png").read_bytes())
    checkup = examine(people)
    assert checkup.counts() == {
        "pair listed twice (kept)": 2,
        "pair of one image (kept)": 1,
        "copy of an image (kept)": 1,
    }
    write_pairs(people, "3 1", *FOLDS)
    other = people / "B_Person/B_Person_0003.png"
    other.write_bytes((people / "A_Person/A_Person_0002.png").read_bytes())
    kinds = examine(people).counts()
    assert kinds["pair of one person and of two (kept)"] == 1
    assert kinds["copy in two identities (kept)"] == 1


def test_people_with_too_few_photos(tmp_path: Path) -> None:
    few = write_people(tmp_path / "few", {"A": 1, "B": 2, "C": 1})
    (few / "D_Person").mkdir()
    (few / "D_Person/a.png").write_text("no image")
    checkup = examine(few)
    told = {f.kind: f.detail for f in checkup.findings}
    assert told["identities of one image"].startswith("2 of 4 have a single one")
    assert told["identities without an image"].endswith("D_Person")
    assert not [f for f in checkup.findings if f.action == "refused"]
    alone = write_people(tmp_path / "alone", {"A": 1, "B": 1})
    refused = [f for f in examine(alone).findings if f.action == "refused"]
    assert [f.kind for f in refused] == ["nobody to compare"]


def test_people_and_photos_of_both_parts(tmp_path: Path) -> None:
    root = tmp_path / "set"
    write_people(root / "train", {"A": 2, "B": 2})
    write_people(root / "val", {"B": 2, "C": 2}, first=90)
    (root / "val/C_Person/C_Person_0001.png").write_bytes(picture(1))
    checkup = open_examined(root, "train", "val", decode=False)
    told = {f.kind: f for f in checkup.findings}
    assert told["people in both splits"].detail == "1 of 2; the first is B_Person"
    assert told["copy in both splits"].file.endswith("A_Person_0001.png")
    assert checkup.summary["people_in_both_splits"] == 1


def test_copies_within_the_other_part_are_its_own_affair(people: Path, tmp_path: Path) -> None:
    root = tmp_path / "parted"
    root.mkdir()
    write_pairs(people.rename(root / "val"), "3 1", *FOLDS)
    write_people(root / "train", {"X": 2, "Y": 2}, first=90)
    copy = root / "train/X_Person/X_Person_0001.png"
    copy.write_bytes((root / "train/X_Person/X_Person_0002.png").read_bytes())
    checkup = open_examined(root, "val", "train", decode=False)
    assert not any("pair" in f.kind or "copy" in f.kind for f in checkup.findings)
    assert checkup.summary["copies"] == 0


def test_every_picture_of_an_archive_is_decoded(tmp_path: Path) -> None:
    faces = [[picture(1), picture(2), picture(1)], [picture(3), picture(4)], [picture(5)] * 2]
    faces[1][1] = picture(4)[:-30]
    write_records(tmp_path / "a.rec", faces)
    checkup = examine(tmp_path / "a.rec")
    kinds = checkup.counts()
    assert kinds == {
        "copy of an image (kept)": 2,
        "unusable image (dropped)": 1,
        "identities of one image (kept)": 1,
    }
    assert checkup.findings[0].file == f"{tmp_path / 'a.rec'}#5"
    assert checkup.summary["alignment"] == "five_points"


def test_a_file_of_pairs_has_no_people(tmp_path: Path) -> None:
    """A photo stands in it as often as it is compared, which is no fault."""
    files = [picture(k) for k in (1, 2, 1, 3, 4, 5, 6, 6)]
    (tmp_path / "a.bin").write_bytes(pickle.dumps((files, [True, False, True, False])))
    checkup = examine(tmp_path / "a.bin")
    assert checkup.counts() == {"pair of one image (kept)": 1}
    assert checkup.summary["people"] is None
    assert "8 faces, format bin" in checkup.describe()
    files[3] = b"no picture"
    (tmp_path / "a.bin").write_bytes(pickle.dumps((files, [True, False, True, False])))
    assert "pairs need an unusable image (refused)" in examine(tmp_path / "a.bin").counts()


def test_too_many_broken_faces_are_refused(people: Path) -> None:
    for file in sorted(people.rglob("*.png"))[:6]:
        file.write_text("no image")
    findings = examine_faces(open_faces(people, "all")).findings
    assert any("6 of 18" in f.detail for f in findings if f.action == "refused")


def test_what_is_taken_for_faces(people: Path, tmp_path: Path) -> None:
    """Folders of pictures may be any classes; a list of pairs tells."""
    assert find_face_parts(people, named=False) is None
    assert find_face_parts(people, named=True) == ("train",)
    write_pairs(people, "3 1", *FOLDS)
    assert find_face_parts(people, named=False) == ("train",)
    (tmp_path / "a.bin").touch()
    assert find_face_parts(tmp_path / "a.bin", named=False) == ("val",)
    assert find_face_parts(tmp_path, named=False) is None


@pytest.mark.slow
def test_the_real_lfw(real_data: Path) -> None:
    checkup = examine(real_data / "lfw")
    assert checkup.summary["pairs"] == {"same": 3000, "different": 3000, "folds": 10}
    assert set(checkup.counts()) == {"identities of one image (kept)"}
