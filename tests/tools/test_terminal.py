"""What stands in a person's terminal, or in a log, after a training."""

from pathlib import Path

import pytest

from tests.conftest import Tool
from tests.tools.conftest import Finished
from tests.tools.runs import SMALL, command
from tests.tools.terminal import USUAL_COLUMNS, run_in_terminal, screen_after


@pytest.mark.parametrize(
    ("text", "columns", "lines"),
    [
        ("one\r\ntwo", 80, ["one", "two"]),
        ("long\rtw", 80, ["twng"]),
        ("long\rtw\x1b[K", 80, ["tw"]),
        ("abcdef", 4, ["abcd", "ef"]),
        ("abcd\r\nef", 4, ["abcd", "ef"]),
        # As nested bars are drawn: the second is blanked, its line stays behind.
        ("bar\n\rsecond\x1b[A\n\r      \x1b[A\rbar!\r\nend", 80, ["bar!", "end"]),
        ("bar\n\x1b[A", 80, ["bar", ""]),
    ],
)
def test_the_interpreter(text: str, columns: int, lines: list[str]) -> None:
    assert screen_after(text, columns) == lines


def test_the_interpreter_knows_its_limits() -> None:
    for text in ("\x1b[2J", "\x1b]0;title", "end\x1b"):
        with pytest.raises(AssertionError, match="is not understood"):
            screen_after(text)


@pytest.mark.slow
@pytest.mark.parametrize("columns", [50, 0], ids=["narrow", "of unknown width"])
def test_a_training_leaves_its_bars_and_the_result(
    scenes: Path, tmp_path: Path, columns: int
) -> None:
    """Each evaluation once left blank lines and a bare [A wherever the cursor cannot go up."""
    args = ("--data", scenes, "--out", "run", "--epochs", 3, "--eval-every", 1)
    recipe = ("--framework", "ssd300", "--workers", 0, "--device", "cpu", *SMALL)
    written = run_in_terminal(command(*args, *recipe), tmp_path, rows=24, columns=columns)
    assert "\x1b" not in written
    assert "evaluating 0/2: " in written
    lines = screen_after(written, columns or USUAL_COLUMNS)
    start = next(k for k, line in enumerate(lines) if line.startswith("training run: 100%|"))
    training, scoring, first = lines[start : start + 3]
    assert " 12/12 [" in training
    assert scoring.startswith("evaluating: 100%|")
    assert first.split()[:1] == ["AP"]


@pytest.mark.slow
def test_a_log_holds_no_escapes(finished: Finished) -> None:
    assert "training " in finished.errors
    assert "\x1b" not in finished.errors


@pytest.mark.slow
def test_an_error_begins_a_line(tool: Tool, scenes: Path, tmp_path: Path) -> None:
    """The bar before it is closed, and is not drawn again behind it."""
    args = (*SMALL, "--epochs", 2, "--lr", 1e30, "--warmup", 0, "--workers", 0)
    status, _, err = tool("train_det", "--data", scenes, "--out", tmp_path / "run", *args)
    assert status == 1
    lines = screen_after(err.replace("\n", "\r\n"), columns=10**6)
    (error,) = [k for k, line in enumerate(lines) if "the loss is not a number" in line]
    assert lines[error].startswith("error: ")
    assert lines[error - 1].startswith("training ")
    assert not any(line.startswith("training ") for line in lines[error:])
