"""The Dockerfile's commands in a fresh virtual environment: where no container can be built.

    python -m tests.container model.onnx

copies what the Dockerfile copies, builds what it builds, installs what it installs (from the
registry that pip is set up for), starts what it starts, and asks it for an answer as a user of the
container would.
"""

from __future__ import annotations

import argparse
import http.client
import json
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

from tests.house import ROOT
from tests.tools.page_models import photo

_SERVED = re.compile(r"http://0\.0\.0\.0:(\d+)/")


def instructions() -> list[tuple[str, str]]:
    """The Dockerfile as names and arguments, in their order."""
    text = (ROOT / "Dockerfile").read_text(encoding="utf-8")
    text = re.sub(r"(?m)^#.*\n", "", text).replace("\\\n", " ")
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return [(name, given.strip()) for name, _, given in (line.partition(" ") for line in lines)]


def copy_into(folder: Path) -> None:
    """Copy what COPY copies from the checkout."""
    for name, given in instructions():
        *sources, target = given.split()
        if name != "COPY" or given.startswith("--from="):
            continue
        for source in sources:
            if (ROOT / source).is_dir():
                unwanted = shutil.ignore_patterns("__pycache__")
                shutil.copytree(ROOT / source, folder / target, ignore=unwanted)
            else:
                shutil.copy(ROOT / source, folder / target)


def install(folder: Path) -> None:
    """Run what RUN runs to build and install; users are made in containers alone."""
    path = f"{folder / 'venv/bin'}{os.pathsep}{os.environ['PATH']}"
    environment = {**os.environ, "PATH": path}
    subprocess.run([sys.executable, "-m", "venv", folder / "venv"], check=True)
    for command in (given for name, given in instructions() if name == "RUN"):
        parts = [part for part in re.split(r"\s+&&\s+", command) if "useradd" not in part]
        script = " && ".join(parts).replace("/wheels", str(folder / "wheels"))
        subprocess.run(["sh", "-ec", script], check=True, cwd=folder, env=environment)


def serve_and_ask(
    program: Sequence[str], folder: Path, models: Path, environment: Mapping[str, str]
) -> dict[str, object]:
    """Start what ENTRYPOINT starts, on a free port, and return the answer for a drawn image.

    Args:
        program: Command that takes the place of ``mobilenets``.
        folder: Where it is started.
        models: What is mounted as ``/models``.
        environment: Variables of the process.
    """
    (entry,) = [json.loads(given) for name, given in instructions() if name == "ENTRYPOINT"]
    assert entry.pop(0) == "mobilenets"
    fitted = [str(models) if one == "/models" else one for one in entry]
    fitted[fitted.index("8000")] = "0"
    process = subprocess.Popen(
        [*program, *fitted], cwd=folder, env=environment, stdout=subprocess.PIPE, text=True
    )
    try:
        assert process.stdout is not None
        line = process.stdout.readline()
        found = _SERVED.search(line)
        assert found is not None, line
        return _ask(int(found[1]))
    finally:
        process.terminate()
        process.wait()
        assert process.returncode == 0


def _ask(port: int) -> dict[str, object]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=600)
    connection.request("GET", "/healthz")
    assert json.loads(connection.getresponse().read())["status"] == "ok"
    connection.request("POST", "/v1/predict", photo(), {"Content-Type": "image/jpeg"})
    response = connection.getresponse()
    reply: dict[str, object] = json.loads(response.read())
    connection.close()
    assert response.status == 200, reply
    return reply


def main() -> None:
    """Install, start, ask, and print the answer."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model", type=Path, help="an export, or a folder of exports")
    model = parser.parse_args().model.resolve()
    with TemporaryDirectory() as name:
        folder, start = Path(name), time.monotonic()
        copy_into(folder)
        install(folder)
        done = time.monotonic()
        environment = {**os.environ, "PYTHONPATH": ""}
        program = str(folder / "venv/bin/mobilenets")
        reply = serve_and_ask([program], folder, model, environment)
        print(json.dumps(reply["answers"])[:200])
        print(f"installed in {done - start:.0f} s, answered in {time.monotonic() - done:.1f} s")


if __name__ == "__main__":
    main()
