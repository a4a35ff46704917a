"""Videos as predict.py reads and writes them: damaged ones, odd rates, sizes that change."""

import math
from collections import deque
from pathlib import Path, PurePath
from typing import Any
from xml.etree import ElementTree

import cv2
import numpy as np
import pytest

from datasets.boxes.label_texts import voc_text
from tests.conftest import Tool
from tests.exports import Exports
from tests.tools.films import write_film
from tests.tools.predicted import EASY, draw_album, lines_of, names_in
from tools.flows import predicting, videos
from tools.flows.videos import Film, Frames, OpenedFilm, VideoFile


def size_and_frames(file: Path) -> tuple[float, float, int]:
    """Width, height and number of frames."""
    capture = cv2.VideoCapture(str(file))
    width, height = (
        capture.get(key) for key in (cv2.CAP_PROP_FRAME_WIDTH, cv2.CAP_PROP_FRAME_HEIGHT)
    )
    count = 0
    while capture.grab():
        count += 1
    capture.release()
    return width, height, count


@pytest.mark.slow
@pytest.mark.parametrize("rate", [29.97, 66.667, 239.943, 90000.0, math.nan, -1.0, 0.0, math.inf])
def test_any_rate_is_written(rate: float, tmp_path: Path) -> None:
    file = tmp_path / "film.mp4"
    with VideoFile(file, rate) as film:
        for side in (64, 48, 80):
            film.write(np.full((side, side, 3), side, np.uint8))
    assert size_and_frames(file) == (64, 64, 3)


@pytest.mark.slow
@pytest.mark.parametrize("number", range(4))
def test_an_error_ends_the_thread_of_a_stream(number: int, tmp_path: Path) -> None:
    """Its frames may be held by the traceback, and the capture must not go before the thread."""
    film = Film(write_film(tmp_path / "film.avi", 60 + number), live=True)

    def fail() -> None:
        with OpenedFilm(film, "film") as opened:
            for _ in opened.frames(0, 1):
                raise OSError("full")

    with pytest.raises(OSError, match="full"):
        fail()


@pytest.mark.slow
def test_frames_of_a_stream_are_counted(
    exports: Exports, tool: Tool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Their numbers have gaps, since a slow model passes over frames."""
    write_film(tmp_path / "film.avi", 1)
    image = np.zeros((64, 96, 3), np.uint8)

    def newest(*_: object) -> Frames:
        yield from ((number, image) for number in range(0, 70, 7))

    def opened(_: Film, name: str) -> OpenedFilm:
        return OpenedFilm(Film(tmp_path / "film.avi", live=True), name)

    monkeypatch.setattr(videos, "_newest", newest)
    monkeypatch.setattr(predicting, "OpenedFilm", opened)
    flags = ("--frames", 3, "--format", "jsonl", "--no-draw", "--out", tmp_path / "out")
    status, _, err = tool("predict", exports.file("classifier"), "97", *flags)
    assert status == 0, err
    assert names_in(tmp_path / "out") == [f"camera 97#{number}" for number in (0, 7, 14)]


@pytest.mark.slow
def test_a_damaged_video(exports: Exports, tool: Tool, tmp_path: Path) -> None:
    film, out = write_film(tmp_path / "film.avi", 20), tmp_path / "out"
    data = film.read_bytes()
    film.write_bytes(data[: len(data) // 2])
    flags = ("--format", "jsonl", "--no-draw", "--out", out)
    status, _, err = tool("predict", exports.file("classifier"), film, *flags)
    assert status == 0, err
    count = len(names_in(out))
    assert 0 < count < 20
    assert f"film.avi: {count} of 20 frames could be decoded; the video is damaged" in err
    _, _, err = tool("predict", exports.file("classifier"), film, *flags, "--frames", 2)
    assert "damaged" not in err


@pytest.mark.slow
def test_labels_of_frames(exports: Exports, tool: Tool, tmp_path: Path) -> None:
    """Frames have a folder of their own, so that no image has the same label file."""
    root, out = draw_album(tmp_path / "album", 1), tmp_path / "out"
    write_film(root / "film.avi", 2)
    (root / "film_000000.png").write_bytes((root / "right/000.png").read_bytes())
    flags = ("--format", "voc", "--no-draw", "--out", out, *EASY)
    status, _, err = tool("predict", exports.file("ssd"), root, *flags)
    assert status == 0, err
    files = sorted(out.rglob("*.xml"))
    assert [str(file.relative_to(out / "Annotations")) for file in files] == [
        "film.avi/000000.xml",
        "film.avi/000001.xml",
        "film_000000.xml",
        "right/000.xml",
    ]
    names = [ElementTree.parse(file).findtext("filename") for file in files]
    assert names == ["000000.jpg", "000001.jpg", "film_000000.png", "000.png"]
    assert len(lines_of(out)) == 4


def test_ctrl_c_loses_no_batch() -> None:
    """On a stream the prediction goes on to its end, after waiting for a label file in vain."""

    class Job:
        """A label file that is ready when it is asked for again."""

        asked = 0

        def result(self) -> None:
            self.asked += 1
            if self.asked == 1:
                raise KeyboardInterrupt

    class Lines(list[Any]):
        """A journal in memory."""

        add = list.extend

    work: Any = object.__new__(predicting._Prediction)
    work._pending, work._journal = deque([(["row"], [Job()])]), Lines()
    with pytest.raises(KeyboardInterrupt):
        work._commit(0)
    work._commit(0)
    assert work._journal == ["row"]
    assert not work._pending


def test_names_in_xml() -> None:
    text = voc_text(PurePath("a\x01/ch\udce2ton.jpg"), (2, 2), [])
    assert ElementTree.fromstring(text).findtext("filename") == r"ch\xe2ton.jpg"


@pytest.mark.slow
def test_reasons_stay_if_nothing_can_be_read(exports: Exports, tool: Tool, tmp_path: Path) -> None:
    (tmp_path / "a.jpg").write_text("no image")
    args = (exports.file("classifier"), tmp_path / "a.jpg", "--out", tmp_path / "out")
    for flags in ((), ("--resume",), ("--every", 2)):
        status, _, err = tool("predict", *args, *flags)
        assert status == 2
        assert "the reasons are in" in err
        assert len((tmp_path / "out" / "unreadable.jsonl").read_text().splitlines()) == 1
        assert ("--every and --frames have no effect" in err) == ("--every" in flags)
    (tmp_path / "out" / "predict.json").write_text(
        '{"version": 1, "model": "x", "options": {}, "found": 5}'
    )
    _, _, err = tool("predict", *args, "--resume")
    assert "predict.json: cannot be read" in err


@pytest.mark.slow
@pytest.mark.parametrize(
    ("argument", "what"),
    [
        ("-", "-: is a list of paths"),
        ("http://a:b@host/a.jpg", "http://host/a.jpg: is an address"),
        ("0", "0: is a camera"),
        ("*.jpg", r"*.jpg: is a pattern"),
        ("list.txt", "list.txt: is a list of paths"),
    ],
)
def test_sources_of_comparisons(
    argument: str,
    what: str,
    exports: Exports,
    tool: Tool,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "list.txt").write_text("a.jpg\n")
    status, _, err = tool("predict", exports.file("faces"), argument, "--out", tmp_path / "out")
    assert status == 2
    assert what in err
