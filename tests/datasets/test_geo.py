"""Photos with positions: EXIF, and the lists of MP-16, Im2GPS, YFCC4k and OSV-5M."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image as PilImage
from PIL.PngImagePlugin import PngImageFile
from PIL.TiffImagePlugin import IFDRational

from datasets.builtin.places import choose_photos, draw_place, draw_places
from datasets.positions.columns import find_columns, is_position, read_positions
from datasets.positions.exif_gps import read_tags
from datasets.positions.opening import open_places, part_by_author
from datasets.spec import Split
from tests.datasets.place_fakes import gps, photo


@pytest.mark.parametrize("place", [(48.8584, 2.2945), (-33.8568, 151.2153), (40.6892, -74.0445)])
def test_tags_tell_the_place(tmp_path: Path, place: tuple[float, float]) -> None:
    tags = read_tags(photo(tmp_path / "a.jpg", gps(*place), "Ada"))
    assert tags.position == pytest.approx(place, abs=1e-6)
    assert tags.artist == "Ada"


@pytest.mark.parametrize(
    "tags",
    [
        {},
        {1: "N", 2: (48.0, 51.0, 30.0)},
        {2: (48.0, 51.0, 30.0), 4: (2.0, 17.0, 40.0)},
        {1: "N", 2: (97.0, 0.0, 0.0), 3: "E", 4: (2.0, 0.0, 0.0)},
        {1: "N", 2: (IFDRational(1, 0), 0.0, 0.0), 3: "E", 4: (2.0, 0.0, 0.0)},
        {1: "X", 2: (48.0, 0.0, 0.0), 3: "E", 4: (2.0, 0.0, 0.0)},
    ],
)
def test_tags_that_tell_none(tmp_path: Path, tags: dict[int, object]) -> None:
    assert read_tags(photo(tmp_path / "a.jpg", tags)).position is None


def test_a_file_that_is_no_picture(tmp_path: Path) -> None:
    (tmp_path / "a.jpg").write_text("no image")
    with pytest.raises(ValueError, match="not an image that can be read"):
        read_tags(tmp_path / "a.jpg")


@pytest.mark.parametrize("late", [False, True])
def test_tags_of_a_png_are_read_without_decoding_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, late: bool
) -> None:
    """Pillow decodes it to find tags after its pixels, whatever size its header claims."""
    exif = PilImage.open(photo(tmp_path / "a.jpg", gps(10, 20), "Ada")).getexif()
    file = tmp_path / "a.png"
    PilImage.new("RGB", (8, 8)).save(file, exif=exif)
    if late:
        parts = file.read_bytes()
        at = parts.index(b"eXIf") - 4
        length = 12 + int.from_bytes(parts[at : at + 4], "big")
        file.write_bytes(
            parts[:at] + parts[at + length : -12] + parts[at : at + length] + parts[-12:]
        )
    monkeypatch.setattr(PngImageFile, "load", lambda _: pytest.fail("decoded"))
    assert read_tags(file) == ((10, 20), "Ada")


def test_a_folder_of_photos(tmp_path: Path) -> None:
    photo(tmp_path / "a.jpg", gps(10, 20), "Ada")
    photo(tmp_path / "trip" / "b.jpg", gps(11, 21))
    photo(tmp_path / "trip" / "c.jpg", gps(12, 22))
    photo(tmp_path / "d.jpg")
    photo(tmp_path / "zero.jpg", gps(0, 0))
    (tmp_path / "e.jpg").write_text("no image")
    data = open_places(tmp_path, "all")
    assert data.format == "exif"
    assert [Path(f).name for f in data.files] == ["a.jpg", "b.jpg", "c.jpg"]
    np.testing.assert_allclose(data.lat, (10, 11, 12), atol=1e-6)
    assert data.left_out == {"no position": 2, "unreadable": 1}
    assert data.authors.tolist() == ["Ada", "trip", "trip"]
    lat, lng = read_positions(tmp_path)
    np.testing.assert_allclose(np.sort(lng), (20, 21, 22), atol=1e-6)
    assert len(lat) == 3


# Each as its publishers write it: a row, where the photo lies, who took it.
LISTS = {
    "mp16": (
        "IMG_ID,AUTHOR,LAT,LON,S3_Label,S16_Label\n3f_2f_2747369043.jpg,25@N00,48.5,2.5,1,8\n",
        "images/3f/2f/2747369043.jpg",
        "25@N00",
    ),
    "im2gps": (
        "IMG_ID,AUTHOR,LAT,LON\nRome_00003_601_9f05_1292_8504005@N07.jpg,"
        "9f05_1292_8504005@N07,48.5,2.5\n",
        "im2gps/Rome_00003_601_9f05_1292_8504005@N07.jpg",
        "8504005@N07",
    ),
    "yfcc4k": ("IMG_ID,LAT,LON\n4181137000.jpg,48.5,2.5\n", "yfcc4k/4181137000.jpg", None),
    "osv5m": (
        "id,latitude,longitude,thumb_original_url,country,sequence,captured_at,cell,creator_id\n"
        '3859149887465501,48.5,2.5,,FR,x,2020,"(0, 8)",111\n',
        "images/test/00/3859149887465501.jpg",
        "111",
    ),
    "no author, but Flickr's name": (
        "image_id;Latitude;Longitude\n104_74_19_19355699@N00.jpg;48.5;2.5\n",
        "104_74_19_19355699@N00.jpg",
        "19355699@N00",
    ),
}


@pytest.mark.parametrize("name", LISTS)
def test_public_lists(tmp_path: Path, name: str) -> None:
    text, place, author = LISTS[name]
    (tmp_path / "list.csv").write_text(text)
    file = photo(tmp_path / place)
    for path in (tmp_path, tmp_path / "list.csv"):
        data = open_places(path, "all")
        assert data.files.tolist() == [str(file)]
        assert (data.lat[0], data.lng[0]) == (48.5, 2.5)
        assert data.authors.tolist() == [author or str(file)]
        assert data.image(0).shape == (8, 8, 3)


def test_what_a_list_lacks_is_counted(tmp_path: Path) -> None:
    rows = ("a.jpg,1,2", "gone.jpg,1,2", "b.jpg,,", "c.jpg,0,0", "d.jpg,91,0", "e.jpg,5,185")
    (tmp_path / "list.csv").write_text("\n".join(("IMG_ID,LAT,LON", *rows, "")))
    for name in "abcde":
        photo(tmp_path / f"{name}.jpg")
    data = open_places(tmp_path, "all")
    assert [Path(f).name for f in data.files] == ["a.jpg"]
    assert data.left_out == {"image not found": 1, "no position": 4}


def test_two_photos_of_one_name_need_their_folders(tmp_path: Path) -> None:
    photo(tmp_path / "x" / "a.jpg")
    photo(tmp_path / "y" / "a.jpg")
    (tmp_path / "list.csv").write_text("IMG_ID,LAT,LON\na.jpg,1,2\ny/a.jpg,3,4\n")
    data = open_places(tmp_path, "all")
    assert data.files.tolist() == [str(tmp_path / "y" / "a.jpg")]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("IMG_ID,LAT\na.jpg,1\n", "the first line must name the columns of the positions"),
        ("LAT,LON\n1,2\n", "no column names the images"),
        ("IMG_ID,LAT,LON\na.jpg,north,2\n", "line 2: a position that is no number"),
        ("IMG_ID,LAT,LON\na.jpg,1\n", "line 2: 2 fields, where 3 are needed"),
        ('LAT,LON,IMG_ID,WHO\n1,2,a.jpg,"x\n1,2,b.jpg,y\n', "line 2: a quote .* never closed"),
        (f'LAT,LON,IMG_ID,WHO\n1,2,a.jpg,"x{"z" * 140_000}\n', "line 2: cannot be split"),
        ("IMG_ID,LAT,LON\nb.jpg,1,2\n", r"no image with a position \(1 image not found\)"),
    ],
)
def test_lists_that_cannot_be_used(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "list.csv").write_text(text)
    photo(tmp_path / "a.jpg")
    with pytest.raises(ValueError, match=message):
        open_places(tmp_path / "list.csv", "train")


def test_parts_by_name_and_several_lists(tmp_path: Path) -> None:
    for part in ("train", "test"):
        photo(tmp_path / "images" / part / f"{part}1.jpg")
        (tmp_path / f"{part}.csv").write_text(f"id,latitude,longitude\n{part}1,1,2\n")
    assert Path(str(open_places(tmp_path, "train").files[0])).stem == "train1"
    assert Path(str(open_places(tmp_path, "val").files[0])).stem == "test1"
    (tmp_path / "more.csv").write_text("id,latitude,longitude\ntest1,1,2\n")
    with pytest.raises(ValueError, match=r"holds 3 lists of images \(more.csv"):
        open_places(tmp_path, "train")


def test_a_list_may_have_a_column_of_splits(tmp_path: Path) -> None:
    rows = {"a": "train", "b": "Test", "c": "val", "d": "training"}
    for name in rows:
        photo(tmp_path / f"{name}.jpg")
    lines = [f"{name}.jpg,{split},1,2" for name, split in rows.items()]
    file = tmp_path / "list.csv"

    def read(split: Split, lines: list[str]) -> list[str]:
        file.write_text("\n".join(["IMG_ID,split,LAT,LON", *lines, ""]))
        return [Path(f).stem for f in open_places(file, split).files.tolist()]

    assert read("train", lines) == ["a", "d"]
    assert read("val", lines) == ["c"]
    assert read("val", lines[:2]) == ["b"], "a part to test on serves where there is no other"
    assert read("all", lines[:1]) == ["a"]
    assert read("test", lines) == ["b"]
    with pytest.raises(ValueError, match="holds train, val and test; choose one of them"):
        read("all", lines)
    with pytest.raises(ValueError, match="has no part to test on, only train and val"):
        read("test", [lines[0], lines[2]])
    with pytest.raises(ValueError, match="nothing to train on"):
        read("train", lines[2:3])
    with pytest.raises(ValueError, match=r"list.csv: line 3: split 'tset'; the nearest is 'test'"):
        read("train", [lines[0], "b.jpg,tset,1,2"])


@pytest.mark.slow
def test_authors_fall_on_one_side(tmp_path: Path) -> None:
    places = draw_places(tmp_path / "p", num_photos=60, num_authors=20, size=32)
    train, val = (open_places(places, split) for split in ("train", "val"))
    assert len(train) + len(val) == 60
    assert not set(train.authors) & set(val.authors)
    assert 2 <= len(val) <= 30
    again = open_places(places, "val")
    np.testing.assert_array_equal(again.files, val.files)
    with pytest.raises(ValueError, match="are of one author"):
        part_by_author(val.select(val.authors == val.authors[0]), "train")


def test_positions_of_a_long_list(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("datasets.positions.columns._ROWS", 7)
    for count in (1, 6, 7, 8, 14, 30):
        rows = [f'"a, {k}",{k / 4},x,{-k}' for k in range(1, count + 1)]
        file = tmp_path / "p.csv"
        file.write_text("\n".join(("note,LAT,what,LNG", *rows, "")))
        lat, lng = read_positions(file)
        np.testing.assert_allclose(lat, np.arange(1, count + 1) / 4)
        np.testing.assert_allclose(lng, -np.arange(1.0, count + 1))
    file.write_text("LAT,LON\n1,2\n3,what\n")
    with pytest.raises(ValueError, match="a position that is no number"):
        read_positions(file)
    file.write_text("LAT,LON\n")
    with pytest.raises(ValueError, match="holds no position"):
        read_positions(file)


def test_lists_as_people_leave_them(tmp_path: Path) -> None:
    """Blank positions are left out; names in Latin-1 stay apart; an open quote hides no rows."""
    file = tmp_path / "p.csv"
    rows = ("a.jpg,Jos\xe9,1,2", "a.jpg,Jos\xe8,,", "a.jpg,x, ,5", "a.jpg,Jos\xe8,3,4")
    file.write_bytes("\r\n".join(("IMG_ID,AUTHOR,LAT,LON", *rows)).encode("latin-1"))
    lat, lng = read_positions(file)
    assert (lat.tolist(), lng.tolist()) == ([1, 3], [2, 4])
    photo(tmp_path / "a.jpg")
    data = open_places(file, "all")
    assert data.left_out == {"no position": 2}
    assert len(set(data.authors.tolist())) == 2
    file.write_text('LAT,LON,WHO\n1,2,x\n3,4,"y\n5,6,z\n')
    with pytest.raises(ValueError, match=r"p.csv: about line 3: a quote .* never closed"):
        read_positions(file)


def test_what_is_a_position() -> None:
    lat, lng = np.array([0, 0, 90, -90.1, np.nan, 5]), np.array([0, 1, 180, 0, 0, -180.5])
    assert is_position(lat, lng).tolist() == [False, True, True, False, False, False]


def test_real_photos_and_positions(real_data: Path) -> None:
    data = open_places(real_data / "geo" / "photos.csv", "all")
    assert len(data) == 37
    assert not data.left_out
    assert find_columns(real_data / "geo" / "coordinates_100k.csv") is not None


@pytest.mark.slow
def test_built_in_places(tmp_path: Path) -> None:
    root = draw_places(tmp_path / "p", num_photos=12, num_authors=4, size=40)
    data = open_places(root, "all")
    assert len(data) == 12
    assert all(author.endswith("@N00") for author in data.authors.tolist())
    assert data.image(3).shape == (40, 40, 3)
    listed = (root / "places.csv").read_text()
    other = draw_places(tmp_path / "q", num_photos=12, num_authors=4, size=40)
    assert (other / "places.csv").read_text() == listed
    assert choose_photos(20, 5, 0) != choose_photos(20, 5, 1)
    (tmp_path / "r").mkdir()
    (tmp_path / "r" / "mine.txt").write_text("mine")
    with pytest.raises(ValueError, match="holds something else than built-in places"):
        draw_places(tmp_path / "r")


def test_places_look_alike_where_they_are_near() -> None:
    """The mean colours of a view change little within a degree, and much across the world."""

    def look(lat: float, lng: float, moment: int = 1) -> np.ndarray:  # type: ignore[type-arg]
        rng, camera = np.random.default_rng(moment), np.random.default_rng(2)
        return draw_place(rng, camera, lat, lng, 48).astype(np.float64)

    here = look(40, 10)
    assert np.abs(look(40.5, 10.5) - here).mean() < 2
    assert np.abs(look(-40, -100) - here).mean() > 10
