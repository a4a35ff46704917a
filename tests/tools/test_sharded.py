"""Shards through the real tools: trained on, gone on with inside an epoch, evaluated."""

import json
import tarfile
from pathlib import Path
from typing import Any

import pytest

from datasets.builtin.shapes_and_breeds import draw_shapes
from datasets.labels.opening import open_labelled
from datasets.shards.loader import ShardLoader
from datasets.shards.tar import walk
from datasets.shards.writing import write_shards
from tasks.runtime.open import read_card
from tests.conftest import Tool
from tests.tools.runs import assert_same_run
from tests.tools.stopping import stop_at

SMALL = ("--preset", "demo", "--size", 32, "--batch-size", 16, "--epochs", 2)


@pytest.fixture(scope="module")
def shapes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("sets") / "shapes"
    return draw_shapes(root, num_train=6, num_val=3, size=32)


@pytest.fixture(scope="module")
def shards(shapes: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("sets") / "shards"
    for split in ("train", "val"):
        write_shards(open_labelled(shapes, split), root / split, per_shard=10)
    return root


def result(answer: tuple[int, str, str]) -> dict[str, Any]:
    status, out, err = answer
    assert status == 0, err
    assert "Traceback" not in err
    return dict(json.loads(out))


@pytest.mark.slow
def test_training_and_evaluation(shards: Path, shapes: Path, tool: Tool, tmp_path: Path) -> None:
    run = tmp_path / "run"
    args = ("--data", shards, "--out", run, "--workers", 1, *SMALL, "--json")
    trained = result(tool("train_cls", *args))
    assert trained["images"] == 24
    assert trained["facts"]["data"].endswith("val: 24 images (shards)")
    assert all(".tar:" in case["file"] for case in trained["worst"])
    assert (run / "report.html").read_text().count("<img") > 4
    assert read_card(run).classes.names == open_labelled(shapes, "train").classes.names
    shown = []
    for number, data in enumerate((shards, f"{shards}/val/{{000000..000002}}.tar", shapes)):
        out = ("--out", tmp_path / str(number), "--workers", 0, "--json")
        shown.append(result(tool("evaluate", run, "--data", data, *out))["metrics"])
    assert shown[0] == shown[1]
    for name in ("top1", "loss", "balanced"):
        assert shown[0][name] == pytest.approx(shown[2][name], abs=1e-6)
        assert shown[0][name] == pytest.approx(trained["metrics"][name], abs=1e-6)


@pytest.mark.slow
def test_a_resumed_run_is_the_same(shards: Path, tool: Tool, tmp_path: Path) -> None:
    """Stopped after the first of an epoch's three batches, it goes on with the second."""
    straight, stopped = tmp_path / "straight", tmp_path / "stopped"
    parts = ("--data", f"{shards}/train", "--val", f"{shards}/val/000000.tar")
    args = (*parts, *SMALL, "--workers", 0, "--save-minutes", 1e-6)  # After each step.
    assert tool("train_cls", "--out", straight, *args, report=False)[0] == 0
    with pytest.MonkeyPatch.context() as patch:
        stop_at(4, patch)
        assert tool("train_cls", "--out", stopped, *args, report=False)[0] == 1
    places = []
    with pytest.MonkeyPatch.context() as patch:
        place = ShardLoader.load_state_dict

        def note(self: ShardLoader, state: dict[str, int]) -> None:
            places.append(state)
            place(self, state)

        patch.setattr(ShardLoader, "load_state_dict", note)
        status, _, err = tool("train_cls", "--resume", stopped, "--workers", 2, report=False)
    assert status == 0, err
    assert [(one["epoch"], one["batches"]) for one in places] == [(1, 1)]
    assert_same_run(straight, stopped)


@pytest.mark.slow
def test_a_labelled_set_to_evaluate_on(
    shards: Path, shapes: Path, tool: Tool, tmp_path: Path
) -> None:
    """All of a folder, or its own part for it; and damaged photos are counted."""
    own = tmp_path / "own"
    own.mkdir()
    for shard in (shards / "train").iterdir():
        (own / shard.name).write_bytes(shard.read_bytes())
    first = own / "000000.tar"
    record = next(iter(walk(first)))
    content = bytearray(first.read_bytes())
    content[record.picture[0] : sum(record.picture)] = bytes(record.picture[1])
    first.write_bytes(bytes(content))
    args = ("--workers", 0, *SMALL, "--epochs", 1, "--json")
    for name, val in (("a", shapes), ("b", shapes / "val")):
        out = ("--out", tmp_path / name, "--data", own, "--val", val)
        with pytest.warns(UserWarning, match="1 damaged images were left out of epoch 0"):
            assert result(tool("train_cls", *out, *args, report=False))["images"] == 24
    what = ("--out", tmp_path / "e", "--data", own, "--json", "--workers", 0)
    with pytest.warns(UserWarning, match="1 damaged images were left out"):
        found = result(tool("evaluate", tmp_path / "a", *what))
    assert found["images"] == 47
    assert found["facts"]["left out"] == "1 images, unreadable"


@pytest.mark.slow
def test_what_shards_cannot_do(shards: Path, tool: Tool, tmp_path: Path) -> None:
    wanted = tmp_path / "wanted.txt"
    wanted.write_text("star\n")
    alone = tmp_path / "alone"
    alone.mkdir()
    with tarfile.open(alone / "0.tar", "w"):
        pass
    for flags, message in (
        (("--data", shards, "--classes", wanted), "--classes"),
        (
            ("--data", shards / "train"),
            "has no shards to validate on; put them in train/ and val/",
        ),
        (("--data", f"{shards}/train/{{000000..000009}}.tar"), "the shard is missing (5 of 10)"),
        (("--data", alone, "--val", shards), "no records of an image"),
        (("--val", shards), "goes with --data"),
    ):
        status, _, err = tool("train_cls", "--out", tmp_path / "x", *SMALL, *flags)
        assert status == 2
        assert message in " ".join(err.replace("│", " ").split())
