"""``--config``: a run's settings again, or a few lines of YAML over a preset."""

import json
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from configs.classification import CLS_PRESETS, TrainCls
from configs.io import to_json
from datasets.errors import InputError
from tools.flows.flags import read_flags
from tools.flows.run_folder import save_config


def read(monkeypatch: pytest.MonkeyPatch, *words: object) -> TrainCls:
    """The configuration of a command line of ``tools/train_cls.py``."""
    monkeypatch.setattr(sys, "argv", ["train_cls.py", *map(str, words)])
    return read_flags(CLS_PRESETS)


def test_a_run_is_repeated_to_the_last_setting(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    flags = ("--data", tmp_path, "--lr", 0.3, "--alpha", 0.5, "--seed", 4, "--mixup", 0.7)
    first = read(monkeypatch, *flags, "--threads", 1, "--workers", 0, "--out", tmp_path / "a")
    save_config(first, tmp_path / "a")
    again = read(monkeypatch, "--config", tmp_path / "a" / "config.json", "--out", tmp_path / "b")
    assert again.common.out == tmp_path / "b"
    assert again.command.endswith("--out " + str(tmp_path / "b"))
    plain = replace(again, command=first.command, common=first.common)
    assert to_json(plain) == to_json(first)
    assert replace(again.common, out=first.common.out) == first.common


def test_flags_stand_over_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    save_config(read(monkeypatch, "--lr", 0.3), tmp_path)
    again = read(monkeypatch, "--config", tmp_path / "config.json", "--lr", 0.1)
    assert again.fit.lr == 0.1


def test_yaml_over_its_preset(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "mine.yaml"
    file.write_text(
        "preset: small\ndata: photos\nval: null\ncache: false\nworkers: 3\n"
        "grid: [alpha=1, lr=.1]\n"
        "fit: {epochs: 7, lr: 1e-2, optimizer: adamw}\nmodel:\n  alpha: 1\n"
    )
    found, preset = read(monkeypatch, "--config", file), CLS_PRESETS["small"]
    fit = replace(preset.fit, epochs=7, lr=0.01, optimizer="adamw")
    assert found == replace(
        preset,
        data=Path("photos"),
        cache=False,
        workers=3,
        grid=("alpha=1", "lr=.1"),
        fit=fit,
        model=replace(preset.model, alpha=1.0),
        command=found.command,
    )


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("a.yaml", "fit: {epoch: 3}", r"--config .*a\.yaml: unknown setting 'epoch'"),
        ("a.yaml", "fit: {epochs: many}", r"setting 'epochs': 'many' is no int"),
        ("a.yaml", "fit: {epochs: 1.5}", r"setting 'epochs': '1.5' is no int"),
        ("a.yaml", "cache: perhaps", r"setting 'cache': 'perhaps' is no bool"),
        ("a.yaml", "fit: 3", r"'3' where a table of settings belongs"),
        ("a.yaml", "preset: huge", r"--config .*a\.yaml: --preset huge: choose one of auto"),
        ("a.yaml", "fit: {lr: -1}", r"--lr -1\.0 must be above 0"),
        ("a.yaml", "- one", r"a\.yaml: .*an object with named fields is needed"),
        ("a.json", '{"fit": {"epochs": "3"}}', r"setting 'epochs': '3' is no int"),
        ("a.json", "{", r"a\.json: .*not valid JSON"),
        ("b.json", None, r"b\.json: no such file"),
    ],
)
def test_what_is_no_setting_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, text: str | None, message: str
) -> None:
    if text is not None:
        (tmp_path / name).write_text(text)
    with pytest.raises(InputError, match=message):
        read(monkeypatch, "--config", tmp_path / name)


def test_a_preset_beside_it_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(InputError, match=r"--preset demo: --config .* names its own"):
        read(monkeypatch, "--preset", "demo", "--config", tmp_path / "c.json")


def test_a_file_runs_no_python_unasked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    saved: dict[str, Any] = to_json(TrainCls())
    saved["distill"]["teacher"] = "evil:teach"
    file = tmp_path / "c.json"
    file.write_text(json.dumps(saved))
    again = "it names Python code, which is run; if you know it, name it again: --teacher evil"
    with pytest.raises(InputError, match=again):
        read(monkeypatch, "--config", file)
    named = read(monkeypatch, "--config", file, "--teacher", "evil:teach")
    assert named.distill.teacher == "evil:teach"
