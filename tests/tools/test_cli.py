"""What the command line says when something goes wrong."""

import os
import subprocess
import sys

import pytest

from datasets.errors import InputError
from tests.tools.runs import ROOT
from tools import cli


def fail() -> None:
    raise InputError("set/0.png: not an image")


@pytest.mark.parametrize(
    ("processes", "message"),
    [
        ("1", "error: set/0.png: not an image\n"),
        ("4", "error: process 2 of 4 stopped: set/0.png: not an image\n"),
    ],
)
def test_one_of_several_processes_says_which_it_is(
    processes: str,
    message: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("WORLD_SIZE", processes)
    monkeypatch.setenv("RANK", "2")
    with pytest.raises(SystemExit) as caught:
        cli.run(fail)
    assert caught.value.code == cli.BAD_INPUT
    assert capsys.readouterr().err == message


@pytest.mark.slow
@pytest.mark.parametrize(
    ("given", "spins"),
    [({}, "3000"), ({"GOMP_SPINCOUNT": "7"}, "7"), ({"OMP_WAIT_POLICY": "active"}, "None")],
)
def test_threads_soon_sleep_unless_the_user_says_otherwise(
    given: dict[str, str], spins: str
) -> None:
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("GOMP_", "OMP_"))}
    program = "import os, tools.cli; print(os.environ.get('GOMP_SPINCOUNT'))"
    command = [sys.executable, "-c", program]
    done = subprocess.run(
        command, env=kept | given, cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == spins
