"""The server alone: bad requests, strangers, crowds, faults."""

from __future__ import annotations

import gc
import json
import select
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from typing import Any

import pytest

from configs.serve import LimitSpec
from tests.tools.page_client import (
    BINARY,
    GET,
    POST,
    ask,
    opened,
    raw,
    request,
    serving,
    simple,
    whole,
)
from tools.flows.answerer import Refusal
from tools.service import connection, crowd
from tools.service import server as server_module
from tools.service.server import Service


@pytest.fixture(scope="module")
def page() -> Iterator[Service]:
    with serving(simple(lambda _, photos: {"size": len(photos[0])})) as server:
        yield server


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        (POST + b"\r\n", b"411"),
        (POST + b"Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n", b"411"),
        (POST + b"Content-Length: 5\r\nContent-Length: 6\r\n\r\nhello!", b"400"),
        (POST + b"Content-Length: -5\r\n\r\nhello", b"400"),
        (POST + b"Content-Length: " + b"9" * 15 + b"\r\n\r\nhello", b"413"),
        (POST + b"Content-Length: 50\r\n\r\nhello", b"400"),
        (POST.replace(b"octet-stream", b"xml") + b"Content-Length: 2\r\n\r\n{}", b"415"),
        (POST.replace(b"octet-stream", b"json") + b"Content-Length: 2\r\n\r\n{}", b"400"),
        (POST.replace(b"/v1/predict", b"/other") + b"Content-Length: 2\r\n\r\n{}", b"404"),
        (GET.replace(b"/", b"/../configs/serve.py", 1) + b"\r\n", b"404"),
        (GET.replace(b"/", b"/%2e%2e/configs/serve.py", 1) + b"\r\n", b"404"),
        (GET.replace(b"/", b"/..%2fconfigs%2fserve.py", 1) + b"\r\n", b"404"),
        (GET.replace(b"/", b"/page.js/../../../configs/serve.py", 1) + b"\r\n", b"404"),
        (GET.replace(b"/", b"//etc/passwd", 1) + b"\r\n", b"404"),
        (GET.replace(b"/", b"/v1/predict", 1) + b"\r\n", b"405"),
        (GET.replace(b"/", b"http://[x", 1) + b"\r\n", b"404"),
        (GET.replace(b"GET", b"PUT") + b"\r\n", b"405"),
        (GET.replace(b"/1.1", b"/2.0") + b"\r\n", b"505"),
        (b"nonsense\r\n\r\n", b"400"),
        (b"GET /" + b"a" * 70_000 + b" HTTP/1.1\r\n\r\n", b"414"),
        (GET + b"A: b\r\n" * 200 + b"\r\n", b"431"),
        (GET + b"A: " + b"b" * 140_000 + b"\r\n\r\n", b"431"),
    ],
)
def test_bad_requests_are_refused(page: Service, sent: bytes, status: bytes) -> None:
    found = raw(page, sent, end=True)
    head, body = found.split(b"\r\n\r\n")
    assert head.split()[1] == status
    assert json.loads(body)["error"]


@pytest.mark.parametrize(
    ("head", "size", "status"),
    [
        (POST + b"Content-Length: 3000000\r\n\r\n", 3_000_000, b"413"),
        (POST.replace(b"Connection: close\r\n", b"") + b"\r\n", 900_000, b"411"),
        (GET.replace(b"GET", b"PUT") + b"Content-Length: 900000\r\n\r\n", 900_000, b"405"),
        (b"nonsense\r\n\r\n", 900_000, b"400"),
        (b"GET /" + b"a" * 900_000, 0, b"414"),
        (b"GET / HTTP/1.1\r\n" + b"A: b\r\n" * 150_000, 0, b"431"),
        (
            GET.replace(b"Connection: close\r\n", b"") + b"Content-Length: 900000\r\n\r\n",
            900_000,
            b"200",
        ),
    ],
)
def test_a_large_request_is_answered_before_it_ends(
    page: Service, head: bytes, size: int, status: bytes
) -> None:
    """Its sender, who looks up only when all is sent, must find the answer and no broken line."""
    assert raw(page, head, bytes(size)).split(maxsplit=2)[1] == status


def test_slow_requests_are_cut() -> None:
    """Whether they stop in the middle, or before anything was sent.

    All is sent before the server starts, so that only what is left out can be late.
    """
    server = simple(lambda *_: {}, LimitSpec(read_seconds=0.3))
    with ExitStack() as held:
        body, head, idle, fast = (held.enter_context(opened(server)) for _ in range(4))
        body.sendall(POST + b"Content-Length: 50\r\n\r\nhello")
        head.sendall(b"GET / HT")
        fast.sendall(GET + b"\r\n")
        held.enter_context(serving(server))
        assert b" 408 " in whole(body).splitlines()[0]
        assert b" 408 " in whole(head).splitlines()[0]
        assert whole(idle) == b""
        assert whole(fast).endswith(b"page")


def test_stopping_waits_for_answers_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """Who has sent nothing is not waited for; an answer that is computed is still sent."""
    monkeypatch.setattr(server_module, "_GRACE", 60.0)
    begun, go = threading.Event(), threading.Event()

    def answer(_: int, photos: list[bytes]) -> dict[str, Any]:
        begun.set()
        assert go.wait(600)
        return {"size": len(photos[0])}

    server = simple(answer)
    stopper = threading.Thread(target=server.shutdown)
    with serving(server), opened(server) as idle, opened(server) as busy:
        busy.sendall(POST + b"Content-Length: 5\r\n\r\nhello")
        assert begun.wait(600)
        stopper.start()
        assert whole(idle) == b""
        go.set()
        assert whole(busy).endswith(b'{"size": 5}')
        stopper.join()


@pytest.mark.slow
def test_dripping_requests_hold_nothing() -> None:
    """Neither the one place there is, nor the connections of others."""
    server = simple(lambda _, photos: {"size": len(photos[0])}, LimitSpec(concurrent=1, queue=0))
    with serving(server), ExitStack() as held:
        for _ in range(20):
            held.enter_context(opened(server)).sendall(POST + b"Content-Length: 50\r\n\r\nhello")
        for _ in range(150):
            held.enter_context(opened(server)).sendall(b"GET / HT")
        assert ask(server, "model=0", b"x" * 9) == (200, {"size": 9})


def test_slow_uploads_are_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    """However long a whole request may take: this one drips on and on."""
    monkeypatch.setattr(connection, "_WINDOW", 0.05)
    server = simple(lambda *_: {}, LimitSpec(read_seconds=600, kilobytes_per_second=100))
    with serving(server), opened(server) as line:
        line.sendall(POST + b"Content-Length: 90000\r\n\r\n" + bytes(6000))
        while not select.select([line], [], [], 0.01)[0]:
            line.sendall(b"x")
        assert b" 408 " in line.recv(20)


def test_slow_readers_are_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    """One reads nothing of a large answer, one only a little now and then."""
    monkeypatch.setattr(connection, "_WINDOW", 0.05)
    limits = LimitSpec(read_seconds=600, kilobytes_per_second=100, concurrent=2)
    server = simple(lambda *_: {"large": "x" * 40_000_000}, limits)
    sent = POST.replace(b"Connection: close\r\n", b"") + b"Content-Length: 5\r\n\r\nhello"
    with serving(server), opened(server) as idle, opened(server) as drop:
        idle.sendall(sent)
        drop.sendall(sent)
        end = time.monotonic() + 600
        while server._parts.crowd.total:
            assert time.monotonic() < end
            if select.select([drop], [], [], 0.005)[0]:
                with suppress(ConnectionError):
                    drop.recv(1)
        assert request(server, "GET", "/")[0] == 200


def test_one_address_fills_neither_connections_nor_memory(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    limits = LimitSpec(connections=3, megabytes=0.1, concurrent=1, queue=0)
    server = simple(lambda _, photos: {"size": len(photos[0])}, limits)
    upload = POST + b"Content-Length: 99000\r\n\r\n" + bytes(98_000)
    with serving(server), ExitStack() as held:
        lines = [held.enter_context(opened(server)) for _ in range(2)]
        for line in lines:
            line.sendall(upload)
        _await_flight(server, 2 * len(upload))
        assert b" 503 " in raw(server, upload).splitlines()[0]
        slow = held.enter_context(opened(server))
        slow.sendall(b"GET")
        assert b" 429 " in raw(server).splitlines()[0]
        with opened(server, "127.0.0.2") as other:
            other.sendall(GET + b"\r\n")
            assert b" 200 " in other.recv(20)
        monkeypatch.setattr(crowd, "_STALE", 0.0)
        assert request(server, "GET", "/")[0] == 200  # The oldest had to go for it.
        assert b" 429 " in lines[0].recv(20)


def test_bytes_of_a_request_that_comes_with_another_are_counted() -> None:
    server = simple(lambda *_: {}, LimitSpec(megabytes=0.1))
    upload = POST + b"Content-Length: 99000\r\n\r\n" + bytes(60_000)
    first = GET.replace(b"Connection: close\r\n", b"") + b"\r\n"
    with serving(server), opened(server) as line:
        line.sendall(first + upload)
        assert b" 200 " in line.recv(20)
        _await_flight(server, len(upload))


def test_connections_that_are_refused_are_not_kept() -> None:
    server = simple(lambda *_: {}, LimitSpec(connections=3))
    with serving(server), ExitStack() as held:
        for _ in range(12):
            held.enter_context(opened(server))
        with opened(server, "127.0.0.2") as other:
            other.sendall(GET + b"\r\n")
            assert b" 200 " in other.recv(20)
        assert server._parts.crowd.total <= 3 + 1


def _await_flight(server: Service, size: int) -> None:
    """Wait until so many bytes of photos are counted."""
    end = time.monotonic() + 600
    while (found := server._parts.crowd.flight.total) != size:
        assert time.monotonic() < end, found
        time.sleep(0.005)


def test_photos_are_counted_until_they_are_answered() -> None:
    """Those that wait for their turn, too; and no longer, however it ends."""
    go = threading.Event()

    def answer(model: int, _: list[bytes]) -> dict[str, Any]:
        assert go.wait(600)
        if model:
            raise Refusal(418, "a teapot")
        return {}

    server = simple(answer, LimitSpec(megabytes=0.1, concurrent=1, queue=2))
    upload = POST + b"Content-Length: 90000\r\n\r\n" + bytes(90_000)
    other = upload.replace(b"/v1/predict", b"/v1/predict?model=1")
    with serving(server), opened(server) as first, opened(server) as second:
        first.sendall(upload)
        second.sendall(other)
        _await_flight(server, len(upload) + len(other))
        assert b" 503 " in raw(server, upload).splitlines()[0]
        go.set()
        assert b" 200 " in whole(first).splitlines()[0]
        assert b" 418 " in whole(second).splitlines()[0]
        _await_flight(server, 0)
        assert ask(server, "model=0", bytes(90_000)) == (200, {})


def test_who_waits_for_leave_to_send_gets_it(page: Service) -> None:
    with opened(page) as line:
        line.sendall(POST + b"Content-Length: 5\r\nExpect: 100-continue\r\n\r\n")
        assert line.recv(100) == b"HTTP/1.1 100 Continue\r\n\r\n"
        line.sendall(b"hello")
        assert b" 200 " in line.recv(20)


@pytest.mark.slow
def test_faults_are_told_and_survived(
    capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
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
    gc.collect()
    assert not caplog.records  # Futures whose refusals nobody took would be logged.


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
def test_other_names_are_refused(page: Service, host: str, status: int) -> None:
    """A stranger's name that is made to point here (DNS rebinding) gets nothing."""
    assert request(page, "GET", "/", Host=host)[0] == status
    headers = {"Content_Type": BINARY, "Host": host}
    assert request(page, "POST", "/v1/predict?model=0", b"photo", **headers)[0] == status


def test_a_proxy_may_offer_the_page_by_its_name() -> None:
    """With or without TLS; pages under any other name still get nothing."""
    host = "demo.example"
    headers = {"Content_Type": BINARY, "Host": host}
    with serving(simple(lambda *_: {}, name="Demo.example")) as server:
        assert request(server, "GET", "/", Host=host)[0] == 200
        assert request(server, "GET", "/", Host="evil.example")[0] == 403
        for origin, wanted in (
            ("https://demo.example", 200),
            ("http://demo.example", 200),
            ("https://evil.example", 403),
            ("https://demo.example:8443", 403),
            ("https://demo.example.evil.example", 403),
            ("ftp://demo.example", 403),
        ):
            found = request(server, "POST", "/v1/predict", b"photo", Origin=origin, **headers)
            assert found[0] == wanted, origin


def test_other_sites_are_refused(page: Service) -> None:
    own = page.url.rstrip("/")
    host = own.removeprefix("http://")
    headers = {"Content_Type": BINARY, "Host": host}
    secure = f"https://{host}"
    for origin, wanted in (
        (own, 200),
        (secure, 200),
        ("http://evil.example", 403),
        ("https://evil.example", 403),
        ("null", 403),
    ):
        status, given, _ = request(
            page, "POST", "/v1/predict?model=0", b"photo", Origin=origin, **headers
        )
        assert status == wanted
        assert not [name for name in given if name.lower().startswith("access-control")]
    status, given, _ = request(page, "OPTIONS", "/v1/predict", Origin="http://evil.example")
    assert status == 403
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
        status, headers, _ = request(server, "POST", "/v1/predict", b"x" * 9, Content_Type=BINARY)
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
