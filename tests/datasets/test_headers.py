"""Headers of large folders are read once, and again when a file changes."""

import io
import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image as PilImage

from datasets import headers
from datasets.headers import CACHE, Headers, cache_folder
from datasets.images import probe_image
from datasets.jpeg import quick_size

LONG_AGO = 1_000_000_000


def save(file: Path, width: int = 20, level: int = 0) -> Path:
    PilImage.new("RGB", (width, 10), (level,) * 3).save(file)
    os.utime(file, (LONG_AGO, LONG_AGO))
    return file


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv(CACHE, str(tmp_path / "cache"))
    monkeypatch.setattr(headers, "LEAST_IMAGES", 3)
    folder = tmp_path / "images"
    folder.mkdir()
    for number in range(3):
        save(folder / f"{number}\nä.png", 20 + number)
    return folder


def probe_all(folder: Path) -> list[tuple[int, int, bool, int]]:
    found = Headers(folder)
    rows = [found.probe(name) for name in sorted(file.name for file in folder.iterdir())]
    found.keep()
    return list(rows)


def test_a_second_look_reads_nothing(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = probe_all(folder)
    assert [row[:3] for row in first] == [(20, 10, False), (21, 10, False), (22, 10, False)]
    assert len({row[3] for row in first}) == 3
    monkeypatch.setattr(headers, "probe_image", lambda _: pytest.fail("read"))
    assert probe_all(folder) == first


def test_what_has_changed_is_read_again(folder: Path) -> None:
    probe_all(folder)
    changed = save(folder / "0\nä.png", 90)
    assert probe_all(folder)[0][:2] == (90, 10)
    save(changed, 91)
    os.utime(changed)  # A moment ago: it may change again at the same time.
    assert Headers(folder).probe(changed.name)[0] == 91


def test_a_file_of_a_moment_ago_is_not_remembered(folder: Path) -> None:
    for file in folder.iterdir():
        os.utime(file)
    probe_all(folder)
    assert not list((folder.parent / "cache").rglob("*.npz"))


@pytest.mark.parametrize("share", [0.0, 0.5])
def test_a_damaged_cache_is_no_error(folder: Path, share: float) -> None:
    first = probe_all(folder)
    (file,) = (folder.parent / "cache").rglob("*.npz")
    file.write_bytes(file.read_bytes()[: int(share * file.stat().st_size)])
    assert probe_all(folder) == first


def test_nothing_is_kept_of_small_folders_or_where_it_is_not_wanted(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(headers, "LEAST_IMAGES", 4)
    probe_all(folder)
    monkeypatch.setattr(headers, "LEAST_IMAGES", 3)
    monkeypatch.setenv(CACHE, "")
    probe_all(folder)
    assert cache_folder() is None
    assert not (folder.parent / "cache").exists()


def test_a_missing_file_is_named(folder: Path) -> None:
    with pytest.raises(ValueError, match=r"gone\.png: the file is missing"):
        Headers(folder).probe("gone.png")


@pytest.mark.parametrize("mode", ["RGB", "L", "CMYK"])
@pytest.mark.parametrize("options", [{}, {"progressive": True}, {"comment": b"x" * 900}])
def test_usual_jpegs_need_no_pillow(tmp_path: Path, mode: str, options: dict[str, object]) -> None:
    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 255, (31, 47, 3), np.uint8)
    file = tmp_path / "a.jpg"
    PilImage.fromarray(pixels).convert(mode).save(file, **options)  # type: ignore[arg-type]
    with file.open("rb") as opened:
        assert quick_size(opened) == (47, 31)
        assert opened.tell() == 0
    assert probe_image(file) == (47, 31, False)


def test_other_jpegs_are_left_to_pillow(tmp_path: Path) -> None:
    plain, tagged = io.BytesIO(), io.BytesIO()
    picture = PilImage.new("RGB", (47, 31))
    picture.save(plain, "JPEG")
    exif = PilImage.Exif()
    exif[0x0112] = 6
    picture.save(tagged, "JPEG", exif=exif)
    content = plain.getvalue()
    frame = content.index(b"\xff\xc0")
    twelve = content[: frame + 4] + b"\x0c" + content[frame + 5 :]
    for data in (tagged.getvalue(), content[:-20], content[:40], twelve, b"", b"\xff\xd8\xff"):
        assert quick_size(io.BytesIO(data)) is None
    (tmp_path / "a.jpg").write_bytes(tagged.getvalue())
    assert probe_image(tmp_path / "a.jpg") == (47, 31, True)
