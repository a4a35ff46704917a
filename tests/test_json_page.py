"""docs/json.md and the schemas, which tests of the commands check their results against."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from configs.common import Common
from tests.conftest import Tool
from tests.house import ROOT
from tests.json_results import (
    ROWS,
    SCHEMAS,
    check_results,
    fault_of,
    rows_schema,
    schema_of,
    schemas,
    strict,
)
from tools import cli

PAGE = (ROOT / "docs/json.md").read_text(encoding="utf-8")
# Files of tools/ that are no commands.
_PARTS = {"__init__", "cli", "recipes"}
_COMMANDS = sorted({file.stem for file in (ROOT / "tools").glob("*.py")} - _PARTS)


@pytest.mark.parametrize("name", schemas())
def test_a_schema_is_one(name: str) -> None:
    schema = schemas()[name]
    Draft202012Validator.check_schema(schema)
    assert schema["$id"] == f"{name}.json"
    assert name == "common" or fault_of({"more": float("nan")}, name)
    for found in re.findall(r'"\$ref": "([^"]*)"', json.dumps(schema)):
        file, _, place = found.partition("#")
        target: Any = schemas()[Path(file).stem] if file else schema
        for part in place.split("/")[1:]:
            target = target[part]


@pytest.mark.parametrize("command", _COMMANDS)
def test_the_page_names_the_schema_of_every_command(command: str) -> None:
    (row,) = [
        line for line in PAGE.splitlines() if line.startswith("|") and f"{command}.py" in line
    ]
    assert f"](schemas/{schema_of(command)}.json)" in row


def test_the_page_names_every_schema() -> None:
    named = set(re.findall(r"\]\(schemas/(\w+)\.json\)", PAGE))
    assert named == {file.stem for file in SCHEMAS.glob("*.json")}


def test_rows_are_described_by_the_applications() -> None:
    assert schemas()[ROWS] == rows_schema(), "python -m tests.json_results writes it anew"


def test_what_is_printed_is_strict_json(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.argv", ["tools/make_cells.py"])
    rows = [{"file": Path("a/b"), "split_above": 1, "drop_below": 1, "cells": 2, "photos": 3}]
    cli.result(Common(json=True), {"folder": Path("a"), "positions": 1, "partitions": rows}, "")
    found = strict(capsys.readouterr().out)
    assert (found["folder"], found["partitions"][0]["file"]) == (
        str(tmp_path / "a"),
        str(tmp_path / "a/b"),
    )
    with pytest.raises(ValueError, match="NaN is no number"):
        strict('{"a": NaN}')
    cli.write_json(tmp_path / "x.json", {"a": float("nan"), "b": [float("inf"), 1.5]})
    assert strict((tmp_path / "x.json").read_text()) == {"a": None, "b": [None, 1.5]}


def test_a_result_that_is_not_as_described_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    check_results()
    monkeypatch.setattr("sys.argv", ["tools/convert.py"])
    with pytest.raises(AssertionError, match=r"convert\.json: \$"):
        cli.result(Common(json=True), {"out": "converted"}, "")


def test_layers_have_no_accuracy(tool: Tool) -> None:
    """A result of a command, from its standard output."""
    status, out, err = tool("paper", "--table", 1, "--json")
    assert status == 0, err
    assert fault_of(strict(out), "paper") == ""


def test_the_program_of_the_page(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    (program,) = re.findall(r"(?ms)^```python\n(.*?)^```$", PAGE)
    result = {
        "folder": "/runs/a",
        "metrics": {"top1": 0.5, "loss": None},
        "cost": {"mult_adds": 1, "params": 2},
        "facts": {"model": "text"},
    }
    exec(program, {"result": result})
