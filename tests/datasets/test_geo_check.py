"""The doctor of photos with positions: out of range, at 0, 0, swapped, copied, in both parts."""

from pathlib import Path

import pytest

from datasets.findings import Examination
from datasets.positions.checking import examine_places
from datasets.positions.opening import GeoData, LeftOut, open_places, read_places
from tests.datasets.place_fakes import gps, photo, write_list


def examine(path: Path, decode: bool = False) -> Examination[GeoData]:
    left_out: list[LeftOut] = []
    data, _ = read_places(path, "all", left_out)
    return examine_places(data, left_out=left_out, decode=decode)


def test_sound_places(tmp_path: Path) -> None:
    checkup = examine(write_list(tmp_path, ["a.jpg,x,48.5,2.5", "b.jpg,y,-33,151", "c.jpg,x,1,2"]))
    assert not checkup.findings
    text = checkup.describe()
    assert "3 images of 2 authors at 3 positions, format csv" in text
    assert "latitudes -33 to 48.5, longitudes 2 to 151; at most 2 images of one author" in text


def test_each_row_that_cannot_be_used_is_named(tmp_path: Path) -> None:
    rows = (
        *(f"{k}.jpg,x{k},{k},{k}" for k in range(1, 9)),
        "gone.jpg,x,1,2",
        "zero.jpg,x,0,0",
        "empty.jpg,x,5,",
        "north.jpg,x,91,200",
        "turned.jpg,x,151.2,-33.9",
    )
    file = write_list(tmp_path, rows)
    (tmp_path / "8.jpg").write_text("no image")
    checkup = examine(file)
    told = {f.kind: f for f in checkup.findings}
    assert told["image not found"].file == f"{file}: line 10"
    assert told["image not found"].detail == "gone.jpg"
    assert told["position at 0, 0"].file == f"{file}: line 11"
    assert told["no position"].detail == "no latitude or no longitude"
    assert told["unusable image"].file.endswith("8.jpg")
    assert checkup.counts()["position out of range (dropped)"] == 2
    shown = [f.detail for f in checkup.findings if f.kind == "position out of range"]
    assert shown == [
        "latitude 91, longitude 200",
        "latitude 151.2, longitude -33.9; are they swapped?",
    ]
    assert not [f for f in checkup.findings if f.action == "refused"], "slips, no swap"
    assert checkup.summary["left_out"] == {"image not found": 1, "no position": 4, "unreadable": 1}
    assert checkup.summary["images"] == 7


@pytest.mark.slow
@pytest.mark.parametrize("in_range", [0, 1, 60])
def test_swapped_columns_are_refused(tmp_path: Path, in_range: int) -> None:
    """Ten beyond the poles while no longitude is beyond 90, or a fifth of all."""
    rows = [f"s{k}.jpg,x{k},{100 + k},{-k}" for k in range(10)]
    rows += [f"a{k}.jpg,y{k},{k},{k}" for k in range(1, in_range + 1)]
    refused = [f for f in examine(write_list(tmp_path, rows)).findings if f.action == "refused"]
    told = {f.kind: f.detail for f in refused}
    assert told["latitude and longitude swapped"].startswith(f"10 of {10 + in_range} positions")
    assert ("no positions" in told) == (in_range == 0)
    # The same slips in a set that does reach beyond 90 degrees east are slips.
    if in_range == 60:
        rows.append("b.jpg,z,10,120")
        kinds = examine(write_list(tmp_path / "b", rows)).counts()
        assert kinds == {"position out of range (dropped)": 10}


def test_photos_that_stand_there_twice(tmp_path: Path) -> None:
    rows = ["a.jpg,x,1,2", "a.jpg,x,1,2", "b.jpg,y,1,2", "b.jpg,y,9,9", "c.jpg,z,1,180"]
    file = write_list(tmp_path, [*rows, "d.jpg,z,1,-180", "e.jpg,z,5,5"])
    for name in "de":
        (tmp_path / f"{name}.jpg").write_bytes((tmp_path / "c.jpg").read_bytes())
    checkup = examine(file)
    told = {f.kind: f for f in checkup.findings}
    assert set(checkup.counts().values()) == {1}
    assert told["image listed twice"].file.endswith("a.jpg")
    assert told["image listed at two places"].detail == "1, 2 and 9, 9"
    assert told["copy of an image"].file.endswith("d.jpg"), "180 degrees east are 180 west"
    assert told["copy at another place"].detail.endswith("at 5, 5 instead of 1, 180")
    assert checkup.summary["copies"] == 2


def test_authors_and_photos_of_both_parts(tmp_path: Path) -> None:
    write_list(tmp_path, ["a.jpg,x,1,2", "b.jpg,y,3,4"], "train.csv")
    write_list(tmp_path, ["c.jpg,y,1,2", "d.jpg,z,3,4"], "val.csv")
    (tmp_path / "d.jpg").write_bytes((tmp_path / "a.jpg").read_bytes())
    train, val = (open_places(tmp_path, split) for split in ("train", "val"))
    checkup = examine_places(train, val)
    told = {f.kind: f.detail for f in checkup.findings}
    assert told == {
        "copy in both splits": f"the same as {tmp_path / 'd.jpg'}",
        "authors in both splits": "1 of 2; the first is y",
    }
    assert checkup.summary["authors_in_both_splits"] == 1
    alone = examine(write_list(tmp_path / "one", ["a.jpg,x,1,2", "b.jpg,x,3,4"]))
    assert alone.counts() == {"one author only (kept)": 1}


def test_photos_with_tags(tmp_path: Path) -> None:
    photo(tmp_path / "a.jpg", gps(10, 20), "Ada")
    photo(tmp_path / "b.jpg", gps(11, 21), "Bob")
    photo(tmp_path / "plain.jpg")
    photo(tmp_path / "zero.jpg", gps(0, 0))
    (tmp_path / "text.jpg").write_text("no image")
    told = {f.kind: Path(f.file).name for f in examine(tmp_path).findings}
    assert told == {
        "no position": "plain.jpg",
        "position at 0, 0": "zero.jpg",
        "unreadable": "text.jpg",
    }


def test_decoding_finds_more(tmp_path: Path) -> None:
    from tests.datasets.label_fakes import save_photos

    rows = [f"{k}.png,x{k},{k},{k}" for k in range(1, 7)]
    save_photos(tmp_path, [f"{k}.png" for k in range(1, 7)])
    file = write_list(tmp_path, rows)
    content = (tmp_path / "3.png").read_bytes()
    (tmp_path / "3.png").write_bytes(content[:200] + bytes(60) + content[260:])
    assert not examine(file).findings
    assert examine(file, decode=True).counts() == {"unusable image (dropped)": 1}
