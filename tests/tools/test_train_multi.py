"""One trunk with several heads through the real tool: policies, adding, resuming, refusing."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest
import torch
from torch import Tensor

from configs.io import from_json
from configs.multitask import MULTI_PRESETS, TrainMulti
from datasets.builtin.faces import draw_faces
from datasets.builtin.identities import draw_identities
from datasets.builtin.places import draw_places
from datasets.builtin.scenes import draw_scenes
from datasets.builtin.shapes_and_breeds import draw_shapes
from tasks.multitask.cost import pass_costs
from tasks.multitask.load import load_multi
from tasks.multitask.stored import read_stored
from tasks.multitask.task import MultiTask
from tasks.runtime.open import read_card
from tasks.weights.file import save_weights
from tasks.weights.head_files import load_weights
from tests.conftest import Tool
from tests.tools.runs import assert_same_run
from tests.tools.stopping import signal_at

NET = ("--alpha", 0.1, "--size", 32, "--box-size", 64, "--dim", 16)
CELLS = ("--split-above", 40, "--drop-below", 2)
FIT = ("--preset", "demo", "--batch-size", 8, "--epochs", 2, "--eval-every", 2, "--workers", 0)
ALL = ("classes", "attributes", "places", "embedding", "boxes")
Train = Callable[..., tuple[int, str, str]]


@pytest.fixture(scope="module")
def sets(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small set for each task, in a folder of the head's name."""
    root = tmp_path_factory.mktemp("sets")
    draw_shapes(root / "classes", num_train=4, num_val=2, size=32)
    draw_faces(root / "attributes", num_identities=16, per_identity=3, size=40)
    draw_places(root / "places", num_photos=160, num_authors=40, size=32)
    draw_identities(root / "embedding", num_identities=67, per_identity=3, num_pairs=3, size=40)
    draw_scenes(root / "boxes", num_train=16, num_val=4)
    return root


@pytest.fixture(autouse=True)
def no_times(monkeypatch: pytest.MonkeyPatch) -> None:
    """Passes are measured in a test of their own."""
    monkeypatch.setattr("tools.multitask.recipe.pass_costs", partial(pass_costs, measure=False))


@pytest.fixture
def train(tool: Tool, tmp_path: Path) -> Train:
    """Train into a folder below ``tmp_path``, or any other."""
    return lambda out, *args: tool(
        "train_multi", "--out", tmp_path / out, *NET, *CELLS, *FIT, *args, report=False
    )


@pytest.fixture
def run(tool: Tool, sets: Path) -> Path:
    """A finished run of five heads, trained by the first test that wants it."""
    folder = sets / "run"
    if not folder.exists():
        data = [f"{name}={sets / name}" for name in ALL]
        args = ("--tasks", *data, "--task-weights", "boxes=.5", "--json")
        status, out, err = tool("train_multi", "--out", folder, *NET, *CELLS, *FIT, *args)
        assert status == 0, err
        assert json.loads(out)["kept"] == []
    return folder


def answers(path: Path, name: str) -> list[Tensor]:
    """What a head says of a fixed picture."""
    model = load_multi(path)[0].head(name)
    size = model.spec.size
    generator = torch.Generator().manual_seed(1)
    pictures = torch.randint(0, 256, (2, 3, size, size), dtype=torch.uint8, generator=generator)
    with torch.inference_mode():
        found = model.raw(pictures)
    return [found] if isinstance(found, Tensor) else list(found)


def same(one: Path, two: Path, name: str) -> bool:
    return all(map(torch.equal, answers(one, name), answers(two, name)))


@pytest.mark.slow
def test_a_run_and_what_its_heads_are_to_other_tools(
    run: Path, sets: Path, tool: Tool, tmp_path: Path
) -> None:
    report = json.loads((run / "report.json").read_text())
    assert tuple(report["heads"]) == ALL
    assert [cost["size"] for cost in report["costs"]] == [32, 64]
    together, one = (report["costs"][0]["mult_adds"][name] for name in ("together", "one"))
    assert together < 1.3 * one
    assert report["params"]["together"] < report["params"]["separate"] / 2
    assert "networks apart" in (run / "report.html").read_text()
    card = read_card(run)
    assert card.metrics["mean"] > 0
    state, _ = load_weights(run)
    assert not any(name.startswith(("balance", "heads.embedding.margin")) for name in state)
    for name in ALL:
        inner = read_stored(run).heads[name].card
        metric = report["heads"][name]["metric"]
        assert metric in inner.metrics
        args = ("--head", name, "--data", sets / name, "--out", tmp_path / name, "--json")
        status, text, err = tool("evaluate", run, *args)
        assert status == 0, err
        found = json.loads(text)["metrics"][metric]
        assert found == pytest.approx(report["heads"][name]["value"], abs=2e-3), name
        assert (run / "reports" / name / "report.html").exists()


@pytest.mark.slow
def test_photos_are_shown_to_one_head(run: Path, sets: Path, tool: Tool, tmp_path: Path) -> None:
    photo = sets / "attributes" / "img_align_celeba" / "000043.jpg"
    status, _, err = tool("predict", run, photo, "--head", "attributes", "--out", tmp_path)
    assert status == 0, err
    (row,) = json.loads((tmp_path / "predictions.json").read_text())["photos"]
    names = read_stored(run).heads["attributes"].card.classes.names
    assert set(row["probabilities"]) == set(names)
    for args, said in (
        ((run,), "has several heads; choose one by --head: classes, attributes, places, emb"),
        ((run, "--head", "breeds"), "has no head 'breeds'; choose one"),
        ((run / "heads" / "boxes.safetensors", "--head", "boxes"), "is for detection alone"),
    ):
        status, _, err = tool("predict", *args, photo)
        assert (status, said in err) == (2, True), err


@pytest.mark.slow
def test_heads_on_a_frozen_trunk_do_not_disturb_each_other(
    run: Path, sets: Path, train: Train, tmp_path: Path
) -> None:
    """To the last bit: what trained before answers as before, and the trunk is the same."""
    two = ("--drop", "attributes", "places", "embedding")
    status, text, err = train("two", "--weights", run, *two)
    assert (status, "heads: classes, boxes" in text) == (0, True), err
    frozen = ("--bn", "frozen-trunk", "--precision", "fp32")
    more = ("--add", f"attributes={sets / 'attributes'}", *frozen)
    status, text, err = train("three", "--weights", tmp_path / "two", *more, "--lr", 0.01)
    assert status == 0, err
    assert text.count("as it was") == 2
    before, after = read_stored(run), read_stored(tmp_path / "three")
    assert list(after.heads) == ["classes", "attributes", "boxes"]
    assert all(torch.equal(tensor, after.body[name]) for name, tensor in before.body.items())
    for name in ("classes", "boxes"):
        assert same(run, tmp_path / "three", name)
        assert before.fingerprint(name) == after.fingerprint(name)
    assert not same(run, tmp_path / "three", "attributes")
    assert before.heads["boxes"].card == after.heads["boxes"].card
    head = run / "heads" / "places.safetensors"
    status, text, err = train("back", "--weights", tmp_path / "two", "--add", f"places={head}")
    assert (status, "heads: classes, places, boxes" in text) == (0, True), err
    assert same(run, tmp_path / "back", "places")
    free = ("--weights", tmp_path / "two", "--tasks", f"classes={sets / 'classes'}")
    status, _, err = train("free", *free)
    assert (status, "the trunk would change under head 'boxes'" in err) == (2, True), err
    status, _, err = train("free", *free, "--drop", "boxes", "--epochs", 1, "--eval-every", 1)
    assert status == 0, err
    assert not same(run, tmp_path / "free", "classes"), "it went on"
    status, _, err = train("odd", "--weights", tmp_path / "free", "--add", f"places={head}")
    assert (status, "the head was trained on trunk" in err) == (2, True), err
    wrong = ("--weights", tmp_path / "three", "--tasks", f"classes={sets / 'embedding' / 'train'}")
    status, _, err = train("odd", *wrong, *frozen)
    assert (status, "has other classes than the head of" in err) == (2, True), err
    status, _, err = train("odd", "--weights", run)
    assert (status, "nothing to do; --tasks NAME=DATA trains" in err) == (2, True), err
    faces = ("--tasks", f"embedding={sets / 'embedding'}", *frozen)
    status, _, err = train("odd", "--weights", run, *faces, "--dim", 24)
    assert (status, "--dim 24: the head embedding of" in err) == (2, True), err
    status, _, err = train("odd", "--weights", run, "--add", f"boxes={sets / 'boxes'}")
    assert (status, "has it; --tasks trains it further" in err) == (2, True), err


@pytest.mark.slow
def test_heads_join_the_network_of_a_single_task(
    run: Path, sets: Path, train: Train, tmp_path: Path
) -> None:
    """A detector that somebody has answers as before, and for classes too."""
    state, card = load_weights(run / "heads" / "boxes.safetensors")
    alone = tmp_path / "detector.safetensors"
    save_weights(alone, state, replace(card, trunk=""))
    more = ("--weights", alone, "--add", f"classes={sets / 'classes'}")
    frozen = ("--bn", "frozen-trunk", "--precision", "fp32")
    status, _, err = train("both", *more, *frozen)
    assert status == 0, err
    both = read_stored(tmp_path / "both")
    assert list(both.heads) == ["classes", "boxes"]
    assert same(run, tmp_path / "both", "boxes")
    assert both.fingerprint("boxes") == read_stored(run).fingerprint("boxes")
    status, _, err = train("odd", *more)
    assert (status, "the trunk would change under head 'boxes'" in err) == (2, True), err
    save_weights(alone, state, replace(card, trunk="", folded=True))
    status, _, err = train("odd", *more)
    assert (status, "was folded away by its source" in err) == (2, True), err
    other = {**card.model, "framework": "faster_rcnn_300"}
    save_weights(alone, state, replace(card, trunk="", model=other))
    status, _, err = train("odd", *more, *frozen)
    assert (status, "faster_rcnn_300 is no trunk with a head" in err) == (2, True), err


@pytest.mark.slow
def test_a_stopped_run_goes_on_bit_for_bit(
    sets: Path, train: Train, tool: Tool, tmp_path: Path
) -> None:
    """With norms per task, learnt weights, and tasks drawn for each step."""
    two = [f"{name}={sets / name}" for name in ("classes", "attributes")]
    recipe = ("--bn", "per-task", "--balance", "uncertainty", "--heads-per-step", 1)
    args = ("--tasks", *two, *recipe)
    assert train("straight", *args)[0] == 0
    folder = tmp_path / "stopped"
    with pytest.MonkeyPatch.context() as patch:
        signal_at(7, patch, MultiTask)
        status, _, err = train("stopped", *args)
    assert (status, f"go on with --resume {folder}" in err) == (1, True), err
    assert torch.load(folder / "last.ckpt", weights_only=True)["global_step"] == 8
    status, _, err = tool("train_multi", "--resume", folder, "--workers", 0, report=False)
    assert status == 0, err
    assert_same_run(tmp_path / "straight", folder)
    stored = read_stored(folder)
    assert all(head.owns_norms for head in stored.heads.values())
    name = "body.layers.4.depthwise.bn.running_mean"
    one, two_ = (stored.heads[head].state[name] for head in ("classes", "attributes"))
    assert not torch.equal(one, two_)
    assert torch.equal(stored.body[name], one), "the first head's, for whoever starts from it"
    assert "body.layers.4.depthwise.conv.weight" not in stored.heads["classes"].state
    report = json.loads((folder / "report.json").read_text())
    adds = report["costs"][0]["mult_adds"]
    assert adds["together"] == adds["separate"], "a pass for each"


@pytest.mark.slow
def test_each_head_alone_beside_it(sets: Path, train: Train, tool: Tool, tmp_path: Path) -> None:
    two = [f"{name}={sets / name}" for name in ("classes", "attributes")]
    args = ("--tasks", *two, "--epochs", 1, "--eval-every", 1, "--compare")
    status, text, err = train("both", *args)
    assert status == 0, err
    report = json.loads((tmp_path / "both" / "report.json").read_text())
    for name in ("classes", "attributes"):
        inside = tmp_path / "both" / "alone" / name
        assert list(read_stored(inside).heads) == [name]
        assert f"{report['heads'][name]['alone']:.3f}" in text
        steps = [
            torch.load(f / "last.ckpt", weights_only=True)["global_step"]
            for f in (inside, tmp_path / "both")
        ]
        assert steps[0] == steps[1], "as many batches of its own set"
    saved = json.loads((tmp_path / "both" / "config.json").read_text())
    assert from_json(TrainMulti, saved).compare
    again = tool("train_multi", "--resume", tmp_path / "both", "--workers", 0)
    assert again[0] == 0, again[2]
    once_more = json.loads((tmp_path / "both" / "report.json").read_text())
    assert once_more["heads"] == report["heads"], "nothing was trained again"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("args", "message"),
    [
        (("--tasks", "cats=x"), "--tasks cats=x: write NAME=PATH, NAME being one of classes, br"),
        (("--tasks", "classes="), "--tasks classes=: write NAME=PATH"),
        (("--tasks", "classes=nowhere", "attributes"), "nowhere"),
        (("--tasks", "classes", "classes=a"), "--tasks classes=a: classes is named twice"),
        (("--add", "classes=x"), "--add classes=x: goes with --weights"),
        (("--drop", "classes"), "--drop classes: goes with --weights"),
        (("--only", "places=x"), "--only places: for classes and breeds"),
        (("--bn", "frozen-trunk"), "a trunk that nobody trained: give --weights"),
        (("--task-weights", "classes=0"), "--task-weights classes=0: write NAME=WEIGHT"),
        (("--tasks", "boxes", "--stem-stride", 1), "boxes need 2 and standard"),
        (("--compile",), "--compile: not for several heads"),
        (("--heads-per-step", -1), "--heads-per-step -1 must be 0 or more"),
    ],
)
def test_bad_flags(args: tuple[object, ...], message: str, tool: Tool) -> None:
    status, _, err = tool("train_multi", *args)
    assert (status, message in " ".join(err.split())) == (2, True), err


def test_presets() -> None:
    assert MULTI_PRESETS.choose().preset == "demo"
    assert MULTI_PRESETS.choose(has_data=True).preset == "modern"
    assert MULTI_PRESETS.choose(has_data=True, has_weights=True).preset == "finetune"
    with pytest.raises(ValueError, match="--preset huge: choose one of auto, modern"):
        MULTI_PRESETS.choose("huge", has_data=True, has_weights=True)
