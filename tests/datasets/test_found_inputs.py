"""Inputs as people have them: any suffix, what unpackers leave, shards out of order."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from datasets.errors import InputError
from datasets.kind import CheckOptions
from datasets.kinds import recognise
from datasets.labels.opening import open_labelled
from datasets.names import safe_path, shown, shown_in
from datasets.positions.opening import LeftOut, open_places, read_places
from datasets.shards.photos import list_photos
from datasets.shards.tar import COUNT_FILE, NO_LABEL, NO_PICTURE, open_shards
from tests.datasets.label_fakes import write_picture
from tests.datasets.tar_fakes import jpeg, write_tar


def write_pictures(root: Path, *names: str) -> Path:
    for name in names:
        write_picture(root / name)
    return root


def test_half_a_class_in_jfif(tmp_path: Path) -> None:
    """Downloads from the web end in .jfif, which is a JPEG."""
    dogs = [f"dog/{k}.{'jfif' if k % 2 else 'jpg'}" for k in range(8)]
    data = open_labelled(write_pictures(tmp_path, "cat/0.jpg", "cat/1.jpg", *dogs), "all")
    assert data.counts.tolist() == [2, 8]
    assert data.image(3).shape == (20, 24, 3)


def test_folders_of_unpackers_and_servers_are_no_classes(tmp_path: Path) -> None:
    junk = ("__MACOSX/cat/._0.jpg", ".ipynb_checkpoints/0.jpg", "@eaDir/0.jpg", "cat/@eaDir/1.jpg")
    data = open_labelled(write_pictures(tmp_path, "cat/0.jpg", "dog/0.jpg", *junk), "all")
    assert data.classes.names == ("cat", "dog")
    assert data.counts.tolist() == [1, 1]


def test_parts_in_any_case_are_no_classes(tmp_path: Path) -> None:
    parts = [f"{part}/{name}/{k}.jpg" for part in ("Train", "Test") for name in "ab" for k in "12"]
    write_pictures(tmp_path, *parts)
    assert recognise(tmp_path).parts == ("train", "test")
    assert open_labelled(tmp_path, "val").classes.names == ("a", "b")


@pytest.mark.parametrize("folders", [("images", "labels"), ("images", "annotations", "more")])
def test_kinds_of_files_are_no_classes(tmp_path: Path, folders: tuple[str, ...]) -> None:
    write_pictures(tmp_path, *(f"{folder}/0.jpg" for folder in folders))
    with pytest.raises(InputError, match="not recognised"):
        open_labelled(tmp_path, "all")


def test_trains_are_a_class_beside_others(tmp_path: Path) -> None:
    write_pictures(
        tmp_path, *(f"{name}/{k}.jpg" for name in ("bus", "car", "train") for k in "12")
    )
    assert open_labelled(tmp_path, "all").classes.names == ("bus", "car", "train")


def test_records_without_a_label_are_counted(tmp_path: Path) -> None:
    members = {}
    for k in range(8):
        members[f"{k:04d}.jpg"] = jpeg(k)
        if k not in (1, 5):
            members[f"{k:04d}.cls"] = str(k % 2).encode()
    members["lone.cls"] = b"0"
    write_tar(tmp_path / "000000.tar", members)
    for _ in range(2):  # Counted, and remembered.
        data = open_shards(tmp_path)
        assert len(data) == 6
        assert data.passed_over == {NO_LABEL: 2, NO_PICTURE: 1}
    found = recognise(tmp_path)
    told = found.kind.examine(tmp_path, found.parts, CheckOptions()).describe()
    assert f"dropped: {NO_LABEL}: {tmp_path}: 2 in the shards" in told


def test_what_an_archiver_left_is_no_record(tmp_path: Path) -> None:
    members = {}
    for k in range(4):
        for suffix, content in ((".cls", str(k % 2).encode()), (".jpg", jpeg(k))):
            members[f"./._{k:04d}{suffix}"] = b"Mac OS X"
            members[f"./{k:04d}{suffix}"] = content
    data = open_shards(write_tar(tmp_path / "a.tar", members))
    assert (len(data), data.passed_over) == (4, {})


def test_members_in_any_order(tmp_path: Path) -> None:
    pictures = {f"{k}.jpg": jpeg(10 * k) for k in range(5)}
    labels = {f"{k}.cls": str(k).encode() for k in reversed(range(5))}
    photos = list_photos(open_shards(write_tar(tmp_path / "a.tar", pictures | labels)))
    assert sorted(photos.labels.tolist()) == [0, 1, 2, 3, 4]
    for k, label in enumerate(photos.labels.tolist()):
        assert abs(int(photos.image(k)[5, 5, 0]) - 10 * label) <= 3


def test_a_file_of_counts_that_cannot_be_true_is_counted_anew(tmp_path: Path) -> None:
    members = {"a.jpg": jpeg(1), "a.cls": b"0", "b.jpg": jpeg(2), "b.cls": b"1"}
    os.utime(write_tar(tmp_path / "a.tar", members), (1e9, 1e9))
    open_shards(tmp_path)
    right = (tmp_path / COUNT_FILE).read_text()
    for wrong in (
        right.replace('"classes": 2', '"classes": 1000000000000'),
        right.replace('"records": 2', '"records": 90000000000'),
        right.replace('"records": 2', '"records": -2'),
        right.replace('"records": 2', '"records": "2"'),
        "[" * 100_000,
        "{",
    ):
        assert wrong != right
        (tmp_path / COUNT_FILE).write_text(wrong)
        data = open_shards(tmp_path)
        assert (len(data), len(data.classes)) == (2, 2)


def test_a_label_beyond_all_classifiers_is_refused(tmp_path: Path) -> None:
    write_tar(tmp_path / "a.tar", {"a.jpg": jpeg(1), "a.cls": b"999999999999"})
    with pytest.raises(InputError, match=r"a\.tar: a\.cls: 999999999999"):
        open_shards(tmp_path)


def write_list(root: Path, names: list[str]) -> Path:
    rows = [f"{name},{40 + k},{5 + k},a{k}\n" for k, name in enumerate(names)]
    (root / "list.csv").write_text("path,LAT,LON,AUTHOR\n" + "".join(rows))
    return root / "list.csv"


def test_the_path_as_listed_wins(tmp_path: Path) -> None:
    names = [f"{k}.jpg" for k in range(4)]
    write_pictures(tmp_path, *names, *(f"old/{name}" for name in names))
    data = open_places(write_list(tmp_path, names), "all")
    assert data.files.tolist() == [str(tmp_path / name) for name in names]


def test_several_photos_of_one_name(tmp_path: Path) -> None:
    names = [f"{k}.jpg" for k in range(2)]
    write_pictures(tmp_path, *(f"{folder}/{n}" for folder in ("photos", "thumbs") for n in names))
    left_out: list[LeftOut] = []
    read_places(write_list(tmp_path, names), "all", left_out)
    assert [one.reason for one in left_out] == ["several images fit the name"] * 2
    assert left_out[0].photo == "0.jpg: photos/0.jpg, thumbs/0.jpg"
    with pytest.raises(InputError, match=r"2 several images fit.*photos/0\.jpg, thumbs/0\.jpg"):
        open_places(tmp_path, "all")


ODD = os.fsdecode(b"ch\xe2ton")


def test_names_of_any_bytes_are_shown() -> None:
    assert shown(f"a/{ODD}.jpg") == r"a/ch\xe2ton.jpg"
    assert shown("château \ud800") == r"château \ud800"
    assert shown_in({ODD: [ODD, 1, (None, "é")]}) == {r"ch\xe2ton": [r"ch\xe2ton", 1, [None, "é"]]}


def test_a_class_whose_name_is_no_utf8(tmp_path: Path) -> None:
    write_pictures(tmp_path, f"{ODD}/{ODD}.jpg", f"{ODD}/1.jpg", "dog/0.jpg", "dog/1.jpg")
    data = open_labelled(tmp_path, "all")
    assert data.classes.names == (r"ch\xe2ton", "dog")
    assert data.image(0).shape == (20, 24, 3)
    assert len(open_labelled(tmp_path, "train")) + len(open_labelled(tmp_path, "val")) == 4
    found = recognise(tmp_path)
    found.kind.examine(tmp_path, found.parts, CheckOptions()).describe().encode()


def test_a_safe_path_leads_to_the_file(tmp_path: Path) -> None:
    odd = tmp_path / f"{ODD}.mp4"
    odd.write_bytes(b"film")
    with safe_path(odd) as name:
        assert name.isascii()
        assert Path(name).suffix == ".mp4"
        assert Path(name).read_bytes() == b"film"
    with safe_path(tmp_path / f"{ODD}.avi") as name:
        Path(name).write_bytes(b"drawn")
    assert (tmp_path / f"{ODD}.avi").read_bytes() == b"drawn"
    with safe_path(tmp_path / "plain.mp4") as name:
        assert name == str(tmp_path / "plain.mp4")


_CHILD = """
import sys
from pathlib import Path
from datasets.labels.opening import open_labelled
data = open_labelled(Path(sys.argv[1]), "all")
sys.stdout.buffer.write("|".join(data.classes.names).encode())
"""


@pytest.mark.slow
@pytest.mark.parametrize("locale", ["C", "POSIX", "de_DE.ISO-8859-1"])
def test_text_is_utf8_in_every_locale(tmp_path: Path, locale: str) -> None:
    write_pictures(tmp_path, "0.jpg", "1.jpg", "2.jpg")
    rows = "path,label\n0.jpg,Äpfel\n1.jpg,naïve\n2.jpg,猫\n"
    (tmp_path / "list.csv").write_bytes(b"\xef\xbb\xbf" + rows.encode())
    # Without these two Python would not take the locale's encoding.
    env = {**os.environ, "LC_ALL": locale, "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    done = subprocess.run(
        [sys.executable, "-c", _CHILD, str(tmp_path / "list.csv")],
        capture_output=True,
        env=env,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.decode() == "naïve|Äpfel|猫"
