"""The page's server alone: bad requests, strangers, crowds, faults."""

from __future__ import annotations

import json
import threading
from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest

from configs.demo import LimitSpec
from tests.tools.page_client import BINARY, POST, ask, raw, request, serving, simple
from tools.flows.answerer import Refusal
from tools.page.serving import PageServer


@pytest.fixture(scope="module")
def page() -> Iterator[PageServer]:
    with serving(simple(lambda _, photos: {"size": len(photos[0])})) as server:
        yield server


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        (POST + b"\r\n", b"411"),
        (POST + b"Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n", b"411"),
        (POST + b"Content-Length: 5\r\nContent-Length: 6\r\n\r\nhello!", b"411"),
        (POST + b"Content-Length: -5\r\n\r\nhello", b"411"),
        (POST + b"Content-Length: " + b"9" * 15 + b"\r\n\r\nhello", b"413"),
        (POST + b"Content-Length: 50\r\n\r\nhello", b"400"),
        (POST.replace(b"octet-stream", b"json") + b"Content-Length: 2\r\n\r\n{}", b"415"),
        (POST.replace(b"/answer", b"/other") + b"Content-Length: 2\r\n\r\n{}", b"404"),
        (b"GET /../configs/demo.py HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n", b"404"),
        (b"GET /answer?model=0 HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n", b"404"),
        (b"GET http://[x HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n", b"404"),
        (b"PUT / HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n", b"501"),
        (b"nonsense\r\n\r\n", b"400"),
        (b"GET /" + b"a" * 70_000 + b" HTTP/1.1\r\n\r\n", b"414"),
        (b"GET / HTTP/1.1\r\n" + b"A: b\r\n" * 200 + b"\r\n", b"431"),
    ],
)
def test_bad_requests_are_refused(page: PageServer, sent: bytes, status: bytes) -> None:
    found = raw(page, sent, end=True)
    head, body = found.split(b"\r\n\r\n")
    assert head.split()[1] == status
    assert json.loads(body)["error"]


def test_a_large_request_is_answered_before_it_ends(page: PageServer) -> None:
    """Its sender, who looks up only when all is sent, must find the answer and no broken line."""
    size = 3_000_000
    head = POST + b"Content-Length: %d\r\n\r\n" % size
    assert b" 413 " in raw(page, head, bytes(size)).splitlines()[0]


def test_slow_requests_are_cut() -> None:
    """Whether they stop in the middle, or before anything was said."""
    server = simple(lambda *_: {}, LimitSpec(read_seconds=0.3))
    with serving(server):
        assert b" 408 " in raw(server, POST + b"Content-Length: 50\r\n\r\nhello").splitlines()[0]
        assert raw(server, b"GET / HT") == b""
        assert raw(server) == b""
        assert request(server, "GET", "/")[2] == b"page"


def test_faults_are_told_and_survived(capsys: pytest.CaptureFixture[str]) -> None:
    def answer(model: int, _: list[bytes]) -> dict[str, Any]:
        if model == 1:
            raise KeyError("secret")
        if model == 2:
            raise Refusal(418, "a teapot")
        return {"value": float("nan") if model == 3 else 0.5}

    with serving(simple(answer)) as server:
        assert ask(server, "model=1", b"x") == (500, {"error": "internal fault: KeyError"})
        assert ask(server, "model=2", b"x") == (418, {"error": "a teapot"})
        assert ask(server, "model=3", b"x") == (500, {"error": "internal fault: ValueError"})
        assert ask(server, "model=0", b"x") == (200, {"value": 0.5})
    assert "KeyError: 'secret'" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("127.0.0.1", 200),
        ("127.0.0.1:8000", 200),
        ("localhost:8000", 200),
        ("LOCALHOST", 200),
        ("[::1]:8000", 200),
        ("192.168.0.7", 200),
        ("evil.example", 403),
        ("127.0.0.1.evil.example", 403),
        ("localhost.evil.example:8000", 403),
        ("127.0.0.1@evil.example", 403),
        ("[::1", 403),
        ("", 403),
    ],
)
def test_other_names_are_refused(page: PageServer, host: str, status: int) -> None:
    """A stranger's name that is made to point here (DNS rebinding) gets nothing."""
    assert request(page, "GET", "/", Host=host)[0] == status
    headers = {"Content_Type": BINARY, "Host": host}
    assert request(page, "POST", "/answer?model=0", b"photo", **headers)[0] == status


def test_other_sites_are_refused(page: PageServer) -> None:
    own = page.url.rstrip("/")
    host = own.removeprefix("http://")
    headers = {"Content_Type": BINARY, "Host": host}
    for origin, wanted in ((own, 200), ("http://evil.example", 403), ("null", 403)):
        status, given, _ = request(
            page, "POST", "/answer?model=0", b"photo", Origin=origin, **headers
        )
        assert status == wanted
        assert not [name for name in given if name.lower().startswith("access-control")]
    status, given, _ = request(page, "OPTIONS", "/answer", Origin="http://evil.example")
    assert status == 501
    assert not [name for name in given if name.lower().startswith("access-control")]


def test_those_beyond_the_queue_are_told_to_come_again() -> None:
    """Of five at once one is answered, one waits, three are refused."""
    go = threading.Event()

    def answer(_: int, photos: list[bytes]) -> dict[str, Any]:
        assert go.wait(60)
        return {"size": len(photos[0])}

    refused, answered = threading.Semaphore(0), []
    server = simple(answer, LimitSpec(megabytes=1, concurrent=1, queue=1))

    def visit() -> None:
        status, headers, _ = request(server, "POST", "/answer", b"x" * 9, Content_Type=BINARY)
        answered.append(status)
        if status == 503:
            assert headers["Retry-After"] == "1"
            refused.release()

    with serving(server):
        visitors = [threading.Thread(target=visit) for _ in range(5)]
        for visitor in visitors:
            visitor.start()
        for _ in range(3):
            assert refused.acquire(timeout=600)
        assert request(server, "GET", "/")[0] == 200  # The page itself is always there.
        go.set()
        for visitor in visitors:
            visitor.join()
        assert Counter(answered) == {503: 3, 200: 2}
        assert ask(server, "model=0", b"x" * 9) == (200, {"size": 9})
