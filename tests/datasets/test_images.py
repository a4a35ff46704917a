"""Every kind of picture file becomes (H, W, 3) uint8 RGB, or a message that names it."""

import struct
import warnings
import zlib
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image as PilImage
from PIL import ImageOps

from datasets.errors import InputError
from datasets.images import (
    MOST_PIXELS,
    crop_to_box,
    decoders_differ,
    find_images,
    probe_image,
    read_image,
    read_orientation,
    save_image,
    turn_upright,
)

WIDTH, HEIGHT = 64, 48


def picture() -> PilImage.Image:
    """Left half red, right half blue, a white top left corner."""
    image = np.zeros((HEIGHT, WIDTH, 3), np.uint8)
    image[:, : WIDTH // 2] = (200, 30, 30)
    image[:, WIDTH // 2 :] = (30, 30, 200)
    image[:12, :12] = 255
    return PilImage.fromarray(image)


def is_red(pixel: np.ndarray) -> bool:
    return bool(pixel[0] > 150 and pixel[2] < 90)


@pytest.mark.parametrize("suffix", ["jpg", "png", "bmp", "webp", "tif", "gif", "ppm"])
def test_formats(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"a.{suffix}"
    picture().save(path)
    image = read_image(path, upright=True)
    assert image.shape == (HEIGHT, WIDTH, 3)
    assert image.dtype == np.uint8
    assert is_red(image[40, 10])
    assert not is_red(image[40, 60])
    assert probe_image(path) == (WIDTH, HEIGHT, False)


def test_cmyk(tmp_path: Path) -> None:
    picture().convert("CMYK").save(tmp_path / "a.jpg")
    assert is_red(read_image(tmp_path / "a.jpg", upright=False)[40, 10])


def test_greyscale_palette_and_transparent(tmp_path: Path) -> None:
    picture().convert("L").save(tmp_path / "grey.png")
    grey = read_image(tmp_path / "grey.png", upright=False)
    assert grey.shape == (HEIGHT, WIDTH, 3)
    assert (grey[..., 0] == grey[..., 2]).all()
    picture().convert("P").save(tmp_path / "palette.png")
    assert is_red(read_image(tmp_path / "palette.png", upright=False)[40, 10])
    picture().convert("RGBA").save(tmp_path / "alpha.png")
    assert is_red(read_image(tmp_path / "alpha.png", upright=False)[40, 10])


@pytest.mark.parametrize("suffix", ["png", "tif"])
def test_sixteen_bits(tmp_path: Path, suffix: str) -> None:
    deep = np.full((HEIGHT, WIDTH), 40000, np.uint16)
    deep[:, 32:] = 10000
    cv2.imwrite(str(tmp_path / f"a.{suffix}"), deep)
    image = read_image(tmp_path / f"a.{suffix}", upright=False)
    assert image.shape == (HEIGHT, WIDTH, 3)
    assert abs(int(image[5, 5, 0]) - 40000 // 257) <= 2
    assert abs(int(image[5, 60, 0]) - 10000 // 257) <= 2


def save_turned(path: Path, orientation: int) -> None:
    exif = PilImage.Exif()
    exif[0x0112] = orientation
    picture().save(path, exif=exif, quality=95)


def test_exif_turns_only_when_asked(tmp_path: Path) -> None:
    """COCO draws its boxes on the stored pixels, people look at turned ones."""
    path = tmp_path / "a.jpg"
    save_turned(path, 6)  # The camera was held upright: turn a quarter clockwise.
    stored, turned = read_image(path, upright=False), read_image(path, upright=True)
    assert stored.shape == (HEIGHT, WIDTH, 3)
    assert turned.shape == (WIDTH, HEIGHT, 3)
    assert is_red(stored[40, 10])
    assert is_red(turned[10, 20])
    assert not is_red(turned[60, 20])
    assert probe_image(path) == (WIDTH, HEIGHT, True)


def test_what_cannot_be_read_is_named(tmp_path: Path) -> None:
    for name, content in (("text.jpg", b"hello, I am no picture"), ("empty.png", b"")):
        (tmp_path / name).write_bytes(content)
        with pytest.raises(ValueError, match=rf"{name}: not an image"):
            read_image(tmp_path / name, upright=True)
        with pytest.raises(ValueError, match=rf"{name}: not an image"):
            probe_image(tmp_path / name)
    with pytest.raises(ValueError, match=r"gone\.jpg: cannot be read"):
        read_image(tmp_path / "gone.jpg", upright=True)
    with pytest.raises(ValueError, match=r"gone\.jpg: the file is missing"):
        probe_image(tmp_path / "gone.jpg")


@pytest.mark.parametrize("suffix", ["jpg", "png"])
def test_cut_files_are_refused(tmp_path: Path, suffix: str) -> None:
    """OpenCV would decode half a JPEG and paint the rest grey, without a word."""
    noise = np.random.default_rng(0).integers(0, 256, (200, 200, 3), dtype=np.uint8)
    whole = tmp_path / f"whole.{suffix}"
    PilImage.fromarray(noise).save(whole)
    cut = tmp_path / f"cut.{suffix}"
    cut.write_bytes(whole.read_bytes()[: whole.stat().st_size // 2])
    with pytest.raises(ValueError, match=rf"cut\.{suffix}: the image is damaged"):
        read_image(cut, upright=False)


def refusal(read: Callable[[Path], Any], file: Path) -> str:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Pillow's, of damaged tags.
        try:
            read(file)
        except InputError as error:
            return str(error)
    return ""


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["AVIF", "BMP", "GIF", "JPEG", "JPEG2000", "PNG", "TIFF", "WEBP"])
def test_damaged_files_are_read_or_refused(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], kind: str
) -> None:
    """Whatever their suffix; OpenCV's own lines, which name no file, are not shown."""
    rng = np.random.default_rng(0)
    PilImage.fromarray(rng.integers(0, 256, (40, 60, 3), dtype=np.uint8)).save(
        tmp_path / "whole", kind
    )
    whole = (tmp_path / "whole").read_bytes()
    for number in range(60):
        data = bytearray(whole[: rng.integers(8, len(whole))] if number % 2 else whole)
        start = rng.integers(0, min(len(data) - 4, 400))
        data[start : start + 4] = rng.bytes(4)
        file = tmp_path / f"{number}.{('jpg', 'png', 'avif')[number % 3]}"
        file.write_bytes(data)
        for read in (probe_image, partial(read_image, upright=True), decoders_differ):
            message = refusal(read, file)
            assert message.startswith(f"{file}: ") or not message
    assert "ERROR" not in capfd.readouterr().err


def test_probing_finds_a_cut_jpeg(tmp_path: Path) -> None:
    save_turned(tmp_path / "a.jpg", 1)
    data = (tmp_path / "a.jpg").read_bytes()
    (tmp_path / "cut.jpg").write_bytes(data[:-200])
    with pytest.raises(ValueError, match="damaged"):
        probe_image(tmp_path / "cut.jpg")


def test_bytes_behind_the_end_are_fine(tmp_path: Path) -> None:
    """Some cameras append a preview or their own data."""
    path = tmp_path / "a.jpg"
    picture().save(path)
    path.write_bytes(path.read_bytes() + b"maker's own data" * 1000)
    assert read_image(path, upright=True).shape == (HEIGHT, WIDTH, 3)
    assert probe_image(path) == (WIDTH, HEIGHT, False)


def test_writing_and_finding(tmp_path: Path) -> None:
    (tmp_path / "b").mkdir()
    (tmp_path / ".hidden").mkdir()
    image = np.asarray(picture())
    for name in ("b/2.png", "1.JPG", ".hidden/3.png"):
        save_image(tmp_path / name, image)
    (tmp_path / "notes.txt").write_text("no image")
    assert find_images(tmp_path) == [tmp_path / "1.JPG", tmp_path / "b/2.png"]
    assert np.array_equal(read_image(tmp_path / "b/2.png", upright=True), image)


_XMP = (
    b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-'
    b'syntax-ns#"><rdf:Description tiff:Orientation="6" xmlns:tiff="http://ns.adobe.com/tiff/1.0/"'
    b"/></rdf:RDF></x:xmpmeta>"
)


def test_what_an_editor_noted_turns_nothing(tmp_path: Path) -> None:
    """XMP tells of a turning, too, which neither browsers nor OpenCV believe."""
    path = tmp_path / "a.jpg"
    picture().save(path, xmp=_XMP, quality=95)
    assert b"tiff:Orientation" in path.read_bytes()
    assert probe_image(path) == (WIDTH, HEIGHT, False)
    assert read_orientation(path) == 1
    for upright in (False, True):
        image = read_image(path, upright=upright)
        assert image.shape == (HEIGHT, WIDTH, 3)
        assert is_red(image[40, 10])


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "late PNG", "WEBP", "TIFF", "AVIF", "MPO", "GIF"])
def test_header_and_pixels_agree(tmp_path: Path, kind: str, orientation: int) -> None:
    path, exif = tmp_path / "picture", PilImage.Exif()
    exif[0x0112] = orientation
    written = kind.removeprefix("late ")
    options: dict[str, Any] = {"quality": 95} if written in ("JPEG", "MPO", "WEBP", "AVIF") else {}
    if written != "GIF":
        options["exif"] = exif
    picture().save(path, written, **options)
    if kind.startswith("late"):
        path.write_bytes(behind_the_pixels(path.read_bytes()))
    width, height, sideways = probe_image(path)
    stored, turned = read_image(path, upright=False), read_image(path, upright=True)
    assert stored.shape == (height, width, 3)
    assert turned.shape == ((width, height, 3) if sideways else (height, width, 3))
    assert np.array_equal(turn_upright(stored, read_orientation(path)), turned)
    if written not in ("TIFF", "GIF"):  # Turned already; has no tags.
        assert sideways == (orientation >= 5)
    with PilImage.open(path) as opened:
        opened.load()
        seen = np.asarray(ImageOps.exif_transpose(opened).convert("RGB"))
    assert np.abs(turned.astype(int) - seen).max() <= 8  # Decoders round otherwise.


def behind_the_pixels(data: bytes) -> bytes:
    """A PNG whose tags stand behind its pixels."""
    start = data.index(b"eXIf") - 4
    end = start + 12 + int.from_bytes(data[start : start + 4], "big")
    closing = data.index(b"IEND") - 4
    return data[:start] + data[end:closing] + data[start:end] + data[closing:]


@pytest.mark.parametrize("suffix", ["jfif", "jpe", "mpo", "apng", "avif", "jp2", "tga", "ico"])
def test_pictures_of_all_suffixes_are_found_and_read(tmp_path: Path, suffix: str) -> None:
    file = tmp_path / f"a.{suffix.upper()}"
    picture().save(file)
    assert find_images(tmp_path) == [file]
    width, height, _ = probe_image(file)
    assert read_image(file, upright=True).shape == (height, width, 3)


# An export that ran in this process has set its thread to take subnormal numbers for zero.
corner = st.floats(-30, 150, allow_subnormal=False)
margin = st.floats(0, 0.5, allow_subnormal=False)


@pytest.mark.slow
@given(x=corner, y=corner, w=st.floats(1, 100), h=st.floats(1, 100), margin=margin)
def test_a_crop_holds_the_box(x: float, y: float, w: float, h: float, margin: float) -> None:
    photo = np.zeros((80, 100, 3), np.uint8)
    x1, y1 = round(max(x, 0)), round(max(y, 0))
    x2, y2 = round(min(x + w, 100)), round(min(y + h, 80))
    photo[y1 : max(y2, 0), x1 : max(x2, 0)] = 1
    cut = crop_to_box(photo, np.array((x1, y1, x2, y2), dtype=float), margin)
    assert cut.sum() == photo.sum()
    assert cut.size
    if photo.any():
        side = max(x2 - x1, y2 - y1) * (1 + 2 * margin)
        assert cut.shape[0] == pytest.approx(min(side, 80), abs=2)
        assert cut.shape[1] == pytest.approx(min(side, 100), abs=2)


def test_a_crop_at_the_edge_stays_square() -> None:
    photo = np.zeros((100, 100, 3), np.uint8)
    assert crop_to_box(photo, np.array((0.0, 40, 60, 60)), 0.0).shape == (60, 60, 3)
    assert crop_to_box(photo, np.array((90.0, 90, 200, 100)), 0.5).shape == (20, 20, 3)


def test_no_box_crops_nothing() -> None:
    photo = np.zeros((30, 40, 3), np.uint8)
    assert crop_to_box(photo, np.full(4, np.nan), 0.1) is photo
    assert crop_to_box(photo, np.array((300.0, 300, 400, 400)), 0.1) is photo


def _claims(width: int, height: int, kind: str) -> bytes:
    """A picture of one pixel whose header tells of others."""
    _, data = cv2.imencode(f".{kind}", np.zeros((1, 1, 3), np.uint8))
    content = bytearray(data.tobytes())
    if kind == "png":
        content[16:24] = struct.pack(">II", width, height)
        content[29:33] = struct.pack(">I", zlib.crc32(content[12:29]))
    elif kind == "jpg":
        place = content.index(b"\xff\xc0")
        content[place + 5 : place + 9] = struct.pack(">HH", height, width)
    else:
        content[18:26] = struct.pack("<ii", width, height)
    return bytes(content)


@pytest.mark.parametrize("kind", ["png", "jpg", "bmp"])
def test_a_header_takes_no_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    file = tmp_path / f"huge.{kind}"
    file.write_bytes(_claims(20_000, 20_000, kind))
    monkeypatch.setattr(cv2, "imdecode", lambda *_: pytest.fail("decoded"))
    for read in (lambda: read_image(file, upright=True), lambda: probe_image(file)):
        with pytest.raises(ValueError, match=r"huge\.\w+: has 20000 x 20000 pixels.* smaller"):
            read()


def test_large_photos_of_phones_are_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert MOST_PIXELS > 16_320 * 12_240  # 200 megapixels.
    monkeypatch.setattr("datasets.images.MOST_PIXELS", WIDTH * HEIGHT)
    picture().save(tmp_path / "a.jpg")
    assert read_image(tmp_path / "a.jpg", upright=True).shape == (HEIGHT, WIDTH, 3)


@pytest.mark.parametrize(
    ("mode", "suffix"), [("RGB", "jpg"), ("L", "png"), ("P", "png"), ("RGBA", "png")]
)
def test_decoders_agree(tmp_path: Path, mode: str, suffix: str) -> None:
    picture().convert(mode).save(tmp_path / f"a.{suffix}")
    assert decoders_differ(tmp_path / f"a.{suffix}") == ""


def test_decoders_differ_about_sixteen_bits(tmp_path: Path) -> None:
    file = tmp_path / "deep.png"
    cv2.imwrite(str(file), np.full((HEIGHT, WIDTH), 20_000, np.uint16))
    assert decoders_differ(file).endswith("of 255 levels apart on average (I;16)")


def test_decoders_differ_about_a_tag(tmp_path: Path) -> None:
    file = tmp_path / "a.jpg"
    xmp = b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><r tiff:Orientation="6"/></x:xmpmeta>'
    picture().save(file, xmp=xmp)
    assert decoders_differ(file) == f"{WIDTH} x {HEIGHT} pixels here, {HEIGHT} x {WIDTH} in Pillow"
