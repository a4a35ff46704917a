"""The Dockerfile: what it says, and that what it starts runs with what it installs."""

from __future__ import annotations

import json
import re
import sys
import tomllib
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tests.container import copy_into, instructions, serve_and_ask
from tests.exports import Exports
from tests.house import PACKAGES, ROOT

EXTRAS = ("runtime", "serve")


def test_the_dockerfile_is_careful() -> None:
    """A fixed base, no root, no cache, JSON commands, nothing of the training side."""
    found = instructions()
    assert {name for name, _ in found} == {
        "FROM", "ENV", "WORKDIR", "COPY", "RUN", "USER", "EXPOSE", "VOLUME", "HEALTHCHECK",
        "ENTRYPOINT",
    }  # fmt: skip
    names = [name for name, _ in found]
    bases = [text for name, text in found if name == "FROM"]
    assert bases == ["python:3.12-slim AS build", "python:3.12-slim"]
    assert names.index("RUN") < names.index("USER") < names.index("ENTRYPOINT")
    given = dict(found)  # Of the last stage, where both have one.
    assert re.fullmatch(r"[1-9]\d*", given["USER"])
    assert f"--uid {given['USER']} " in given["RUN"]
    assert "PIP_NO_CACHE_DIR=1" in given["ENV"]
    assert json.loads(given["ENTRYPOINT"])[:2] == ["mobilenets", "serve"]
    assert given["EXPOSE"] == "8000"
    assert json.loads(given["HEALTHCHECK"].partition("CMD ")[2])[:2] == ["python", "-c"]
    files, *folders, wheel = [text.split() for name, text in found if name == "COPY"]
    assert files == ["LICENSE", "README.md", "pyproject.toml", "setup.py", "./"]
    assert folders == [[package, package] for package in PACKAGES]
    assert wheel == ["--from=build", "/wheels", "/wheels"]
    kept = (ROOT / ".dockerignore").read_text(encoding="utf-8").split()
    assert {line[1:] for line in kept if line.startswith("!")} == {*files[:-1], *PACKAGES}


def needed(extras: tuple[str, ...]) -> Iterator[str]:
    """Packages of the project with extras, and what they need here, each once."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    listed = [project["optional-dependencies"][name] for name in extras]
    waiting = [Requirement(one) for part in (project["dependencies"], *listed) for one in part]
    seen: set[str] = set()
    while waiting:
        one = waiting.pop()
        name = canonicalize_name(one.name)
        if name in seen or (one.marker is not None and not one.marker.evaluate({"extra": ""})):
            continue
        seen.add(name)
        try:
            waiting += [Requirement(each) for each in distribution(name).requires or ()]
        except PackageNotFoundError:
            raise AssertionError(f"{name} is needed and not installed") from None
        yield name


@pytest.mark.slow
def test_its_command_runs_with_what_it_installs(exports: Exports, tmp_path: Path) -> None:
    """With the extras, what they need, and nothing else of this environment."""
    packages, app, models = tmp_path / "packages", tmp_path / "app", tmp_path / "models"
    for folder in (packages, app, models):
        folder.mkdir()
    names = sorted(needed(EXTRAS))
    assert not {"torch", "scipy", "matplotlib", "onnx"} & set(names)
    for name in names:
        files = distribution(name).files or ()
        tops = {file.parts[0] for file in files} - {"..", "__pycache__"}
        for top in tops:
            target = Path(str(distribution(name).locate_file(top)))
            if target.exists() and not (packages / top).exists():
                (packages / top).symlink_to(target)
    (models / "model.onnx").write_bytes(exports.file("classifier").read_bytes())
    copy_into(app)
    program = [sys.executable, "-S", "-m", "mobilenet_suite"]
    reply = serve_and_ask(program, app, models, {"PYTHONPATH": str(packages), "PATH": ""})
    assert reply["application"] == "classification"
    assert reply["model"] == str(models / "model.onnx")
