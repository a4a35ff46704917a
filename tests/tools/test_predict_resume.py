"""Predictions that are interrupted: what is on the disk, and that they end the same."""

import json
import shutil
import signal
import subprocess
import sys
import weakref
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any

import pytest

from tests.conftest import Tool
from tests.exports import Exports
from tests.house import ROOT
from tests.tools.films import write_film
from tests.tools.predicted import EASY, draw_album, lines_of, names_in
from tools.flows import journal, predicting, results
from tools.flows.journal import BAD, LINES, PARTIAL, STATE
from tools.flows.sources import Entry
from tools.flows.videos import Film

pytestmark = pytest.mark.slow

Contents = dict[str, bytes]
FLAGS = ("--batch-size", 3, "--threads", 1, *EASY)
FILES = {"json": "predictions.json", "csv": "predictions.csv"}


@pytest.fixture
def album(tmp_path: Path) -> Path:
    """Images of which some cannot be read, with a video between and one at the end."""
    root = draw_album(tmp_path / "album", 17)
    for name in ("left/001.png", "left/010.png", "right/006.png", "right/015.png"):
        (root / name).write_bytes((root / name).read_bytes()[:90])
    write_film(root / "left" / "005b.avi", 5)
    write_film(root / "zoo.avi", 4)
    (root / "left" / "bad.avi").write_text("no film")
    return root


@pytest.fixture
def predict(tool: Tool, exports: Exports, album: Path, tmp_path: Path) -> Callable[..., Any]:
    """Predict on the album; returns the folder, and the messages."""

    def run(*flags: object, out: str = "out", fails: str = "") -> tuple[Path, str]:
        args = (exports.file("ssd"), album, "--out", tmp_path / out, *FLAGS, *flags)
        status, text, err = tool("predict", *args)
        assert status == (2 if fails else 0), err
        assert fails in err
        return tmp_path / out, text + err

    return run


def contents(folder: Path) -> Contents:
    """All files, except drawn videos, whose headers hold the time."""
    return {
        str(file.relative_to(folder)): file.read_bytes()
        for file in sorted(folder.rglob("*"))
        if file.is_file() and file.suffix != ".mp4"
    }


def interrupt(whole: Path, journal_of: bytes, folder: Path, form: str, rng: Random) -> None:
    """A folder as a kill leaves it that comes at any byte."""
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(whole, folder)
    state = json.loads((folder / STATE).read_text())
    (folder / STATE).write_text(json.dumps({**state, "found": None}))
    (folder / FILES.get(form, LINES)).unlink()
    kept = journal_of[: rng.randrange(len(journal_of) + 1)]
    (folder / PARTIAL).write_bytes(kept)
    # What cannot be read is written before the results that follow it.
    names = [json.loads(line)["file"] for line in kept.split(b"\n")[:-1]]
    last = names[-1].partition("#")[0] if names else ""
    bad = (folder / BAD).read_bytes().splitlines(keepends=True)
    before = sum(Path(json.loads(line)["file"]) < Path(last) for line in bad)
    more = rng.randrange(len(bad) - before + 1)
    half = bad[before + more][:20] if before + more < len(bad) else b""
    (folder / BAD).write_bytes(b"".join([*bad[: before + more], half]))


@pytest.mark.parametrize("form", ["jsonl", "json", "csv", "yolo"])
@pytest.mark.parametrize("draw", ["--draw", "--no-draw"])
def test_a_kill_at_any_byte(
    form: str, draw: str, predict: Callable[..., Any], tmp_path: Path
) -> None:
    flags = ("--format", form, draw)
    lines, _ = predict("--format", "jsonl", "--no-draw", out="lines")
    whole, _ = predict(*flags, out="whole")
    assert len((whole / BAD).read_text().splitlines()) == 5
    assert len(lines_of(lines)) == 13 + 9
    wanted = contents(whole)
    journal_of = (lines / LINES).read_bytes()
    for number in range(5 if draw == "--no-draw" else 2):
        folder = tmp_path / "whole2"
        interrupt(whole, journal_of, folder, form, Random(f"{form}/{draw}/{number}"))
        predict(*flags, "--resume", out="whole2")
        assert contents(folder) == wanted


def test_batches_stay_the_same(
    predict: Callable[..., Any], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """A network may round differently in another batch."""
    real = predicting.Predictor.__call__
    seen: list[list[bytes]] = []

    def spy(self: Any, images: Any) -> Any:
        seen.append([image.tobytes()[:40] for image in images])
        return real(self, images)

    monkeypatch.setattr(predicting.Predictor, "__call__", spy)
    whole, _ = predict("--format", "jsonl", "--no-draw", out="whole")
    batches = seen[:]
    seen.clear()
    data = (whole / LINES).read_bytes()
    interrupt(whole, data, tmp_path / "again", "jsonl", Random(1))
    kept = (tmp_path / "again" / PARTIAL).read_bytes().count(b"\n")
    predict("--format", "jsonl", "--no-draw", "--resume", out="again")
    assert seen
    assert seen == batches[-len(seen) :]
    assert sum(map(len, seen)) < 22 - kept + 3


@pytest.mark.parametrize("stop", [KeyboardInterrupt, OSError(28, "No space left on device")])
def test_what_was_written_stays(
    stop: Any,
    predict: Callable[..., Any],
    monkeypatch: pytest.MonkeyPatch,
    tool: Tool,
    exports: Exports,
    album: Path,
    tmp_path: Path,
) -> None:
    whole, _ = predict("--format", "jsonl", "--no-draw", out="whole")
    real, calls = journal.Journal.add, []

    def add(self: Any, rows: Any) -> None:
        calls.append(1)
        if len(calls) == 4:
            raise stop
        real(self, rows)

    monkeypatch.setattr(journal.Journal, "add", add)
    flags = (*FLAGS, "--format", "jsonl", "--no-draw")
    args = (exports.file("ssd"), album, "--out", tmp_path / "out", *flags)
    status, _, _ = tool("predict", *args)
    assert status == 1
    monkeypatch.undo()
    left = (tmp_path / "out" / PARTIAL).read_bytes()
    assert left
    assert (whole / LINES).read_bytes().startswith(left)
    again = ("--format", "jsonl", "--no-draw")
    predict(*again, fails="holds an unfinished prediction: go on with it by --resume")
    for flag, why in (
        (("--crops",), "was begun with crops false, and not true"),
        (("--batch-size", 4), "was begun with batch_size 3, and not 4"),
    ):
        predict(*again, *flag, "--resume", fails=why)
    predict(*again, "--resume")
    assert contents(tmp_path / "out") == contents(whole)
    _, err = predict(*again, "--resume")
    assert "complete already" in err
    assert contents(tmp_path / "out") == contents(whole)


def test_another_model_or_other_files(
    predict: Callable[..., Any], tool: Tool, exports: Exports, album: Path, tmp_path: Path
) -> None:
    whole, _ = predict("--format", "jsonl", "--no-draw", out="whole")
    data = (whole / LINES).read_bytes()
    interrupt(whole, data + b"{", tmp_path / "out", "jsonl", Random(3))
    args = (exports.source("faces").file, album, "--out", tmp_path / "out", "--resume")
    assert "--resume: the weights are for face_embedding" in tool("predict", *args)[2]
    other = (exports.source("ssd").file, *args[1:], *FLAGS, "--format", "jsonl", "--no-draw")
    status, _, err = tool("predict", *other)
    assert status == 2
    assert "was begun with another model" in err
    (album / "left" / "000.png").write_bytes((album / "left" / "002.png").read_bytes())
    predict("--format", "jsonl", "--no-draw", "--resume", fails="the files have changed")


def test_parts_make_the_whole(predict: Callable[..., Any]) -> None:
    whole, _ = predict("--format", "jsonl", "--no-draw", "--crops", out="whole")
    parts = [
        predict("--format", "jsonl", "--no-draw", "--crops", "--part", f"{k}/4", out=f"p{k}")[0]
        for k in (1, 2, 3, 4)
    ]
    assert [name for part in parts for name in names_in(part)] == names_in(whole)
    joined = [line for part in parts for line in lines_of(part)]
    for ours, theirs in zip(joined, lines_of(whole), strict=True):
        assert len(ours["objects"]) == len(theirs["objects"])
        for one, other in zip(ours["objects"], theirs["objects"], strict=True):
            assert one["bbox"] == pytest.approx(other["bbox"], abs=0.02)
    crops = {name for part in parts for name in contents(part) if name.startswith("crops")}
    assert crops == {name for name in contents(whole) if name.startswith("crops")}
    predict("--part", "1/2", fails="--format json is one object, which cannot be joined")


def test_parts_of_other_files(predict: Callable[..., Any], album: Path, tmp_path: Path) -> None:
    flags = ("--format", "jsonl", "--no-draw", "--part", "2/3")
    whole, _ = predict(*flags, out="whole")
    interrupt(whole, (whole / LINES).read_bytes(), tmp_path / "out", "jsonl", Random(2))
    (album / "new.png").write_bytes((album / "left" / "002.png").read_bytes())
    predict(*flags, "--resume", fails="the number of files has changed since part 2/3")
    (album / "new.png").unlink()
    predict(*flags, "--resume")
    assert contents(tmp_path / "out") == contents(whole)


def test_results_that_are_gone_are_made_anew(predict: Callable[..., Any]) -> None:
    out, _ = predict("--crops")
    wanted = contents(out)
    predict("--crops", fails="crops/ holds files already; move or delete it")
    (out / "predictions.json").unlink()
    predict("--crops", "--resume")
    assert contents(out) == wanted


def test_lines_of_a_stream_stay(tmp_path: Path) -> None:
    """Its frames never come again, even if it is drawn."""
    rows = [{"file": f"camera 0#{number}"} for number in (0, 4, 9)]
    (tmp_path / PARTIAL).write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    for live, done, frame in ((True, 3, 10), (False, 0, 0)):
        entry = Entry("camera 0", "camera-0", film=Film(0, live=live))
        place = journal.Replay(tmp_path, 2, whole_films=True).run([(0, entry)])
        assert (place.done, place.used, place.frame) == (done, done, frame)


def test_a_link_is_not_written_through(predict: Callable[..., Any], tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "victim").mkdir()
    (tmp_path / "out" / "left").symlink_to(tmp_path / "victim")
    predict(fails="out/left leads out of it by a link")
    assert not list((tmp_path / "victim").iterdir())


def test_more_parts_than_files(tool: Tool, exports: Exports, album: Path, tmp_path: Path) -> None:
    args = (exports.file("classifier"), album / "left" / "002.png", "--format", "csv")
    for number, count in ((1, 0), (2, 1)):
        out = tmp_path / f"part-{number}"
        status, text, err = tool("predict", *args, "--part", f"{number}/2", "--out", out)
        assert status == 0, err
        assert f"{count} images" in text
        assert (out / "predictions.csv").exists()


def test_strict_stops_at_the_first(predict: Callable[..., Any]) -> None:
    flags = ("--format", "jsonl", "--no-draw")
    folder, err = predict(*flags, "--strict", fails="left/001.png: the image is damaged")
    assert "(--strict)" in err
    predict(*flags, "--resume")
    assert len(lines_of(folder)) == 22


def test_memory_does_not_grow(
    tool: Tool, exports: Exports, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of all results only those of the last batches live at a time."""

    class Row(dict[str, Any]):
        """A dictionary that can be watched."""

    watched: list[weakref.ref[Row]] = []
    alive: list[int] = []
    make, write = results.Results.row, journal.Journal.add

    def row(*args: Any) -> Row:
        made = Row(make(*args))
        watched.append(weakref.ref(made))
        return made

    def add(self: Any, rows: Any) -> None:
        write(self, rows)
        alive.append(sum(one() is not None for one in watched))

    monkeypatch.setattr(results.Results, "row", row)
    monkeypatch.setattr(journal.Journal, "add", add)
    album, out = draw_album(tmp_path / "album", 90), tmp_path / "out"
    flags = (*FLAGS, "--format", "jsonl", "--no-draw", "--out", out)
    assert tool("predict", exports.file("ssd"), album, *flags)[0] == 0
    assert len(lines_of(out)) == len(watched) == 90
    assert len(alive) == 30
    assert max(alive) <= 3 * 3


@pytest.mark.parametrize("stop", [signal.SIGTERM, signal.SIGINT])
def test_signals_of_schedulers(
    stop: signal.Signals, exports: Exports, album: Path, tmp_path: Path
) -> None:
    """A child that is stopped while its input is open: it says how to go on."""
    code = (
        "import os, sys\n"
        "from tools import cli, predict\n"
        "from tools.flows import journal\n"
        "number, real = int(sys.argv.pop()), journal.Journal.add\n"
        "def add(self, rows):\n"
        "    real(self, rows)\n"
        "    os.kill(os.getpid(), number)\n"
        "journal.Journal.add = add\n"
        "cli.run(predict.main)\n"
    )
    flags = map(str, (*FLAGS, "--format", "jsonl", "--no-draw"))
    args = [exports.file("ssd"), album, "--out", tmp_path / "out", *flags, str(int(stop))]
    done = subprocess.run(
        [sys.executable, "-c", code, *map(str, args)],
        capture_output=True,
        text=True,
        check=False,
        cwd=ROOT,
    )
    assert done.returncode == 1, done.stderr
    assert "the same command with --resume goes on" in done.stderr
    assert "interrupted" in done.stderr
    assert (tmp_path / "out" / PARTIAL).read_bytes().count(b"\n") == 3


def test_an_export_starts_without_torch(exports: Exports, album: Path, tmp_path: Path) -> None:
    code = (
        "import sys\n"
        "from tools import cli, predict\n"
        "cli.run(predict.main)\n"
        "assert not {'torch', 'lightning', 'albumentations'} & set(sys.modules)"
    )
    args = [exports.file("ssd"), album, "--out", tmp_path / "out", "--crops", "--tiles", 40]
    done = subprocess.run(
        [sys.executable, "-c", code, *map(str, args)],
        capture_output=True,
        text=True,
        check=False,
        cwd=ROOT,
    )
    assert done.returncode == 0, done.stderr
