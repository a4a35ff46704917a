"""A hub on this machine, which keeps models in a folder and speaks as far as the client needs."""

import base64
import hashlib
import json
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from tests.tools.page_client import serving

TOKEN, COMMIT = "hf_of_the_test", "1" * 40


class _Handler(BaseHTTPRequestHandler):
    """Pages are folders of the server's root; a page that is refused has no name."""

    server: "_Server"

    def do_POST(self) -> None:
        sent = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        parts = self.path.partition("?")[0].strip("/").split("/")
        self.server.asked.append(f"POST {self.path}")
        if self.headers.get("Authorization") != f"Bearer {TOKEN}":
            return self._answer({"error": "Invalid username or password."}, 401)
        if parts[1:] == ["repos", "create"]:
            return self._create(json.loads(sent))
        if "preupload" in parts:
            rows = json.loads(sent)["files"]
            files = [
                {"path": row["path"], "uploadMode": "regular", "shouldIgnore": False}
                for row in rows
            ]
            return self._answer({"files": files})
        if "commit" in parts:
            return self._commit("/".join(parts[2:4]), sent.decode().splitlines())
        return self._answer({})

    def _create(self, wanted: dict[str, str]) -> None:
        name = f"{wanted['organization']}/{wanted['name']}"
        (self.server.root / name).mkdir(parents=True, exist_ok=True)
        (self.server.root / name / ".visibility").write_text(wanted["visibility"])
        self._answer({"url": f"{self.server.address}/{name}"})

    def _commit(self, name: str, lines: list[str]) -> None:
        for row in map(json.loads, lines):
            if row["key"] == "file":
                content = base64.b64decode(row["value"]["content"])
                (self.server.root / name / row["value"]["path"]).write_bytes(content)
        url = f"{self.server.address}/{name}/commit/{COMMIT}"
        self._answer({"commitUrl": url, "commitOid": COMMIT})

    def do_GET(self) -> None:
        self._file(body=True)

    def do_HEAD(self) -> None:
        self._file(body=False)

    def _file(self, *, body: bool) -> None:
        self.server.asked.append(f"{self.command} {self.path}")
        name, _, file = self.path.strip("/").partition("/resolve/main/")
        path = self.server.root / name / file
        if not file or not path.is_file():
            self.send_response(404)
            self.send_header("X-Error-Code", "RepoNotFound" if file else "EntryNotFound")
            self.send_header("Content-Length", "0")
            return self.end_headers()
        content = path.read_bytes()
        self.send_response(200)
        self.send_header("ETag", f'"{hashlib.sha256(content).hexdigest()}"')
        self.send_header("X-Repo-Commit", COMMIT)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        if body:
            self.wfile.write(content)
        return None

    def _answer(self, data: dict[str, object], status: int = 200) -> None:
        text = json.dumps(data).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    def log_message(self, format: str, *args: object) -> None:
        pass


class _Server(ThreadingHTTPServer):
    root: Path
    asked: list[str]

    def serve_forever(self, poll_interval: float = 0.02) -> None:
        super().serve_forever(poll_interval)

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


@contextmanager
def fake_hub(root: Path) -> Iterator[_Server]:
    """Serve a folder of models; ``asked`` lists the requests that came."""
    server = _Server(("127.0.0.1", 0), _Handler)
    server.root, server.asked = root, []
    with serving(server):
        yield server
