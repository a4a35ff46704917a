"""What the command line says when something goes wrong."""

import pytest

from datasets.errors import InputError
from tools import cli


def fail() -> None:
    raise InputError("set/0.png: not a picture")


@pytest.mark.parametrize(
    ("processes", "message"),
    [
        ("1", "error: set/0.png: not a picture\n"),
        ("4", "error: process 2 of 4 stopped: set/0.png: not a picture\n"),
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
