"""Pictures to look at: in folders, in Parquet files, in tar archives."""

from pathlib import Path

import pytest

from datasets.errors import InputError
from datasets.packed_pictures import photos_in
from tests.datasets.box_sets import save_pictures
from tests.datasets.parquet_fakes import box_parquet, pictures, save_table
from tests.datasets.tar_fakes import jpeg, write_tar


def test_pictures_of_all_tables_of_a_set(tmp_path: Path) -> None:
    photos = photos_in(box_parquet(tmp_path))
    assert [photo.image().shape for photo in photos] == [(20, 24, 3)] * 9
    assert photos[0].path.parent == tmp_path / "data/train-00000-of-00002.parquet"
    assert photos[8].content() == pictures(9)[8]["bytes"]


def test_a_table_of_pictures_alone(tmp_path: Path) -> None:
    rows = [*pictures(2, named=False), {"bytes": b"no picture", "path": None}]
    file = save_table(tmp_path / "shots.parquet", {"image": rows})
    photos = photos_in(file)
    assert [photo.path.name for photo in photos] == ["000000", "000001", "000002"]
    with pytest.raises(InputError, match=r"shots.parquet/000002: not an image"):
        photos[2].image()


def test_archives(tmp_path: Path) -> None:
    members = {"./a/0.jpg": jpeg(20), "a/0.cls": b"1", "./a/._0.jpg": b"x", "1.jpg": jpeg(90)}
    file = write_tar(tmp_path / "train-0.tar", members)
    for path in (tmp_path, file, tmp_path / "train-{0..0}.tar"):
        photos = photos_in(path)
        assert [photo.path for photo in photos] == [file / "a/0.jpg", file / "1.jpg"]
        assert photos[1].content() == jpeg(90)


def test_pictures_that_lie_by_themselves_come_first(tmp_path: Path) -> None:
    save_pictures(tmp_path / "below", ["0.png"])
    write_tar(tmp_path / "0.tar", {"1.jpg": jpeg(90)})
    assert [photo.path for photo in photos_in(tmp_path)] == [tmp_path / "below/0.png"]
    assert photos_in(tmp_path / "below/0.png")[0].image().shape == (48, 64, 3)


def test_archives_without_pictures(tmp_path: Path) -> None:
    pytest.importorskip("pyarrow")
    for columns, why in (
        ({"text": ["a"]}, "has no column of images"),
        ({"image": ["0.jpg"]}, "only names images, which lie elsewhere: name their folder"),
    ):
        file = save_table(tmp_path / "one.parquet", columns)
        with pytest.raises(InputError, match=why):
            photos_in(file)
    file = write_tar(tmp_path / "one.tar", {"0.txt": b"text"})
    with pytest.raises(InputError, match=r"one.tar: holds no images"):
        photos_in(file)
