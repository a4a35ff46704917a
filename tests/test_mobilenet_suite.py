"""The suite in one import, and its commands as one program, in the checkout."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
from collections.abc import Callable
from pathlib import Path

import pytest

import mobilenet_suite
from backbone import __version__
from mobilenet_suite.__main__ import main
from tests.exports import Exports
from tests.house import ROOT, sources
from tools import cli
from tools.flows.few_photos import command_with_weights

Call = Callable[..., tuple[int, str, str]]
COMMANDS = {
    path.stem.replace("_", "-")
    for path in sources("tools")
    if len(path.parts) == 2 and path.stem not in ("__init__", "cli", "recipes")
}


@pytest.fixture
def call(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Call:
    """Run the program in this process: (exit status, standard output, standard error)."""

    def run(*words: str) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["somewhere/bin/mobilenets", *words])
        status = 0
        try:
            main()
        except SystemExit as stop:
            status = int(stop.code or 0)
        out, err = capsys.readouterr()
        return status, out, err

    return run


def test_help_has_a_line_for_each_tool(call: Call) -> None:
    status, text, _ = call("--help")
    assert status == 0
    rows = dict(re.findall(r"(?m)^  (\S+) +(.+)$", text))
    assert rows.keys() == COMMANDS
    assert rows["train-det"] == "Train and evaluate a detector"
    assert max(map(len, text.splitlines())) <= 80
    assert call() == (0, text, "")


def test_version(call: Call) -> None:
    assert call("--version") == (0, f"mobilenets {__version__}\n", "")


@pytest.mark.parametrize(
    ("typed", "near"),
    [
        ("train_det", "train-det"),
        ("tools/train_det.py", "train-det"),
        ("exprot", "export"),
        ("évaluer", "evaluate"),
        ("", ""),
        ("help", ""),
    ],
)
def test_the_nearest_command_is_named(call: Call, typed: str, near: str) -> None:
    nearest = f"the nearest is {near}, and " if near else ""
    assert call(typed, "--json") == (
        2,
        "",
        f"error: mobilenets {typed}: no such command; {nearest}mobilenets --help lists all\n",
    )


@pytest.mark.parametrize(
    "words", [("--json", "predict"), ("--help", "predict"), ("--version", "--json")]
)
def test_a_flag_before_the_command_is_refused(call: Call, words: tuple[str, ...]) -> None:
    status, out, err = call(*words)
    assert (status, out) == (2, "")
    assert err.startswith(f"error: mobilenets {words[0]}: the command comes first, then its flags")


@pytest.mark.slow
def test_a_tool_shows_the_name_by_which_it_was_called(
    call: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert call("convert", "--help")[1].startswith("usage: mobilenets convert ")
    status, _, err = call("convert", "nothing-there", "--to", "yolo", "--out", "x")
    assert status == 2
    assert err.startswith("error: nothing-there: ")
    assert cli.shown_command() == "mobilenets convert nothing-there --to yolo --out x"
    assert cli.command("import_weights") == "mobilenets import-weights"
    monkeypatch.setattr(sys, "argv", ["mobilenets train-det", "--preset", "demo", "--data", "a b"])
    assert command_with_weights() == "mobilenets train-det --data 'a b' --weights WEIGHTS"
    for name in ("tools/train_det.py", "mobilenets train/tools/train_det.py"):
        monkeypatch.setattr(sys, "argv", [name])
        assert cli.command("import_weights") == "tools/import_weights.py"
        assert cli.shown_command() == "tools/train_det.py"


def test_what_is_not_installed_is_told_with_its_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    extras = project["optional-dependencies"].items()
    needed = [f'{one}; extra == "{extra}"' for extra, listed in extras for one in listed]
    monkeypatch.setattr(
        "importlib.metadata.requires", lambda _: [*project["dependencies"], *needed]
    )
    monkeypatch.setattr(sys, "argv", ["mobilenets export"])
    for module, extra in {
        "torch": "train", "torch.nn": "train", "onnx": "train", "onnxruntime": "runtime",
        "faster_coco_eval": "train", "uvicorn": "serve", "python_multipart": "serve",
        "huggingface_hub.errors": "hub", "h5py": "import",
    }.items():  # fmt: skip
        assert cli.explain(ModuleNotFoundError(name=module)) == (
            2,
            f"{module} is not installed, which mobilenets export needs here: "
            f"pip install 'mobilenet-suite[{extra}]'",
        )
    for unknown in ("numpy", "tasks.nothing", "torc", "nothing"):
        assert cli.explain(ModuleNotFoundError(name=unknown)) == (1, "")


def test_the_suite_in_one_import() -> None:
    import tasks
    from tools import library

    assert mobilenet_suite.load is tasks.load
    assert [getattr(mobilenet_suite, name) for name in ("train", "evaluate", "export")] == [
        library.train,
        library.evaluate,
        library.export,
    ]
    with pytest.raises(AttributeError, match="has no attribute 'lode'"):
        getattr(mobilenet_suite, "lo" + "de")


@pytest.mark.slow
def test_predicting_by_an_export_starts_without_torch(exports: Exports, tmp_path: Path) -> None:
    code = (
        "import sys, mobilenet_suite.__main__\n"
        "assert 'tasks.loading' not in sys.modules\n"
        "mobilenet_suite.__main__.main()\n"
        "assert not {'torch', 'lightning'} & set(sys.modules)"
    )
    model, image = exports.file("classifier"), ROOT / "docs/scenes.jpg"
    words = ["predict", str(model), str(image), "--out", str(tmp_path / "found")]
    done = subprocess.run(
        [sys.executable, "-c", code, *words], capture_output=True, text=True, check=False, cwd=ROOT
    )
    assert done.returncode == 0, done.stderr
    assert "1 images" in done.stdout
