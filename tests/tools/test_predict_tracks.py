"""predict.py --track: numbers of objects in every format, counts, and interruptions."""

import csv
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.conftest import Tool
from tests.drawn_films import write_moving
from tests.exports import Exports
from tests.tools.films import write_film
from tests.tools.predicted import EASY, draw_album, lines_of
from tools.flows import predicting, videos
from tools.flows.journal import LINES, PARTIAL, STATE
from tools.flows.tracks import count_tracks
from tools.flows.videos import Film, Frames, OpenedFilm

pytestmark = pytest.mark.slow
FLAGS = ("--track", "--lines", "door=.5,0,.5,1", "--batch-size", 4, "--threads", 1, *EASY)


@pytest.fixture
def films(tmp_path: Path) -> Path:
    """Two videos, and an image."""
    root = draw_album(tmp_path / "films", 1)
    for seed in (0, 1):
        write_moving(root / f"{seed}.avi", seed, 12, 4)
    return root


def numbers(rows: list[dict[str, Any]], film: str) -> set[int]:
    """The tracks of a video."""
    of_film = [row for row in rows if row["file"].rpartition("#")[0].endswith(film)]
    return {one["track"] for row in of_film for one in row["objects"] if one["track"]}


def test_formats_and_counts(tool: Tool, exports: Exports, films: Path, tmp_path: Path) -> None:
    args = (exports.file("ssd"), films, *FLAGS)
    lines, table = tmp_path / "lines", tmp_path / "table"
    status, text, err = tool("predict", *args, "--format", "jsonl", "--json", "--out", lines)
    assert status == 0, err
    rows = lines_of(lines)
    assert min(numbers(rows, "0.avi")) == min(numbers(rows, "1.avi")) == 1  # A tracker for each.
    found = json.loads(text)["tracks"]
    assert found == json.loads((lines / "tracks.json").read_text())
    assert found == count_tracks(rows, ["door"])
    for video, film in zip(found["videos"], ("0.avi", "1.avi"), strict=True):
        assert video["file"].endswith(film)
        assert sum(video["tracks"].values()) == len(numbers(rows, film))
        assert set(video["lines"]["door"]) == {"left", "right"}
    (image,) = (row for row in rows if row["file"].endswith(".png"))
    assert "crossings" not in image
    assert all("track" not in one for one in image["objects"])
    assert (lines / "0.mp4").exists()
    status, text, err = tool("predict", *args, "--format", "csv", "--no-draw", "--out", table)
    assert status == 0, err
    assert "tracks: " in text
    assert "door: to left: " in text
    with (table / "predictions.csv").open() as file:
        cells = list(csv.DictReader(file))
    flat = [str(one.get("track") or "") for row in rows for one in row["objects"] or [{}]]
    assert [row["track"] for row in cells] == flat


def test_a_video_is_followed_anew(
    tool: Tool, exports: Exports, films: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    args = (exports.file("ssd"), films, *FLAGS, "--format", "jsonl", "--no-draw", "--out", out)
    assert tool("predict", *args)[0] == 0
    wanted, counts = (out / LINES).read_bytes(), (out / "tracks.json").read_bytes()
    state = json.loads((out / STATE).read_text())
    (out / STATE).write_text(json.dumps({**state, "found": None}))
    (out / LINES).unlink()
    (out / PARTIAL).write_bytes(b"".join(wanted.splitlines(keepends=True)[:9]))
    status, _, err = tool("predict", *args, "--resume")
    assert status == 0, err
    assert "going on after 0 results" in err
    assert (out / LINES).read_bytes() == wanted
    assert (out / "tracks.json").read_bytes() == counts


def test_numbers_of_a_stream_go_on(
    tool: Tool, exports: Exports, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its objects are others when it is opened again."""
    write_film(tmp_path / "film.avi", 1)
    image, shown = np.full((64, 96, 3), 90, np.uint8), 3

    def newest(_: object, first: int, every: int) -> Frames:
        yield from ((number, image) for number in range(first, first + shown * every, every))

    def opened(_: Film, name: str) -> OpenedFilm:
        return OpenedFilm(Film(tmp_path / "film.avi", live=True), name)

    monkeypatch.setattr(videos, "_newest", newest)
    monkeypatch.setattr(predicting, "OpenedFilm", opened)
    out = tmp_path / "out"
    args = (exports.file("ssd"), "97", *FLAGS, "--every", 2, "--format", "jsonl", "--out", out)
    assert tool("predict", *args)[0] == 0
    before = numbers(lines_of(out), "camera 97")
    assert before
    state = json.loads((out / STATE).read_text())
    (out / STATE).write_text(json.dumps({**state, "found": None}))
    (out / LINES).replace(out / PARTIAL)
    status, _, err = tool("predict", *args, "--resume")
    assert status == 0, err
    rows = lines_of(out)
    assert len(rows) == 2 * shown
    after = numbers(rows[shown:], "camera 97")
    assert after
    assert min(after) > max(before)
    (video,) = count_tracks(rows, [])["videos"]
    assert sum(video["tracks"].values()) == len(before) + len(after)


def test_what_cannot_be_followed(
    tool: Tool, exports: Exports, films: Path, tmp_path: Path
) -> None:
    out = ("--out", tmp_path / "out")
    status, _, err = tool("predict", exports.file("ssd"), films / "right", "--track", *out)
    assert status == 2
    assert "--track: follows objects through videos and streams, and there are only images" in err
    status, _, err = tool("predict", exports.file("classifier"), films, "--track", *out)
    assert status == 2
    assert "--track: the weights are for classification" in err


def test_the_same_file_twice() -> None:
    row = {"objects": [{"track": 1, "category": "cat"}], "crossings": []}
    rows = [{"file": f"film#a.mp4#{number}", **row} for number in (0, 1, 0, 1)]
    found = count_tracks(rows, [])
    assert [one["tracks"] for one in found["videos"]] == [{"cat": 1}, {"cat": 1}]
    assert found["tracks"] == {"cat": 2}
