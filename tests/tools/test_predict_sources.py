"""Every kind of source: what is found there, in which order, and what is refused."""

import functools
import http.server
import io
import os
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from datasets.errors import InputError
from tests.conftest import Tool
from tests.datasets.tar_fakes import jpeg, write_tar
from tests.exports import Exports
from tests.tools.films import write_film
from tests.tools.predicted import draw_album, names_in
from tools.flows import addresses
from tools.flows.addresses import fetch_image, is_address, without_password
from tools.flows.sources import Sources, open_sources
from tools.flows.videos import Film, OpenedFilm

Seen = Callable[..., list[str]]


@pytest.fixture
def album(tmp_path: Path) -> Path:
    return draw_album(tmp_path / "album", 7)


@pytest.fixture
def seen(tmp_path: Path) -> Seen:
    """Places of the entries that arguments stand for."""

    def find(*arguments: object) -> list[str]:
        with open_sources([str(one) for one in arguments], tmp_path / "out") as sources:
            found = list(sources)
            assert len(found) == sources.count
            assert [one.name for one in sources] == [one.name for one in found]
            return [one.place for one in found]

    return find


LEFT = [f"left/{number:03d}.png" for number in (1, 2, 4, 5)]
RIGHT = [f"right/{number:03d}.png" for number in (0, 3, 6)]


def test_a_tree_in_order_without_the_output(album: Path, seen: Seen, tmp_path: Path) -> None:
    (album / "notes.md").write_text("none")
    (album / ".hidden.png").write_text("none")
    assert seen(album) == [*LEFT, *RIGHT]
    draw_album(tmp_path / "out", 3)
    assert all(not place.startswith("out") for place in seen(tmp_path))


def test_files_and_patterns(album: Path, seen: Seen, monkeypatch: pytest.MonkeyPatch) -> None:
    assert seen(album / "left/001.png", album / "right/000.png") == ["001.png", "000.png"]
    assert seen(album / "**" / "*.png") == [*LEFT, *RIGHT]
    assert seen(album / "l*" / "00[12].png") == LEFT[:2]
    monkeypatch.chdir(album)
    assert seen("left/*") == ["001.png", "002.png", "004.png", "005.png"]
    assert seen("./left/*5.png") == ["left/005.png"]
    assert seen("**/*0.png") == ["right/000.png"]
    with pytest.raises(InputError, match=r"\*\.tif: matches no image"):
        seen("*.tif")
    odd = album / "a[1].png"
    odd.write_bytes((album / "left/001.png").read_bytes())
    assert seen(odd) == ["a[1].png"]


def test_lists(album: Path, seen: Seen, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Paths are relative to the list or, if they are not there, to the working folder."""
    (album / "list.txt").write_bytes(b"\xef\xbb\xbfleft/001.png\r\n\r\nright/000.png\n")
    assert seen(album / "list.txt") == ["left/001.png", "right/000.png"]
    monkeypatch.chdir(album)
    (tmp_path / "list.csv").write_text(f"file,label\nleft/002.png,x\n{album}/left/004.png,y\n")
    places = seen(tmp_path / "list.csv")
    assert places == ["left/002.png", f"{str(album)[1:]}/left/004.png"]
    with open_sources([str(tmp_path / "list.csv")], tmp_path / "out") as sources:
        assert [entry.read().shape for entry in sources if entry.read] == [
            (40, 45, 3),
            (36, 45, 3),
        ]
    (tmp_path / "wide.txt").write_text("left/002.png", encoding="utf-16")
    with pytest.raises(InputError, match=r"wide.txt: not text in UTF-8"):
        seen(tmp_path / "wide.txt")


def test_standard_input(album: Path, seen: Seen, monkeypatch: pytest.MonkeyPatch) -> None:
    odd = album / os.fsdecode(b"ch\xe2ton.png")
    odd.write_bytes((album / "left/001.png").read_bytes())
    given = os.fsencode(f"{album}/left/001.png\n{odd}\n")
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(given)))
    assert [place.rpartition("/")[2] for place in seen("-")] == ["001.png", odd.name]


def test_shards(seen: Seen, tmp_path: Path) -> None:
    for number in range(2):
        members = {f"{number}.jpg": jpeg(90), f"{number}.cls": b"1", "../../up.jpg": jpeg(20)}
        write_tar(tmp_path / f"train-{number}.tar", members)
    first, second = (
        [f"train-{number}.tar/{number}.jpg", f"train-{number}.tar/up.jpg"] for number in range(2)
    )
    assert seen(tmp_path / "train-0.tar") == first
    assert seen(tmp_path / "train-{0..1}.tar") == seen(tmp_path) == [*first, *second]
    empty = write_tar(tmp_path / "empty.tar", {"0.txt": b"text"})
    with pytest.raises(InputError, match=r"empty.tar: holds no images"):
        seen(empty)


@pytest.mark.parametrize(
    ("argument", "why"),
    [
        ("gone.jpg", r"gone.jpg: no such file"),
        ("s3://bucket/a.jpg", r"s3:// cannot be read; there is http"),
        ("http://:80/a.jpg", r"names no server"),
        ("http://host:port/a.jpg", r"no address"),
        ("a\0b", r"no name that a file can have"),
    ],
)
def test_what_stands_for_nothing(argument: str, why: str, seen: Seen) -> None:
    with pytest.raises(InputError, match=why):
        seen(argument)


def test_originals_in_the_output_are_refused(tmp_path: Path, seen: Seen) -> None:
    draw_album(tmp_path / "out", 2)
    (tmp_path / "list.txt").write_text("out/left/001.png\n")
    (tmp_path / "links").mkdir()
    (tmp_path / "links" / "001.png").symlink_to(tmp_path / "out/left/001.png")
    (tmp_path / "left").symlink_to(tmp_path / "out/left")
    for argument in ("out/left/001.png", "list.txt", "out/*/*", "links", "left/001.png"):
        with pytest.raises(InputError, match=r"would overwrite .*/001.png"):
            seen(tmp_path / argument)
    (tmp_path / "left").unlink()
    (tmp_path / "links" / "001.png").unlink()
    draw_album(tmp_path / "album", 2)
    assert seen(tmp_path / "**" / "*.png") == ["album/left/001.png", "album/right/000.png"]


def test_names_that_no_folder_takes(seen: Seen, tmp_path: Path) -> None:
    members = {"a.jpg": jpeg(20), "a.jpg/b.jpg": jpeg(20), "c" * 300 + ".jpg": jpeg(20)}
    write_tar(tmp_path / "odd.tar", members)
    assert seen(tmp_path / "odd.tar") == [
        "odd.tar/a.jpg",
        "odd.tar/a.jpg_/b.jpg",
        f"odd.tar/{'c' * 200}",
    ]
    (tmp_path / "list.txt").write_text("a\0b/c.jpg\na\0b/d.avi\n")
    with open_sources([str(tmp_path / "list.txt")], tmp_path / "out") as sources:
        photo, film = sources
    assert photo.read is not None
    assert film.film is not None
    with pytest.raises(InputError, match=r"b/c.jpg"):
        photo.read()
    with pytest.raises(InputError, match=r"b/d.avi: no name that a file can have"):
        OpenedFilm(film.film, film.name)


def test_odd_tables(album: Path, seen: Seen) -> None:
    (album / "list.csv").write_text('file,label\n"left/001.png,x\nleft/002.png,y\n"a,b.png",z\n')
    assert seen(album / "list.csv")[1:] == ["left/002.png", "a,b.png"]
    (album / "list.csv").write_text("a" * 200_000)
    with pytest.raises(InputError, match=r"list.csv: no table of paths"):
        seen(album / "list.csv")


def test_passwords_are_not_shown() -> None:
    address = "rtsp://anna:secret@camera.local:554/stream?x=1"
    assert is_address(address)
    assert without_password(address) == "rtsp://camera.local:554/stream?x=1"
    assert not is_address("images/a.jpg")
    assert without_password("http://anna:se@cret@host/a@b.jpg") == "http://host/a@b.jpg"


@pytest.mark.parametrize(
    "address",
    [
        "http://anna:sec/ret@host/a.jpg",
        "ftp://anna:secret@host/a.jpg",
        "http://anna:secret@/a.jpg",
    ],
)
def test_passwords_are_in_no_message(address: str) -> None:
    with pytest.raises(InputError) as caught:
        is_address(address)
    assert "sec" not in str(caught.value)
    assert "anna" not in str(caught.value)


def test_a_password_is_sent_in_the_head() -> None:
    asked = addresses._request("http://anna:a%2Fb@host/a.jpg")
    assert asked.full_url == "http://host/a.jpg"
    assert asked.unredirected_hdrs == {"Authorization": "Basic YW5uYTphL2I="}


def test_shares_are_consecutive(tmp_path: Path) -> None:
    with open_sources([str(draw_album(tmp_path / "album", 10))], tmp_path / "out") as sources:
        bounds = [sources.bounds((number, 3)) for number in (1, 2, 3)]
    assert bounds == [(0, 3), (3, 6), (6, 10)]
    assert Sources([], tmp_path).bounds((2, 3)) == (0, 0)


@pytest.fixture
def server(tmp_path: Path) -> Iterator[str]:
    """A server of the folder ``www``, on this machine."""
    (tmp_path / "www").mkdir()
    handler = functools.partial(
        http.server.SimpleHTTPRequestHandler, directory=str(tmp_path / "www")
    )
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as found:
        threading.Thread(target=found.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{found.server_port}"
        found.shutdown()


@pytest.mark.slow
def test_addresses_of_images(server: str, tmp_path: Path) -> None:
    (tmp_path / "www/a.jpg").write_bytes(jpeg(90))
    assert fetch_image(f"{server}/a.jpg").shape[2] == 3
    with pytest.raises(InputError, match=r"gone.jpg: the server answers 404"):
        fetch_image(f"{server}/gone.jpg")
    with pytest.raises(InputError, match=r"127.0.0.1:1/a.jpg: cannot be fetched \(.*refused"):
        fetch_image("http://127.0.0.1:1/a.jpg")


@pytest.mark.slow
def test_a_video_on_a_server(server: str, tmp_path: Path) -> None:
    write_film(tmp_path / "www/film.avi", 5)
    address = f"{server}/film.avi"
    with OpenedFilm(Film(address), address) as film:
        assert [number for number, _ in film.frames(1, 2)] == [2, 4]


@pytest.mark.slow
def test_a_live_stream(server: str, exports: Exports, tool: Tool, tmp_path: Path) -> None:
    """Its end is the end of the prediction; frames may be passed over, but not invented."""
    write_film(tmp_path / "film.avi", 5).rename(tmp_path / "www/stream")
    out = tmp_path / "out"
    flags = ("--format", "jsonl", "--no-draw", "--out", out)
    status, _, err = tool("predict", exports.file("classifier"), f"{server}/stream", *flags)
    assert status == 0, err
    names = names_in(out)
    numbers = [int(name.rpartition("#")[2]) for name in names]
    assert numbers == sorted(set(numbers))
    assert set(numbers) <= set(range(5))
    assert numbers[-1] == 4
    assert names[0].startswith(f"{server}/stream#")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("argument", "why"),
    [
        ("rtsp://anna:secret@127.0.0.1:1/x", "rtsp://127.0.0.1:1/x: no stream can be opened"),
        ("97", "camera 97: cannot be opened"),
    ],
)
def test_a_stream_that_is_not_there(
    argument: str, why: str, exports: Exports, tool: Tool, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    status, _, err = tool("predict", exports.file("classifier"), argument, "--out", out)
    assert status == 2
    assert why in err
    assert "none of the files could be read" in err
    assert "secret" not in err


@pytest.mark.slow
def test_frames_and_every(exports: Exports, tool: Tool, tmp_path: Path) -> None:
    film, out = write_film(tmp_path / "film.avi", 12), tmp_path / "out"
    flags = ("--every", 3, "--frames", 3, "--format", "jsonl", "--no-draw", "--out", out)
    status, _, err = tool("predict", exports.file("classifier"), film, *flags)
    assert status == 0, err
    assert names_in(out) == [f"{film}#{number}" for number in (0, 3, 6)]
