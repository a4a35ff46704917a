"""One small finished run, shared by the tests of what comes after it."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.tools.runs import SMALL, train


@dataclass(frozen=True)
class Finished:
    """A run that ended well: its folder, and what it printed."""

    folder: Path
    result: dict[str, Any]
    errors: str


@pytest.fixture(scope="session")
def finished(scenes: Path, tmp_path_factory: pytest.TempPathFactory) -> Finished:
    """A few epochs on the small scenes, with ``--json``."""
    folder = tmp_path_factory.mktemp("runs") / "finished"
    recipe = ("--epochs", 3, "--eval-every", 2, "--workers", 0, "--json")
    done = train("--framework", "ssd300", "--data", scenes, "--out", folder, *SMALL, *recipe)
    assert done.returncode == 0, done.stderr
    return Finished(folder, json.loads(done.stdout), done.stderr)
