"""The service under attack: odd, slow, large and many requests, while others want answers."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import socket
import threading
import time
from base64 import b64encode
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from random import Random
from tempfile import mkdtemp

from tests.campaign.children import cpu_seconds
from tests.campaign.kills import in_child
from tests.campaign.mutations import mutated
from tests.campaign.summary import Tally
from tests.campaign.tool_runs import start_tool
from tests.tools.page_client import form_of
from tests.tools.page_models import make_models, photo

_URL = re.compile(r"http://127\.0\.0\.1:(\d+)")
# Seconds within which a usual request is answered whatever others do, and what memory may grow by.
_PATIENCE, _GROWTH = 10.0, 500 << 20
_SLOW = 128


def attack(count: int, seed: int) -> Tally:
    """Attack a service that is really run.

    Args:
        count: Requests that are damaged at random.
        seed: Of them.
    """
    base = Path(mkdtemp(prefix="campaign-page-"))
    tally = Tally("requests")
    in_child(lambda: make_models(base / "models", ("classification",)))
    place = base / "work"
    place.mkdir()
    pid = start_tool("serve", (base / "models", "--port", 0, "--threads", 1), place)
    try:
        page = _Page(_port(base), pid)
        page.usual()
        before = page.memory()
        attacks: Sequence[tuple[str, Callable[[_Page], str]]] = (
            ("damaged requests", lambda p: _damaged(p, count, seed)),
            ("damaged images", lambda p: _images(p, count, seed)),
            ("damaged forms", lambda p: _forms(p, count, seed)),
            ("large bodies", _large),
            ("slow headers", lambda p: _slow(p, b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nA: ")),
            ("slow uploads", lambda p: _slow(p, _head(1_000_000))),
            ("many at once", _many),
        )
        for name, work in attacks:
            wrong = work(page) or page.wrong_after(before)
            tally.note(name, "wrong" if wrong else "right")
            if wrong:
                tally.fault(name, wrong)
        log = (base / "err.txt").read_text(encoding="utf-8", errors="replace")
        if "Traceback" in log:
            tally.fault("a traceback of the server", log[-900:])
        return tally
    finally:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
        shutil.rmtree(base, ignore_errors=True)


def _port(base: Path, seconds: float = 300) -> int:
    """Wait until the service answers; where."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        for name in ("out.txt", "err.txt"):
            file = base / name
            found = _URL.search(file.read_text(encoding="utf-8")) if file.exists() else None
            if found:
                return int(found[1])
        time.sleep(0.1)
    raise SystemExit("requests: nothing is served")


def _head(size: int) -> bytes:
    return (
        b"POST /v1/predict?model=0 HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n"
        b"Content-Type: application/octet-stream\r\nContent-Length: %d\r\n\r\n" % size
    )


class _Page:
    def __init__(self, port: int, pid: int) -> None:
        self.port, self.pid = port, pid

    def line(self) -> socket.socket:
        return socket.create_connection(("127.0.0.1", self.port), timeout=60)

    def ask(self, sent: bytes) -> int:
        """The status of an answer; 0 if the connection is closed without one."""
        with self.line() as line:
            with suppress(OSError):
                line.sendall(sent)
                line.shutdown(socket.SHUT_WR)
            found = b""
            with suppress(ConnectionError):
                while piece := line.recv(1 << 16):
                    found += piece
        head = found.split(b" ", 2)
        return int(head[1]) if len(head) > 1 and head[1].isdigit() else 0

    def usual(self) -> float:
        """Seconds until a usual image is answered. Raises AssertionError if it is refused."""
        body, started = photo(), time.monotonic()
        status = self.ask(_head(len(body)) + body)
        assert status == 200, f"a usual image is answered by {status}"
        return time.monotonic() - started

    def memory(self) -> int:
        """Bytes that the server holds."""
        text = Path(f"/proc/{self.pid}/statm").read_text(encoding="ascii")
        return int(text.split()[1]) * os.sysconf("SC_PAGE_SIZE")

    def wrong_after(self, before: int) -> str:
        """What is wrong with the server after an attack."""
        try:
            self.usual()
        except (OSError, AssertionError) as error:
            return f"afterwards: {error}"
        grown = self.memory() - before
        return f"the server grew by {grown >> 20} MB" if grown > _GROWTH else ""


def _damaged(page: _Page, count: int, seed: int) -> str:
    body = photo()
    for number in range(count):
        rng = Random(f"{seed}/requests/{number}")
        sent = mutated(_head(len(body)), rng) + body
        status = page.ask(sent[:100_000])
        if status >= 500 and status not in (501, 503, 505):
            return f"number {number} is answered by {status}: {sent[:200]!r}"
    return ""


def _images(page: _Page, count: int, seed: int) -> str:
    kinds = [photo(0, kind) for kind in ("JPEG", "PNG", "WEBP", "GIF", "TIFF", "BMP")]
    for number in range(count):
        rng = Random(f"{seed}/images/{number}")
        body = mutated(rng.choice(kinds), rng)
        status = page.ask(_head(len(body)) + body)
        if status not in (200, 400, 413, 415, 422):
            return f"number {number} is answered by {status}"
    return ""


def _forms(page: _Page, count: int, seed: int) -> str:
    """Forms and JSON, and forms of line ends, which a parser goes through one by one."""
    form, kind = form_of(("image", photo()), ("draw", b"true"))
    coded = json.dumps({"image": b64encode(photo()).decode()}).encode()
    boundary = kind.partition("boundary=")[2].encode()
    ends = b"--%b\r\nContent-Disposition: form-data; name=image\r\n\r\n" % boundary
    ends += b"\r\n\r" * 2_000_000
    for number in range(count + 1):
        rng = Random(f"{seed}/forms/{number}")
        body, told = rng.choice(((form, kind), (coded, "application/json")))
        body, told = (mutated(body, rng), told) if number else (ends, kind)
        head = _head(len(body)).replace(b"application/octet-stream", told.encode())
        status = page.ask(head + body)
        if status not in (200, 400, 413, 415, 422):
            return f"number {number} is answered by {status}"
    return ""


def _large(page: _Page) -> str:
    for size, body in ((10**9, b"x" * 10**6), (30_000_000, bytes(30_000_000)), (10**15, b"")):
        status = page.ask(_head(size) + body)
        if status not in (0, 400, 408, 411, 413):
            return f"{size} bytes are answered by {status}"
    return ""


def _slow(page: _Page, begin: bytes) -> str:
    """A crowd that sends a byte now and then; a usual visitor is answered all the same."""
    lines = []
    for _ in range(_SLOW):
        with suppress(OSError):
            line = page.line()
            line.sendall(begin)
            lines.append(line)
    stop = threading.Event()

    def drip() -> None:
        while not stop.wait(0.5):
            for line in lines:
                with suppress(OSError):
                    line.send(b"x")

    dripping = threading.Thread(target=drip)
    dripping.start()
    used = cpu_seconds(page.pid)
    try:
        time.sleep(1)
        waited = page.usual()
        if waited > _PATIENCE:
            return f"a usual visitor waits {waited:.1f} s"
        if (busy := cpu_seconds(page.pid) - used) > _PATIENCE:
            return f"the server is busy for {busy:.1f} s with requests that do not come"
    except (OSError, AssertionError) as error:
        return f"meanwhile: {error}"
    finally:
        stop.set()
        dripping.join()
        for line in lines:
            line.close()
    return ""


def _many(page: _Page, crowd: int = 300) -> str:
    body, found = photo(), []

    def visit() -> None:
        try:
            found.append(page.ask(_head(len(body)) + body))
        except OSError as error:
            found.append(-(error.errno or 1))

    visitors = [threading.Thread(target=visit) for _ in range(crowd)]
    for visitor in visitors:
        visitor.start()
    for visitor in visitors:
        visitor.join()
    odd = sorted(set(found) - {200, 503})
    return f"some of {crowd} are answered by {odd}" if odd or 200 not in found else ""
