"""What the service answers, of every task, and to bad photos."""

from __future__ import annotations

import io
import json
import struct
import zlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from configs.common import Common
from configs.serve import Serve
from tests.conftest import Tool
from tests.tools.page_client import LIMITS, ask, picture_of, request, serving
from tests.tools.page_models import CLASSES, TASKS, make_models, photo
from tools.service.opening import open_service
from tools.service.server import Service
from tools.service.uploads import decode_upload


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    return make_models(tmp_path_factory.mktemp("runs"))


@pytest.fixture(scope="module")
def page(models: list[Path]) -> Iterator[Service]:
    server, _ = open_service(
        Serve(models=tuple(models), port=0, limits=LIMITS, common=Common(device="cpu"))
    )
    with serving(server):
        yield server


@pytest.mark.slow
@pytest.mark.parametrize("task", TASKS)
def test_every_task_answers(page: Service, task: str) -> None:
    query, images = f"model={TASKS.index(task)}&draw=true", [photo()]
    if task == "face_embedding":
        images.append(photo(1))
    status, reply = ask(page, query, *images)
    assert status == 200, reply
    assert max(picture_of(reply).size) >= 400
    assert set(reply["milliseconds"]) == {"decode", "network", "draw"}
    assert min(reply["milliseconds"].values()) > 0
    assert reply["sizes"][0] == [360, 270]
    shown = reply["shown"]
    assert shown["rows"]
    assert all(len(row) == len(shown["columns"]) for row in shown["rows"])
    assert shown["summary"]
    assert reply["application"] == task
    assert len(reply["answers"]) == len(images)
    listed = json.loads(request(page, "GET", "/v1/models")[2])["models"]
    assert [row["images"] for row in listed] == [1, 1, 1, 2, 1]
    assert all(row["about"] for row in listed)
    assert all(
        bool(row["note"]) == (name in TASKS[2:]) for row, name in zip(listed, TASKS, strict=True)
    )


@pytest.mark.slow
def test_numbers_are_those_of_predict(
    page: Service, models: list[Path], tool: Tool, tmp_path: Path
) -> None:
    file = tmp_path / "photo.png"
    file.write_bytes(photo(kind="PNG"))
    easy = ("--no-draw", "--json", "--out", tmp_path / "out")
    told = json.loads(tool("predict", models[0], file, *easy)[1])["photos"][0]
    rows = ask(page, "model=0&draw=1", file.read_bytes())[1]["shown"]["rows"]
    assert {name for name, _ in rows} == set(CLASSES)
    assert [name for name, _ in rows] == told["classes"]
    assert [share for _, share in rows] == pytest.approx(told["probabilities"], rel=1e-4)
    found = json.loads(tool("predict", models[1], file, *easy)[1])["annotations"]
    rows = ask(page, "model=1&draw=1", file.read_bytes())[1]["shown"]["rows"]
    assert len(rows) == len(found) > 0
    for row, one in zip(rows, found, strict=True):
        assert row[1:] == pytest.approx([one["score"], *one["bbox"]], abs=0.02)


@pytest.mark.slow
@pytest.mark.parametrize("shape", [(1, 1), (400_000, 1), (1, 400_000), (3, 60_000)])
def test_odd_shapes_are_answered(page: Service, shape: tuple[int, int]) -> None:
    file = io.BytesIO()
    Image.new("RGB", shape, (90, 120, 60)).save(file, "PNG")
    for number, task in enumerate(TASKS):
        images = [file.getvalue()] * (1 + (task == "face_embedding"))
        status, reply = ask(page, f"model={number}&draw=true", *images)
        assert status == 200, reply
        assert max(picture_of(reply).size) < 3000


@pytest.mark.slow
def test_a_gallery_is_searched(models: list[Path], tmp_path: Path) -> None:
    gallery = tmp_path / "gallery"
    gallery.mkdir()
    for seed in range(3):
        (gallery / f"{seed}.jpg").write_bytes(photo(seed))
    (gallery / "bad.jpg").write_text("no picture")
    config = Serve(models=(models[3],), port=0, gallery=gallery, common=Common(device="cpu"))
    server, shelf = open_service(config)
    with serving(server):
        assert shelf.describe()[0]["images"] == 1
        status, answer = ask(server, "draw=true", photo(1))
    assert status == 200, answer
    reply = answer["shown"]
    assert reply["rows"][0][0] == "1.jpg"
    assert reply["rows"][0][1] == pytest.approx(0, abs=1e-5)
    assert len(reply["rows"]) == 3
    assert "1.jpg" in reply["summary"]


@pytest.mark.slow
@pytest.mark.parametrize("path", ["/", "/page.js", "/page.css", "/icon.svg", "/v1/models"])
def test_pages_are_locked_up(page: Service, path: str) -> None:
    status, headers, content = request(page, "GET", path)
    assert status == 200
    assert content
    policy = dict(part.split(" ", 1) for part in headers["Content-Security-Policy"].split("; "))
    assert policy["default-src"] == "'none'"
    assert policy["script-src"] == policy["style-src"] == policy["connect-src"] == "'self'"
    assert policy["frame-ancestors"] == "'none'"
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["Cache-Control"] == "no-store"
    assert "Python" not in headers["Server"]
    if path != "/icon.svg":  # An XML name space is no address.
        assert b"http://" not in content
        assert b"https://" not in content


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png(width: int, height: int, extra: bytes = b"") -> bytes:
    """A few bytes that claim to be so large."""
    head = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 1, 0, 0, 0, 0))
    end = chunk(b"IDAT", zlib.compress(bytes(1000))) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + head + extra + end


def scanned(times: int) -> bytes:
    """A JPEG whose picture is gone over again and again."""
    data = photo()
    start = data.index(b"\xff\xda")
    return data[:-2] + data[start : start + 14] * times + data[-2:]


def as_kind(kind: str) -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (40, 30)).save(file, kind)
    return file.getvalue()


BAD = {
    "empty": (b"", 422, "empty"),
    "text": (b"I am a text, whatever my name is.\n" * 99, 415, "not an image"),
    "svg": (b"<svg xmlns='http://www.w3.org/2000/svg'/>", 415, "JPEG, PNG"),
    "postscript": (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", 415, "not an image"),
    "tiff": (as_kind("TIFF"), 415, "JPEG, PNG"),
    "heic": (b"\0\0\0\x18ftypheic" + bytes(99), 415, "HEIC"),
    "cut_jpeg": (photo()[:4000], 422, "truncated"),
    "cut_png": (photo(kind="PNG")[:4000], 422, "damaged"),
    "cut_webp": (photo(kind="WEBP")[:900], 422, "damaged"),
    "head_alone": (photo()[:30], 422, "damaged"),
    "bomb": (png(20_000, 20_000), 413, "--megapixels"),
    "huge_bomb": (png(2**31 - 1, 2**31 - 1), 413, "--megapixels"),
    "no_size": (png(0, 10), 415, "not an image"),
    "text_bomb": (png(9, 9, chunk(b"zTXt", b"a\0\0" + zlib.compress(bytes(9**8)))), 422, "damag"),
    "scans": (scanned(500), 422, "501 scans"),
}


@pytest.mark.slow
def test_bytes_that_look_like_scans_by_chance_are_no_attack() -> None:
    """Two bytes are met by chance in any large file that is compressed."""
    noise = np.random.default_rng(0).integers(0, 256, (2400, 1800, 3), dtype=np.uint8)
    file = io.BytesIO()
    Image.fromarray(noise).save(file, "PNG", compress_level=1)
    data = file.getvalue()
    assert data.count(b"\xff\xda") > 100
    assert decode_upload(data, 10**7).shape == noise.shape


@pytest.mark.slow
@pytest.mark.parametrize("name", BAD)
def test_bad_photos_are_refused(page: Service, name: str) -> None:
    body, wanted, word = BAD[name]
    status, reply = ask(page, "model=0", body)
    assert status == wanted, reply
    assert word in reply["error"]
    assert ask(page, "model=0", photo())[0] == 200


@pytest.mark.parametrize(
    ("query", "images", "status", "word"),
    [
        ("model=9", [photo()], 400, "no model '9'"),
        ("model=-1", [photo()], 400, "no model '-1'"),
        ("model=1&model=2", [photo()], 400, "once"),
        ("model=" + "9" * 40, [photo()], 400, "no model"),
        ("model=0&draw=maybe", [photo()], 400, "true or false"),
        ("model=3&draw=true", [photo()], 400, "2 image(s)"),
        ("model=0", [photo(), photo()], 400, "1 image(s)"),
        ("model=3", [photo()] * 3, 400, "at most 2"),
        ("model=3", [photo(), b""], 422, "empty"),
        ("model=0", [bytes(1_000_001)], 413, "--megabytes"),
    ],
)
def test_bad_questions_are_refused(
    page: Service, query: str, images: list[bytes], status: int, word: str
) -> None:
    found, reply = ask(page, query, *images)
    assert found == status, reply
    assert word in reply["error"]
