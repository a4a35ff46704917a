"""The Dockerfile's commands in a fresh virtual environment: where no container can be built.

    python -m tests.container model.onnx

installs what the Dockerfile installs (from the registry that pip is set up for), copies what it
copies, starts what it starts, and asks it for an answer as a user of the container would.
"""

from __future__ import annotations

import argparse
import http.client
import json
import os
import re
import shlex
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
    """Copy what COPY copies."""
    for name, given in instructions():
        if name == "COPY":
            source, target = given.split()
            if (ROOT / source).is_dir():
                unwanted = shutil.ignore_patterns("__pycache__")
                shutil.copytree(ROOT / source, folder / target, ignore=unwanted)
            else:
                shutil.copy(ROOT / source, folder / target)


def install(folder: Path) -> None:
    """Run what RUN runs to install packages; users are made in containers alone."""
    (command,) = [given for name, given in instructions() if name == "RUN"]
    parts = [part for part in re.split(r"\s+&&\s+", command) if not part.startswith("useradd")]
    there = str(folder / "requirements.txt")
    script = " && ".join(parts).replace("/tmp/requirements.txt", shlex.quote(there))
    path = f"{folder / 'venv/bin'}{os.pathsep}{os.environ['PATH']}"
    subprocess.run([sys.executable, "-m", "venv", folder / "venv"], check=True)
    subprocess.run(["sh", "-ec", script], check=True, cwd=folder, env={**os.environ, "PATH": path})


def serve_and_ask(
    python: Sequence[str], folder: Path, models: Path, environment: Mapping[str, str]
) -> dict[str, object]:
    """Start what ENTRYPOINT starts, on a free port, and return the answer for a drawn image.

    Args:
        python: Command that takes the place of ``python``.
        folder: Where everything was copied to.
        models: What is mounted as ``/models``.
        environment: Variables of the process.
    """
    (entry,) = [json.loads(given) for name, given in instructions() if name == "ENTRYPOINT"]
    assert entry.pop(0) == "python"
    fitted = [str(models) if one == "/models" else one for one in entry]
    fitted[fitted.index("8000")] = "0"
    given = {name: text for name, text in instructions() if name in ("ENV", "WORKDIR")}
    assert f"PYTHONPATH={given['WORKDIR']} " in given["ENV"]
    paths = os.pathsep.join(filter(None, (str(folder), environment.get("PYTHONPATH", ""))))
    process = subprocess.Popen(
        [*python, *fitted],
        cwd=folder,
        env={**environment, "PYTHONPATH": paths},
        stdout=subprocess.PIPE,
        text=True,
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
        reply = serve_and_ask([str(folder / "venv/bin/python")], folder, model, environment)
        print(json.dumps(reply["answers"])[:200])
        print(f"installed in {done - start:.0f} s, answered in {time.monotonic() - done:.1f} s")


if __name__ == "__main__":
    main()
