"""Requests per second and waiting times of the service, beside the same export in a bare FastAPI.

An SSD300 and a classifier at their usual sizes with fresh weights, exported to ONNX, answer the
same JPEG. Three servers take turns, each in a process of its own, with the same number of threads:
tools/serve.py with batches, the same with ``--batch 1``, and an application of ten lines that
decodes the image and calls the export in FastAPI's own thread pool, without limits, checks or
batches. Clients are processes of their own too; each sends its next request when the last is
answered. With ``--storm`` so many clients then send at the same moment, and the memory that the
service grows by is printed. Processor time per request, which other programs hardly change, and
memory are those of the server's process (from Linux's /proc).

    python -m tests.benchmarks.bench_serve
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import re
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

import numpy as np

from tasks.applications import photo_application
from tasks.export.onnx_file import write_onnx
from tests.campaign.children import cpu_seconds
from tests.house import ROOT
from tests.tools.page_models import photo
from tools.flows.source import Source

_URL = re.compile(r"http://127\.0\.0\.1:(\d+)")
_BARE = """
import sys
from pathlib import Path
import cv2, numpy, uvicorn
from fastapi import FastAPI, UploadFile
from tasks import load
cv2.setNumThreads(0)
model = load(Path(sys.argv[1]), threads=int(sys.argv[2]))
app = FastAPI()
@app.post("/v1/predict")
def predict(image: UploadFile):
    pixels = cv2.imdecode(numpy.frombuffer(image.file.read(), numpy.uint8), cv2.IMREAD_COLOR)
    return model(numpy.ascontiguousarray(pixels[..., ::-1])).to_dict()
print("http://127.0.0.1:" + sys.argv[3], flush=True)
uvicorn.run(app, port=int(sys.argv[3]), log_level="critical")
"""
_BOUNDARY = b"boundary-of-the-benchmark"


class Row(NamedTuple):
    """One measurement."""

    per_second: float
    p50: float  # milliseconds, as is p99
    p99: float
    cpu: float  # milliseconds of the server's processors per request
    statuses: Counter[int]


def request_of(image: bytes) -> bytes:
    """A form with an image, as browsers and curl -F send it."""
    name = b'Content-Disposition: form-data; name="image"; filename="a.jpg"\r\n'
    kind = b"Content-Type: image/jpeg\r\n\r\n"
    body = b"--%b\r\n%b%b%b\r\n--%b--\r\n" % (_BOUNDARY, name, kind, image, _BOUNDARY)
    return (
        b"POST /v1/predict HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: %d\r\n"
        b"Content-Type: multipart/form-data; boundary=%b\r\n\r\n%b" % (len(body), _BOUNDARY, body)
    )


async def exchange(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, sent: bytes) -> int:
    """Send a request and read its answer whole; the status."""
    writer.write(sent)
    head = await reader.readuntil(b"\r\n\r\n")
    length = re.search(rb"(?i)content-length: (\d+)", head)
    assert length is not None, head
    await reader.readexactly(int(length[1]))
    return int(head.split(maxsplit=2)[1])


async def load_with(server: Server, clients: int, seconds: float, sent: bytes) -> Row:
    """Let clients send one request after the other for some seconds."""
    times: list[float] = []
    statuses: Counter[int] = Counter()
    end = time.monotonic() + seconds

    async def client() -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
        while (start := time.monotonic()) < end:
            statuses[await exchange(reader, writer, sent)] += 1
            times.append(time.monotonic() - start)
        writer.close()

    start, before = time.monotonic(), server.cpu()
    await asyncio.gather(*(client() for _ in range(clients)))
    whole, used = time.monotonic() - start, server.cpu() - before
    p50, p99 = 1000 * np.percentile(times, [50, 99])
    return Row(len(times) / whole, float(p50), float(p99), 1000 * used / len(times), statuses)


async def storm(port: int, clients: int, sent: bytes) -> Counter[int]:
    """Let clients send at the same moment."""
    together = asyncio.Barrier(clients)

    async def client() -> int:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        await together.wait()
        status = await exchange(reader, writer, sent)
        writer.close()
        return status

    return Counter(await asyncio.gather(*(client() for _ in range(clients))))


class Server:
    """A server in a process of its own."""

    def __init__(self, command: list[str]) -> None:
        environment = {**os.environ, "PYTHONPATH": str(ROOT)}
        self.process = subprocess.Popen(
            command, stdout=subprocess.PIPE, text=True, cwd=ROOT, env=environment
        )
        assert self.process.stdout is not None
        found = _URL.search(self.process.stdout.readline())
        assert found is not None
        self.port = int(found[1])

    def cpu(self) -> float:
        """Processor seconds that it has used."""
        return cpu_seconds(self.process.pid)

    def peak(self) -> float:
        """MiB that it has ever held."""
        rows = Path(f"/proc/{self.process.pid}/status").read_text(encoding="utf-8").splitlines()
        return next(int(row.split()[1]) for row in rows if row.startswith("VmHWM")) / 1024

    def close(self) -> None:
        """End it."""
        self.process.terminate()
        self.process.wait()


def served(file: Path, threads: int, *flags: str) -> Server:
    """tools/serve.py with an export."""
    named = [str(ROOT / "tools/serve.py"), str(file), "--port", "0", "--threads", str(threads)]
    return Server([sys.executable, *named, *flags])


def bare(file: Path, threads: int, port: int) -> Server:
    """The application that has nothing but the export."""
    return Server([sys.executable, "-c", _BARE, str(file), str(threads), str(port)])


def export(task: str, alpha: float, size: int, variant: str, folder: Path) -> Path:
    """An export of a network of the paper's size with fresh weights."""
    application = photo_application(task, folder)
    network, card = application.network().example(alpha, size, variant)
    source = Source(network.eval(), card, folder / f"{task}.safetensors")
    write_onnx(source.graph(), card, source.facts(), file := folder / f"{task}.onnx", dynamic=True)
    return file


def measure(file: Path, args: argparse.Namespace, sent: bytes) -> None:
    """Print a row for each server and number of clients, and the ratio to the bare one."""
    servers = {
        "bare FastAPI": bare(file, args.threads, args.port),
        "serve.py --batch 1": served(file, args.threads, "--batch", "1"),
        "serve.py": served(file, args.threads),
    }
    try:
        while True:  # The bare one says its address before it listens.
            try:
                for server in servers.values():
                    asyncio.run(load_with(server, 1, 0.2, sent))
                break
            except ConnectionError:
                time.sleep(0.1)
        for clients in args.clients:
            rows: dict[str, list[Row]] = {name: [] for name in servers}
            for _ in range(args.rounds):
                for name, server in servers.items():
                    found = asyncio.run(load_with(server, clients, args.seconds, sent))
                    rows[name].append(found)
            base = np.median([row.per_second for row in rows["bare FastAPI"]])
            for name, some in rows.items():
                each = np.median([row[:4] for row in some], axis=0)
                statuses = dict(sum((row.statuses for row in some), Counter[int]()))
                print(
                    f"{file.stem:15} {clients:3} clients  {name:19} {each[0]:7.1f} requests/s "
                    f"({each[0] / base:.2f})  p50 {each[1]:7.1f} ms  p99 {each[2]:7.1f} ms  "
                    f"{each[3]:5.1f} ms of CPU each  {json.dumps(statuses)}",
                    flush=True,
                )
    finally:
        for server in servers.values():
            server.close()


def measure_storm(file: Path, args: argparse.Namespace, sent: bytes) -> None:
    """Print what becomes of many requests at the same moment, and the memory they take."""
    server = served(file, args.threads)
    try:
        asyncio.run(storm(server.port, 1, sent))
        before, start = server.peak(), time.monotonic()
        found = asyncio.run(storm(server.port, args.storm, sent))
        took = time.monotonic() - start
        grown = server.peak() - before
        assert asyncio.run(storm(server.port, 1, sent)) == {200: 1}
        print(
            f"{file.stem:15} {args.storm} at once: {dict(found)} in {took:.1f} s, memory grew by "
            f"{grown:.0f} MiB from {before:.0f}"
        )
    finally:
        server.close()


def main() -> None:
    """Measure both networks."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=10, help="of each measurement")
    parser.add_argument("--rounds", type=int, default=3, help="of which medians are printed")
    parser.add_argument("--clients", type=int, nargs="+", default=[1, 8, 64])
    parser.add_argument("--threads", type=int, default=2, help="of the export")
    parser.add_argument("--storm", type=int, default=1000)
    parser.add_argument("--port", type=int, default=8765, help="of the bare application")
    parser.add_argument("--tasks", nargs="+", default=["classification", "detection"])
    args = parser.parse_args()
    sent = request_of(photo())
    known = {"classification": (0.5, 160, ""), "detection": (0.5, 300, "ssd300")}
    with TemporaryDirectory() as folder:
        for task in args.tasks:
            file = export(task, *known[task], Path(folder))
            measure(file, args, sent)
            if args.storm:
                measure_storm(file, args, sent)


if __name__ == "__main__":
    main()
