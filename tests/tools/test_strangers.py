"""Weights files and run folders of strangers: names in them lead nowhere and run nothing."""

import json
import socket
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from torch import Tensor, zeros

from configs.classification import TrainCls
from configs.common import Common
from configs.io import from_json, to_json
from datasets.names import refuse_unsafe_name, safe_name
from datasets.types import ClassMap
from tasks.multitask.spec import TASK
from tasks.multitask.stored import Stored, StoredHead
from tasks.runtime.open import read_card
from tasks.weights.card import Card
from tasks.weights.file import save_weights
from tests.conftest import Tool
from tests.exports import Exports
from tests.tools.mistakes import expect
from tools.dcgan.sampling import class_folders
from tools.flows.run_folder import save_config

EVIL = ("../../../x", "/tmp/x", "..", ".hidden", "a/b", "a\\b", "a\0b", "", "\x1b[2J", "x" * 300)


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """A run folder that has not been trained."""
    folder = tmp_path / "run"
    save_config(replace(TrainCls(), common=Common(out=folder, device="cpu")), folder)
    return folder


@pytest.fixture
def evil(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A module in the current folder, which tells that it was imported."""
    name = "stranger_of_tests"
    monkeypatch.chdir(tmp_path)
    (tmp_path / f"{name}.py").write_text("open('was_run', 'w')\n\ndef teach(x): return x\n")
    yield f"{name}:teach"
    assert not (tmp_path / "was_run").exists()
    sys.modules.pop(name, None)


@pytest.mark.parametrize("name", EVIL)
def test_a_safe_name_is_one_part_of_a_path(name: str, tmp_path: Path) -> None:
    safe = safe_name(name)
    file = tmp_path / f"{safe}.safetensors"
    file.write_bytes(b"")
    assert file.resolve().parent == tmp_path.resolve()
    assert safe == safe_name(safe)
    with pytest.raises(ValueError, match=r"cannot be the name of a file"):
        refuse_unsafe_name(name, "head")


def test_usual_names_stay() -> None:
    for name in ("classes", "n01440764", "château", "犬", "Egyptian cat", "v1.2_x"):
        assert safe_name(name) == name


def test_each_class_has_a_folder_of_its_own() -> None:
    found = class_folders(("a/b", "a_b", "..", "", "cat"))
    assert len(set(found)) == 5
    assert all(name == safe_name(name) for name in found)


@pytest.mark.parametrize("name", EVIL)
def test_heads_that_lead_out(tool: Tool, tmp_path: Path, exports: Exports, name: str) -> None:
    """Neither a card that is read nor a head in memory makes a path of such a name."""
    card = read_card(exports.source("classifier").file)
    file = tmp_path / "evil.safetensors"
    heads = {"classes": card.to_json(), name: card.to_json()}
    multi = Card(TASK, {"heads": heads}, card.flavour, ClassMap((), ()))
    state = {"body.x": zeros(1), f"heads.{name}.x": zeros(1)}
    save_weights(file, state, multi)
    out = tmp_path / "a" / "b" / "run"
    flags = ("--weights", file, "--drop", "classes", "--out", out)
    expect(tool("train_multi", *flags), "cannot be the name of a file", str(file))
    head = StoredHead(dict[str, Tensor](), card)
    with pytest.raises(ValueError, match=r"cannot be the name of a file"):
        Stored(file, card, {}, {name: head}).save_heads(out)
    assert [one.name for one in tmp_path.rglob("*")] == ["evil.safetensors"]


@pytest.mark.slow
def test_python_of_a_run_folder_is_named_again(tool: Tool, run: Path, evil: str) -> None:
    _set(run, distill={**_saved(run)["distill"], "teacher": evil})
    again = f"names Python code, which is run; if you know it, name it again: --teacher {evil}"
    expect(tool("train_cls", "--resume", run), again)
    expect(tool("train_cls", "--resume", run, "--teacher", "other:teach"), "--teacher cannot be")


@pytest.mark.slow
def test_the_current_folder_is_not_searched(tool: Tool, run: Path, evil: str) -> None:
    """Not even for what is named."""
    _set(run, distill={**_saved(run)["distill"], "teacher": evil})
    hint = "the current folder is not searched: PYTHONPATH=. names it"
    expect(tool("train_cls", "--resume", run, "--teacher", evil), "cannot be imported", hint)


@pytest.mark.slow
def test_nothing_is_asked_of_other_machines(
    tool: Tool, exports: Exports, shapes: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not to look at data, and not to predict or to evaluate."""

    def refuse(*_: object) -> None:
        raise AssertionError("a connection is opened")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    weights = exports.source("classifier").file
    assert tool("check_data", shapes)[0] == 0
    first = next(shapes.rglob("*.png"))
    assert tool("predict", weights, first, "--out", tmp_path / "out", "--device", "cpu")[0] == 0


@pytest.mark.slow
def test_targets_are_stored_where_the_user_says(tool: Tool, run: Path, tmp_path: Path) -> None:
    away = tmp_path / "away" / "targets"
    teacher = str(tmp_path / "none")
    _set(run, distill={**_saved(run)["distill"], "targets": str(away), "teacher": teacher})
    expect(tool("train_cls", "--resume", run), "names a folder to write to", f"--targets {away}")
    expect(tool("train_cls", "--resume", run, "--targets", away), "no such run folder or weights")
    assert not away.exists()


@pytest.mark.parametrize(
    ("key", "value"),
    [("workers", "2"), ("common", []), ("common", {"seed": "../../x"}), ("grid", "x"), ("val", 3)],
)
def test_settings_of_another_type(tool: Tool, run: Path, key: str, value: object) -> None:
    _set(run, **{key: value})
    expect(tool("train_cls", "--resume", run), str(run / "config.json"))


def test_a_configuration_comes_back() -> None:
    config = replace(TrainCls(), data=Path("x"), grid=("alpha=.5", "1"), common=Common(seed=4))
    assert from_json(TrainCls, json.loads(json.dumps(to_json(config)))) == config


def test_a_grid_names_folders(tool: Tool, tmp_path: Path) -> None:
    flags = ("--grid", "augment=../../x", "--out", tmp_path / "grid")
    assert tool("train_cls", *flags)[0] == 2
    assert not list(tmp_path.iterdir())


def _saved(run: Path) -> dict[str, dict[str, object]]:
    found: dict[str, dict[str, object]] = json.loads((run / "config.json").read_text())
    return found


def _set(run: Path, **values: object) -> None:
    (run / "config.json").write_text(json.dumps({**_saved(run), **values}))
