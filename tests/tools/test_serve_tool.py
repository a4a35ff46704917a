"""The service's tool: its files, a thousand photos at once, its end, and its flags."""

from __future__ import annotations

import asyncio
import http.client
import io
import json
import os
import signal
import socket
import subprocess
import sys
import threading
from collections import Counter
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from configs.serve import Serve
from tests.conftest import Tool
from tests.tools.page_client import POST, request, serving
from tests.tools.page_models import make_models
from tests.tools.runs import ENVIRONMENT, ROOT
from tools.service.opening import open_service

TOO_MANY = 1000
TASKS = ("classification", "detection", "face_embedding")


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    return make_models(tmp_path_factory.mktemp("runs"), TASKS)


async def storm(port: int, body: bytes, visitors: int) -> Counter[int]:
    """So many send a photo in the same moment; what became of them."""
    head = POST.replace(b"/v1/predict", b"/v1/predict?model=0") + b"Content-Length: %d\r\n\r\n"
    everyone = asyncio.Barrier(visitors)

    async def visit() -> int:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        await everyone.wait()
        writer.write(head % len(body) + body)
        line = await reader.readline()
        await reader.read()
        writer.close()
        return int(line.split()[1])

    return Counter(await asyncio.gather(*(visit() for _ in range(visitors))))


def peak_memory(process: int) -> int:
    """Megabytes that a process has ever held."""
    lines = Path(f"/proc/{process}/status").read_text().splitlines()
    row = next(line for line in lines if line.startswith("VmHWM"))
    return int(row.split()[1]) // 1024


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="memory is told by /proc alone")
def test_a_thousand_at_once(models: list[Path], tmp_path: Path) -> None:
    """All are answered or sent away, memory stays bounded, and SIGTERM ends it well."""
    rng = np.random.default_rng(0)
    file = io.BytesIO()
    Image.fromarray(rng.integers(0, 255, (520, 520, 3), dtype=np.uint8)).save(file, "JPEG")
    body = file.getvalue()
    flags = ["--port", "0", "--concurrent", "1", "--queue", "3", "--json", "--device", "cpu"]
    # However busy the machine is, nobody is slow here.
    flags += ["--head-seconds", "600", "--read-seconds", "600", "--kilobytes-per-second", "0.1"]
    process = subprocess.Popen(
        [sys.executable, str(ROOT / "tools/serve.py"), str(models[0]), *flags],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=ENVIRONMENT,
        cwd=tmp_path,
    )
    assert process.stdout is not None
    try:
        told = json.loads(process.stdout.readline())
        port = int(told["url"].rsplit(":", 1)[1].strip("/"))
        assert asyncio.run(storm(port, body, 1)) == {200: 1}
        before = peak_memory(process.pid)
        found = asyncio.run(storm(port, body, TOO_MANY))
        assert set(found) <= {200, 503}
        assert found[200] >= 4
        assert found.total() == TOO_MANY
        assert len(body) * TOO_MANY > 150e6
        assert peak_memory(process.pid) - before < 60
        assert asyncio.run(storm(port, body, 1)) == {200: 1}
        process.send_signal(signal.SIGTERM)
        out, err = process.communicate(timeout=600)
    finally:
        process.kill()
    assert process.returncode == 0, err
    assert (out, err) == ("", "")  # Nobody was logged.
    assert list(tmp_path.iterdir()) == []  # Nothing was stored.


@pytest.mark.slow
def test_ctrl_c_ends_it_well(models: list[Path], tool: Tool) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    seen: list[int] = []
    ended = threading.Event()

    def visit() -> None:
        while not seen and not ended.wait(0.02):
            with suppress(OSError):
                connection = http.client.HTTPConnection("127.0.0.1", port, timeout=600)
                connection.request("GET", "/")
                seen.append(connection.getresponse().status)
        if seen:
            os.kill(os.getpid(), signal.SIGINT)

    visitor = threading.Thread(target=visit)
    visitor.start()
    status, out, err = tool("serve", models[0], "--port", port, "--device", "cpu")
    ended.set()
    visitor.join()
    assert (status, seen, err) == (0, [200], "")
    assert f"http://127.0.0.1:{port}/" in out


@pytest.mark.slow
def test_without_a_model_it_says_how_to_get_one(
    tool: Tool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    status, _, err = tool("serve")
    assert status == 2
    assert "tools/train_det.py" in err
    (tmp_path / "empty").mkdir()
    status, _, err = tool("serve", "empty")
    assert status == 2
    assert "empty: no model.safetensors" in err


@pytest.mark.slow
def test_runs_are_found(
    models: list[Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """The newest first; a damaged one costs a warning. A folder of runs may be named too."""
    monkeypatch.chdir(tmp_path)
    for age, model in enumerate(models[:2]):
        target = tmp_path / "runs" / "grid" / model.name / "model.safetensors"
        target.parent.mkdir(parents=True)
        target.write_bytes((model / "model.safetensors").read_bytes())
        os.utime(target, (1e9 - age, 1e9 - age))
    (tmp_path / "runs" / "bad").mkdir()
    (tmp_path / "runs" / "bad" / "model.safetensors").write_bytes(b"no weights")
    for named in ((), (Path("runs/grid"),)):
        server, shelf = open_service(Serve(models=named, port=0))
        server.server_close()
        names = [row["name"] for row in shelf.describe()]
        assert names == ["runs/grid/classification", "runs/grid/detection"]
        err = capsys.readouterr().err
        assert ("runs/bad/model.safetensors" in err) == (not named)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("flags", "word"),
    [
        (("--port", 99999), "--port 99999"),
        (("--megabytes", 0), "--megabytes 0"),
        (("--megapixels", "nan"), "--megapixels nan"),
        (("--concurrent", 0), "--concurrent 0"),
        (("--queue", -1), "--queue -1"),
        (("--public-name", "https://demo.example"), "--public-name https://demo.example"),
        (("--out", "x"), "--out x"),
        (("--gallery", "nowhere"), "--gallery nowhere"),
        (("--detector", "x.onnx", "--alignment", "funneled"), "--alignment funneled"),
        (("--alignment", "funneled"), "alignment 'none'"),
        (("--host", "256.1.1.1", "--port", 0), "--host 256.1.1.1"),
    ],
)
def test_bad_flags_are_named(
    models: list[Path], tool: Tool, flags: tuple[object, ...], word: str
) -> None:
    status, _, err = tool("serve", models[2], *flags)
    assert status == 2, err
    assert word in err


@pytest.mark.slow
def test_a_taken_port_is_named(models: list[Path], tool: Tool) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        status, _, err = tool("serve", models[0], "--port", port)
    assert status == 2
    assert f"--port {port}" in err


@pytest.mark.slow
def test_strangers_are_warned_of(models: list[Path], capsys: pytest.CaptureFixture[str]) -> None:
    server, _ = open_service(Serve(models=(models[0],), host="0.0.0.0", port=0))
    with serving(server):
        assert request(server, "GET", "/", Host="192.168.0.7")[0] == 200
        assert request(server, "GET", "/", Host="evil.example")[0] == 403
    assert "anyone who reaches this machine may use the models" in capsys.readouterr().err
